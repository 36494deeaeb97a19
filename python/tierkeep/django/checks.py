"""System checks: settings that work, and do not do what they look like.

W001 to W010 are of `tierkeep.learning`, so that a project can silence one without the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from tierkeep.django.options import Options
from tierkeep.django.redis_options import Remote

#: The path under which settings name the backend, and the class's own.
_BACKENDS = frozenset(["tierkeep.django.Cache", "tierkeep.django.backend.Cache"])

#: Session engines that keep nothing but what the cache keeps.
_CACHED_SESSIONS = "django.contrib.sessions.backends.cache"


def _ours() -> Iterator[tuple[str, Options | ImproperlyConfigured]]:
    """Caches of ours by alias, with their settings or with what is wrong about these."""
    for alias, params in settings.CACHES.items():
        if params.get("BACKEND") not in _BACKENDS:
            continue
        rest = {name: value for name, value in params.items() if name not in ("BACKEND", "LOCATION")}
        try:
            yield alias, Options.of(params.get("LOCATION", ""), rest)
        except ImproperlyConfigured as error:
            yield alias, error


def caches_fit_their_use(**_: Any) -> list[CheckMessage]:
    """tierkeep.E001: settings of a cache are refused.

    W011: sessions in a cache that each process has for itself. W013: a LOCATION that looks like a server and is a name.
    """
    found: list[CheckMessage] = []
    for alias, options in _ours():
        if isinstance(options, ImproperlyConfigured):
            found.append(Error(f"CACHES[{alias!r}]: {options}", id="tierkeep.E001"))
        elif options.remote is None and _keeps_sessions(alias):
            found.append(
                Warning(
                    f"Sessions are kept in CACHES[{alias!r}], and each process has values of its own there.",
                    hint="Set its LOCATION to a redis:// address, or SESSION_ENGINE to "
                    "'django.contrib.sessions.backends.cached_db'.",
                    id="tierkeep.W011",
                )
            )
        if isinstance(options, Options) and options.remote is None and _looks_like_a_server(options.name):
            found.append(
                Warning(
                    f"CACHES[{alias!r}]: LOCATION {options.name!r} is the name of a cache in this process, and no server.",
                    hint=f"Write 'redis://{options.name}' for a server, or a name without a port for a cache in memory.",
                    id="tierkeep.W013",
                )
            )
    return found


def _looks_like_a_server(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+:\d{1,5}(/\d+)?", name) is not None


def _keeps_sessions(alias: str) -> bool:
    return bool(settings.SESSION_ENGINE == _CACHED_SESSIONS and settings.SESSION_CACHE_ALIAS == alias)


def values_are_signed(**_: Any) -> list[CheckMessage]:
    """tierkeep.W012: whoever can write to Redis can run code here. Not so where JSON or msgpack is read, and no pickle."""
    return [
        Warning(
            f"CACHES[{alias!r}] has SIGN off: whoever can write to its server can have its readers run code.",
            hint="Leave OPTIONS['SIGN'] out, or set SERIALIZER to 'django_redis.serializers.json.JSONSerializer', "
            "which reads no pickle.",
            id="tierkeep.W012",
        )
        for alias, options in _ours()
        if isinstance(options, Options) and options.remote is not None and _believes_all(options.remote)
    ]


def _believes_all(remote: Remote) -> bool:
    return remote.serializer == "pickle" and not remote.arguments["secrets"]
