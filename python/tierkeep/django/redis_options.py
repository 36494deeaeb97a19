"""Settings of a LOCATION with Redis, as django-redis has them: what is done, what is not needed, what is refused."""

from __future__ import annotations

import logging
import os
import pickle
import ssl
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import salted_hmac

from tierkeep.django.serializers import SERIALIZERS

logger = logging.getLogger("tierkeep.django")

#: What only chooses Python code of redis-py or django-redis, none of which runs here.
_NOT_NEEDED = frozenset(
    "CONNECTION_FACTORY PARSER_CLASS REDIS_CLIENT_CLASS REDIS_CLIENT_KWARGS CONNECTION_POOL_CLASS".split()
)

_DONE = frozenset(
    "CLIENT_CLASS SERIALIZER PICKLE_VERSION COMPRESSOR USERNAME PASSWORD DB SENTINELS SENTINEL_KWARGS SOCKET_TIMEOUT "
    "SOCKET_CONNECT_TIMEOUT CONNECTION_POOL_KWARGS IGNORE_EXCEPTIONS LOG_IGNORED_EXCEPTIONS REPLICA_READ_ONLY "
    "CLOSE_CONNECTION SIGN L1_TIMEOUT STALE_IF_ERROR".split()
)

#: Seconds, a year and a day: a copy may be kept as long as a value, an old one is for the time of a repair.
_LONGEST_COPY, _LONGEST_STALE = 366 * 86_400, 86_400

#: Servers count their databases in 32 bits.
_LAST_DATABASE = 2**31 - 1

#: What redis-py knows of TLS, and is done here.
_TLS = frozenset("ssl_cert_reqs ssl_ca_certs ssl_ca_data ssl_check_hostname ssl_certfile ssl_keyfile".split())

#: What each value of `ssl_cert_reqs` demands. To a client, what is optional is required.
_DEMANDS: dict[Any, str] = {
    "required": "name",
    "optional": "name",
    "none": "anything",
    None: "anything",
    ssl.CERT_REQUIRED: "name",
    ssl.CERT_OPTIONAL: "name",
    ssl.CERT_NONE: "anything",
}

#: What sentinels are told, and what about them needs no telling: their time is that of a connection.
_SENTINEL_DONE = frozenset(["username", "password"])
_SENTINEL_NOT_NEEDED = frozenset(["socket_timeout", "socket_connect_timeout", "socket_keepalive", "decode_responses"])

#: Options that are about a server.
REDIS_OPTIONS = _DONE | _NOT_NEEDED

#: Last part of the path of a client class that means nothing but the server.
_CLIENTS = frozenset(["DefaultClient", "SentinelClient"])

_COMPRESSORS = {
    "IdentityCompressor": "identity",
    "ZlibCompressor": "zlib",
    "GzipCompressor": "gzip",
    "Lz4Compressor": "lz4",
    "ZStdCompressor": "zstd",
    "LzmaCompressor": "lzma",
}

#: What is said to a class that has no counterpart here.
_INSTEAD = {
    "HerdClient": "one computation for all who ask at once is always on in get_or_set: use DefaultClient.",
    "ShardClient": "use a Redis Cluster (redis+cluster://host,host), which moves keys when servers come and go.",
}


@dataclass(frozen=True)
class Remote:
    """A second level: where it is, and how to talk to it."""

    location: str | list[str]
    #: Arguments of `_core.SharedStore`. They hold secrets.
    arguments: dict[str, Any] = field(repr=False)
    #: A server that does not answer is a miss, and a write that did not happen.
    ignore_exceptions: bool
    #: Says so in the log.
    log_ignored_exceptions: bool
    #: Keys that SCAN is asked for at once; None for the default.
    scan_itersize: int | None
    #: `pickle`, `json` or `msgpack`.
    serializer: str
    #: Connections that are not in use are closed with each request.
    closes_connections: bool

    @classmethod
    def of(cls, location: str | list[str] | tuple[str, ...], options: Mapping[str, Any]) -> Remote:
        """Reads LOCATION and OPTIONS.

        Raises ImproperlyConfigured for what is not understood.
        """
        for name in sorted(_NOT_NEEDED & options.keys()):
            logger.debug("OPTIONS[%r] is not needed by tierkeep.django.Cache, and ignored", name)
        _client(options.get("CLIENT_CLASS"))
        serializer = serializer_of(options)
        _pickle_version(options)
        # Nothing is ever written to a replica.
        _boolean(options, "REPLICA_READ_ONLY", True)
        arguments: dict[str, Any] = {
            "compressor": _compressor(options.get("COMPRESSOR")),
            "serializer": None if serializer == "pickle" else serializer,
            "copy_timeout": _seconds(options, "L1_TIMEOUT", None, _LONGEST_COPY),
            "stale_if_error": _seconds(options, "STALE_IF_ERROR", None, _LONGEST_STALE),
        }
        first = location if isinstance(location, str) else next(iter(location), "")
        arguments |= _login(options) | _times(options) | _sentinels(options) | _tls(first, options)
        arguments["secrets"] = _secrets() if _boolean(options, "SIGN", True) else []
        return cls(
            location=_servers(location, "SENTINELS" in options),
            arguments={name: value for name, value in arguments.items() if value is not None},
            ignore_exceptions=_boolean(
                options, "IGNORE_EXCEPTIONS", bool(getattr(settings, "DJANGO_REDIS_IGNORE_EXCEPTIONS", False))
            ),
            log_ignored_exceptions=_boolean(
                options, "LOG_IGNORED_EXCEPTIONS", bool(getattr(settings, "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS", False))
            ),
            scan_itersize=getattr(settings, "DJANGO_REDIS_SCAN_ITERSIZE", None),
            serializer=serializer,
            closes_connections=_boolean(
                options, "CLOSE_CONNECTION", bool(getattr(settings, "DJANGO_REDIS_CLOSE_CONNECTION", False))
            ),
        )


def serializer_of(options: Mapping[str, Any]) -> str:
    """`pickle`, `json` or `msgpack`. Raises ImproperlyConfigured for another."""
    value = options.get("SERIALIZER")
    if value is None:
        return "pickle"
    name = _class_name("SERIALIZER", value)
    if name not in SERIALIZERS:
        raise _refuse("SERIALIZER", value, name, ", ".join(SERIALIZERS) + " of django_redis.serializers")
    return SERIALIZERS[name]


def _pickle_version(options: Mapping[str, Any]) -> None:
    """Checked as django-redis does, and without effect: every Python that runs this reads the highest protocol."""
    value = options.get("PICKLE_VERSION", -1)
    try:
        version = int(value)
    except (TypeError, ValueError):
        version = None
    if version is None or version > pickle.HIGHEST_PROTOCOL:
        raise ImproperlyConfigured(
            f"OPTIONS['PICKLE_VERSION'] is {value!r}: it has to be the number of a protocol of pickle, "
            f"up to {pickle.HIGHEST_PROTOCOL}."
        )


def _servers(location: str | list[str] | tuple[str, ...], has_sentinels: bool) -> str | list[str]:
    """The addresses; of those that only differ in whom sentinels are asked for, one."""
    if isinstance(location, str):
        return _address(location)
    addresses = [_address(one) for one in location]
    if has_sentinels:
        addresses = list(dict.fromkeys(addresses))
    return addresses


def _address(location: str) -> str:
    """With the database where it always is: django-redis also takes `redis://host?db=1`. Without what it says of TLS.

    And without `is_master`: what is written goes to the primary, and so does what is read while it answers.
    """
    try:
        parts = urlsplit(location)
    except ValueError:
        # Whoever reads addresses says what is wrong with it.
        return location
    if parts.scheme not in ("redis", "rediss"):
        return location
    rest = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "db" and value.isdecimal():
            parts = parts._replace(path=f"/{value}")
        elif name != "is_master" and not name.startswith("ssl_"):
            # What remains is refused by whoever reads addresses.
            rest.append((name, value))
    return urlunsplit(parts._replace(query=urlencode(rest)))


def _parameters(location: str) -> dict[str, str]:
    """What an address says of TLS, as redis-py reads it."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return {}
    if parts.scheme not in ("redis", "rediss"):
        return {}
    return {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}


def _class_name(option: str, value: Any) -> str:
    """The name of a class of django-redis; empty for anybody else's, whatever it is called."""
    if isinstance(value, type):
        value = f"{value.__module__}.{value.__name__}"
    if not isinstance(value, str):
        raise ImproperlyConfigured(f"OPTIONS[{option!r}] is {value!r}: it has to be the path of a class.")
    return value.rpartition(".")[2] if value.startswith("django_redis.") else ""


def _refuse(option: str, value: Any, name: str, accepted: str) -> ImproperlyConfigured:
    instead = _INSTEAD.get(name, f"accepted: {accepted}.")
    return ImproperlyConfigured(f"OPTIONS[{option!r}] is {value!r}, which tierkeep.django.Cache cannot run: {instead}")


def _client(value: Any) -> None:
    if value is not None and (name := _class_name("CLIENT_CLASS", value)) not in _CLIENTS:
        raise _refuse("CLIENT_CLASS", value, name, "DefaultClient and SentinelClient of django_redis.client")


def _compressor(value: Any) -> str | None:
    if value is None:
        return None
    name = _class_name("COMPRESSOR", value)
    if name not in _COMPRESSORS:
        raise _refuse("COMPRESSOR", value, name, ", ".join(_COMPRESSORS) + " of django_redis.compressors")
    return _COMPRESSORS[name]


def _login(options: Mapping[str, Any]) -> dict[str, Any]:
    database = options.get("DB")
    if database is not None and (
        isinstance(database, bool) or not str(database).isdecimal() or int(database) > _LAST_DATABASE
    ):
        raise ImproperlyConfigured(f"OPTIONS['DB'] is {database!r}: it has to be the number of a database.")
    return {
        "username": _text(options, "USERNAME"),
        "password": _text(options, "PASSWORD"),
        "db": None if database is None else int(database),
    }


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is None or isinstance(value, str):
        return value
    # Without the value: it may be a password.
    raise ImproperlyConfigured(f"OPTIONS[{name!r}] has to be a str, not {type(value).__name__}.")


def _times(options: Mapping[str, Any]) -> dict[str, Any]:
    pool = options.get("CONNECTION_POOL_KWARGS", {})
    if not isinstance(pool, Mapping):
        raise ImproperlyConfigured("OPTIONS['CONNECTION_POOL_KWARGS'] has to be a dict.")
    known = {"max_connections", "socket_timeout", "socket_connect_timeout", *_TLS}
    # Broken connections are always found and replaced, time-outs never silently repeated.
    ignored = {"retry_on_timeout", "health_check_interval", "socket_keepalive", "decode_responses", "protocol"}
    for name in pool.keys() - known:
        if name not in ignored:
            accepted = ", ".join(sorted(known | ignored))
            raise ImproperlyConfigured(
                f"OPTIONS['CONNECTION_POOL_KWARGS'] has {name!r}, which tierkeep.django.Cache cannot do. "
                f"Accepted: {accepted}."
            )
        logger.debug("CONNECTION_POOL_KWARGS[%r] is not needed by tierkeep.django.Cache, and ignored", name)
    connections = pool.get("max_connections")
    if connections is not None and (
        isinstance(connections, bool) or not isinstance(connections, int) or not 0 < connections < 2**31
    ):
        raise ImproperlyConfigured(
            f"OPTIONS['CONNECTION_POOL_KWARGS'] has max_connections {connections!r}: it has to be a whole number, 1 or more."
        )
    waited = _seconds(options, "SOCKET_TIMEOUT", pool.get("socket_timeout"))
    connecting = _seconds(options, "SOCKET_CONNECT_TIMEOUT", pool.get("socket_connect_timeout"))
    return {
        "socket_timeout": waited,
        # As in redis-py: whoever sets only the one bounds both.
        "connect_timeout": waited if connecting is None else connecting,
        "max_connections": connections,
    }


def _tls(location: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """TLS as redis-py has it: in CONNECTION_POOL_KWARGS, or in the address, which wins."""
    pool = {name: value for name, value in options.get("CONNECTION_POOL_KWARGS", {}).items() if name in _TLS}
    address = _parameters(location)
    given = pool | address
    if not given:
        return {}
    for name in address.keys() - _TLS:
        raise ImproperlyConfigured(
            f"LOCATION has {name!r}, which tierkeep.django.Cache cannot do. Accepted: {', '.join(sorted(_TLS))}."
        )
    if not location.startswith(("rediss://", "valkeys://")):
        raise ImproperlyConfigured(f"{min(given)!r} is about TLS: LOCATION has to begin with rediss:// for it.")
    wanted = given.get("ssl_cert_reqs", "required")
    key = wanted.lower() if isinstance(wanted, str) else wanted
    demand = _DEMANDS.get(key) if isinstance(key, Hashable) else None
    if demand is None:
        raise ImproperlyConfigured(
            f"'ssl_cert_reqs' is {wanted!r}: accepted are 'required', 'optional' and 'none', or ssl.CERT_REQUIRED and so on."
        )
    checks_name = given.get("ssl_check_hostname", True)
    if isinstance(checks_name, str):
        checks_name = checks_name.lower() not in ("0", "false", "f", "no", "n", "")
    if not isinstance(checks_name, bool):
        raise ImproperlyConfigured(f"'ssl_check_hostname' is {checks_name!r}: it has to be True or False.")
    if demand == "anything":
        logger.warning("ssl_cert_reqs is 'none': who stands between here and Redis can read and change what is cached")
    texts = {name: given.get(name) for name in ("ssl_ca_certs", "ssl_ca_data", "ssl_certfile", "ssl_keyfile")}
    for name, value in texts.items():
        if not isinstance(value, (str, os.PathLike, type(None))):
            raise ImproperlyConfigured(f"{name!r} is {value!r}: it has to be a str.")
    certificate = texts["ssl_certfile"]
    if certificate is None and texts["ssl_keyfile"] is not None:
        raise ImproperlyConfigured("'ssl_keyfile' is a key without its certificate: set 'ssl_certfile', too.")
    # As in redis-py: the key may stand in the file of the certificate.
    identity = None if certificate is None else (certificate, texts["ssl_keyfile"] or certificate)
    return {
        "tls_trust": demand if checks_name or demand == "anything" else "authority",
        "tls_authorities": texts["ssl_ca_certs"],
        "tls_authorities_text": texts["ssl_ca_data"],
        "tls_identity": identity,
    }


def _seconds(options: Mapping[str, Any], name: str, default: Any, longest: int = 3600) -> float | None:
    value = options.get(name, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= longest:
        raise ImproperlyConfigured(
            f"OPTIONS[{name!r}] is {value!r}: it has to be seconds, more than 0 and up to {longest}."
        )
    return float(value)


def _sentinels(options: Mapping[str, Any]) -> dict[str, Any]:
    sentinels = options.get("SENTINELS")
    if sentinels is None:
        return {}
    try:
        hosts = [(str(host), int(port)) for host, port in sentinels]
    except (TypeError, ValueError):
        raise ImproperlyConfigured("OPTIONS['SENTINELS'] has to be a list of pairs of host and port.") from None
    login = options.get("SENTINEL_KWARGS") or {}
    if not isinstance(login, Mapping):
        raise ImproperlyConfigured("OPTIONS['SENTINEL_KWARGS'] has to be a dict.")
    for name in login.keys() - _SENTINEL_DONE:
        # Sentinels are asked within the time limits of the servers.
        if name not in _SENTINEL_NOT_NEEDED:
            raise ImproperlyConfigured(
                f"OPTIONS['SENTINEL_KWARGS'] has {name!r}, which tierkeep.django.Cache cannot do: sentinels are asked "
                f"without TLS. Accepted: {', '.join(sorted(_SENTINEL_DONE | _SENTINEL_NOT_NEEDED))}."
            )
        logger.debug("SENTINEL_KWARGS[%r] is not needed by tierkeep.django.Cache, and ignored", name)
    return {
        "sentinels": hosts,
        "sentinel_username": login.get("username"),
        "sentinel_password": login.get("password"),
    }


def _boolean(options: Mapping[str, Any], name: str, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}: it has to be True or False.")
    return value


def _secrets() -> list[bytes]:
    """Keys of signatures, from the project's secrets: the first signs, all are taken when a value is read."""
    keys = [settings.SECRET_KEY, *getattr(settings, "SECRET_KEY_FALLBACKS", [])]
    return [salted_hmac("tierkeep.django.cache", "values", secret=key, algorithm="sha256").digest() for key in keys]
