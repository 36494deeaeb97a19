"""The Django app: signals and system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import request_started, setting_changed


class LearningConfig(AppConfig):
    """Learning statistics from a node of Tierkeep."""

    name = "tierkeep.learning"
    label = "tierkeep_learning"
    verbose_name = "Tierkeep learning statistics"

    def ready(self) -> None:
        """Reads the settings, which raises ImproperlyConfigured for one that cannot be used, and listens to models."""
        from django.core.exceptions import ImproperlyConfigured

        from tierkeep.learning import cache_signals, checks
        from tierkeep.learning.configuration import ConfigurationError, configuration

        try:
            configuration()
        except ConfigurationError as error:
            raise ImproperlyConfigured(str(error)) from None
        checks.register()
        cache_signals.connect()
        request_started.connect(_request_started, dispatch_uid="tierkeep.learning")
        setting_changed.connect(_settings_changed, dispatch_uid="tierkeep.learning")


def _settings_changed(*, setting: str, **_: object) -> None:
    """``override_settings`` in tests."""
    if setting == "TIERKEEP":
        from tierkeep.learning import configuration

        configuration.reset()


def _request_started(**_: object) -> None:
    """A thread of a server serves one learner after the other."""
    from tierkeep.learning import configuration

    configuration.forget_position()
