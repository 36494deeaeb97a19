"""`INSTALLED_APPS += ["tierkeep.django"]`: what `manage.py check` says about caches of ours."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from tierkeep.django.checks import caches_fit_their_use, values_are_signed


class TierkeepDjangoConfig(AppConfig):
    """Registers the system checks."""

    name = "tierkeep.django"
    label = "tierkeep_django"
    verbose_name = "Tierkeep caches"

    def ready(self) -> None:
        """Called by Django once."""
        checks.register(caches_fit_their_use, checks.Tags.caches)
        checks.register(values_are_signed, checks.Tags.security, deploy=True)
