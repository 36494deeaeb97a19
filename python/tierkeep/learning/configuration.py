"""What ``settings.TIERKEEP`` says, read once and checked; without Django, what the environment says."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from tierkeep.learning.client import DEFAULT_NODE, AsyncClient, Client

__all__ = ["Configuration", "ConfigurationError", "async_client", "client", "configuration", "forget_position", "reset"]


class ConfigurationError(ValueError):
    """A setting that is unknown or cannot be used."""


@dataclass(frozen=True)
class Configuration:
    """The keys of ``TIERKEEP``, in lower case."""

    node: str | list[str] = DEFAULT_NODE
    """The node's address, or several."""
    token: str | None = None
    """A token of the API; with the scope ``admin``, or invalidation and warm-up are refused."""
    compat: str | None = None
    """``"guide"``: results in the guide's shapes."""
    mode: str = "auto"
    """``"auto"`` and ``"node"``: a node answers; ``"off"``: a node answers, and this process keeps nothing."""
    connect_timeout: float = 0.2
    timeout: float = 1.0
    bound: float = 1.0
    max_stale: float = 3600.0
    kept_bytes: int = 8 << 20
    language: str | None = None
    """Of advice, ``"en"`` or ``"zh"``; None: the node's."""
    models: Mapping[str, str] | None = None
    """Whose changes are told to the node: model label to the attribute with the learner's id. None: every model whose
    table
    is ``study_sessions`` or ``course_progress``, by its key to the user model."""
    warmup_delay: float = 5.0
    """Seconds from a commit to the warm-up of its learners; below 0: none."""
    task_prefix: str = "tierkeep.learning.tasks"
    """Under which names the Celery tasks are registered, beside their own."""
    logger_prefix: str = "tierkeep.learning"
    binary: str | None = None
    """The program ``tierkeep``; None: beside the interpreter's scripts, then on PATH."""
    config: str | None = None
    """The file ``tierkeep.toml`` that the management commands use."""

    def new_client(self) -> Client:
        """A blocking client as these settings say."""
        return Client(self.node, **self._options())

    def new_async_client(self) -> AsyncClient:
        """An asynchronous client as these settings say."""
        return AsyncClient(self.node, **self._options())

    def _options(self) -> dict[str, Any]:
        is_off = self.mode == "off"
        return {
            "token": self.token,
            "connect_timeout": self.connect_timeout,
            "timeout": self.timeout,
            "bound": 0.0 if is_off else self.bound,
            "max_stale": 0.0 if is_off else self.max_stale,
            "kept_bytes": self.kept_bytes,
        }


_KNOWN = {item.name.upper(): item.name for item in fields(Configuration)}
_NUMBERS = {"connect_timeout", "timeout", "bound", "max_stale", "warmup_delay", "kept_bytes"}
_TEXTS = {"token", "language", "task_prefix", "logger_prefix", "binary", "config"}


def read(given: Mapping[str, Any]) -> Configuration:
    """The configuration that these settings mean. Raises ConfigurationError, which names the key and what is
    accepted."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = _KNOWN.get(key) if isinstance(key, str) else None
        if name is None:
            near = difflib.get_close_matches(str(key).upper(), _KNOWN, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; accepted: {', '.join(sorted(_KNOWN))}"
            raise ConfigurationError(f"TIERKEEP[{key!r}] is unknown{hint}")
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ConfigurationError(f"TIERKEEP[{key!r}] is {value!r}; accepted: a number")
        if name == "kept_bytes" and not (isinstance(value, int) and 0 <= value < 2**63):
            raise ConfigurationError(f"TIERKEEP[{key!r}] is {value!r}; accepted: a whole number of bytes, 0 or more")
        if name in _TEXTS and value is not None and not isinstance(value, (str, os.PathLike)):
            raise ConfigurationError(f"TIERKEEP[{key!r}] is no text")
        values[name] = os.fspath(value) if isinstance(value, os.PathLike) else value
    if values.get("compat") not in (None, "guide"):
        raise ConfigurationError(f"TIERKEEP['COMPAT'] is {values['compat']!r}; accepted: None, 'guide'")
    if values.get("language") not in (None, "en", "zh"):
        raise ConfigurationError(f"TIERKEEP['LANGUAGE'] is {values['language']!r}; accepted: 'en', 'zh'")
    if values.get("mode", "auto") not in ("auto", "node", "off"):
        raise ConfigurationError(f"TIERKEEP['MODE'] is {values['mode']!r}; accepted: 'auto', 'node', 'off'")
    node = values.get("node", DEFAULT_NODE)
    if not isinstance(node, str):
        if not isinstance(node, (list, tuple)) or not node or not all(isinstance(one, str) for one in node):
            raise ConfigurationError("TIERKEEP['NODE'] is neither an address nor a list of addresses")
        values["node"] = list(node)
    models = values.get("models")
    if models is not None and not isinstance(models, Mapping):
        raise ConfigurationError("TIERKEEP['MODELS'] is no dict from model label to attribute")
    read_so_far = Configuration(**values)
    try:
        read_so_far.new_client()
    except ValueError as error:
        raise ConfigurationError(f"TIERKEEP: {error}") from None
    return read_so_far


@lru_cache(maxsize=1)
def configuration() -> Configuration:
    """What is configured: ``settings.TIERKEEP``; without Django's settings, ``TIERKEEP_NODE`` and
    ``TIERKEEP_TOKEN``."""
    given: dict[str, Any] = {}
    if os.environ.get("TIERKEEP_NODE"):
        given["NODE"] = os.environ["TIERKEEP_NODE"]
    if os.environ.get("TIERKEEP_TOKEN"):
        given["TOKEN"] = os.environ["TIERKEEP_TOKEN"]
    return read(given | dict(_django_settings() or {}))


@lru_cache(maxsize=1)
def client() -> Client:
    """The client of this process; a forked child goes on with it."""
    return configuration().new_client()


@lru_cache(maxsize=1)
def async_client() -> AsyncClient:
    """The asynchronous client of this process."""
    return configuration().new_async_client()


def forget_position() -> None:
    """Has this thread's next reads see whatever a node knows, and not necessarily what it wrote: a request has
    begun."""
    if client.cache_info().currsize:
        client().position = 0


def reset() -> None:
    """Has the settings read again at their next use."""
    for kept in (configuration, client, async_client):
        kept.cache_clear()


def _django_settings() -> Mapping[str, Any] | None:
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
    except ImportError:
        return None
    try:
        given = getattr(settings, "TIERKEEP", None)
    except ImproperlyConfigured:  # Django is there, and nobody configured it
        return None
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError("settings.TIERKEEP is no dict")
    return given
