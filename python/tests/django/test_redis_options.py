"""A django-redis configuration stays as it is; what cannot be done is refused at start, with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from tierkeep.django.options import Options
from tierkeep.django.redis_options import Remote

ADDRESS = "redis://127.0.0.1:6379/1"


def remote(**options: Any) -> Remote:
    read = Options.of(ADDRESS, {"OPTIONS": options}).remote
    assert read is not None
    return read


def test_the_options_of_django_redis_are_understood() -> None:
    read = remote(
        CLIENT_CLASS="django_redis.client.DefaultClient",
        PARSER_CLASS="redis.connection._HiredisParser",
        CONNECTION_FACTORY="django_redis.pool.ConnectionFactory",
        CONNECTION_POOL_CLASS="redis.BlockingConnectionPool",
        CONNECTION_POOL_KWARGS={"max_connections": 50, "retry_on_timeout": True, "socket_timeout": 2},
        SOCKET_CONNECT_TIMEOUT=5,
        USERNAME="me",
        PASSWORD="secret",
        DB="3",
        SERIALIZER="django_redis.serializers.pickle.PickleSerializer",
        PICKLE_VERSION=-1,
        COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor",
        IGNORE_EXCEPTIONS=True,
        LOG_IGNORED_EXCEPTIONS=True,
        REPLICA_READ_ONLY=True,
        CLOSE_CONNECTION=True,
    )

    arguments = dict(read.arguments)
    assert len(arguments.pop("secrets")) == 1
    assert arguments == {
        "compressor": "zlib", "username": "me", "password": "secret", "db": 3,
        "socket_timeout": 2.0, "connect_timeout": 5.0, "max_connections": 50,
    }  # fmt: skip
    assert (read.ignore_exceptions, read.log_ignored_exceptions) == (True, True)
    assert "secret" not in repr(read)


def test_sentinels() -> None:
    read = remote(
        CLIENT_CLASS="django_redis.client.SentinelClient",
        SENTINELS=[("a", 26379), ["b", "26380"]],
        SENTINEL_KWARGS={"password": "p"},
    )

    assert read.arguments["sentinels"] == [("a", 26379), ("b", 26380)]
    assert read.arguments["sentinel_password"] == "p"


def test_settings_of_the_project() -> None:
    with override_settings(
        DJANGO_REDIS_IGNORE_EXCEPTIONS=True, DJANGO_REDIS_SCAN_ITERSIZE=7, SECRET_KEY_FALLBACKS=["before", "earlier"]
    ):
        read = remote()
        assert (read.ignore_exceptions, read.scan_itersize) == (True, 7)
        assert len(set(read.arguments["secrets"])) == 3
        assert remote(IGNORE_EXCEPTIONS=False).ignore_exceptions is False
    assert remote(SIGN=False).arguments["secrets"] == []


def test_a_name_is_no_address_and_a_list_is_one() -> None:
    assert Options.of("", {}).remote is None
    assert Options.of("unique-snowflake", {}).remote is None
    several = Options.of([ADDRESS, "redis://127.0.0.1:6380/1"], {}).remote
    assert several is not None and several.location == [ADDRESS, "redis://127.0.0.1:6380/1"]


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("CLIENT_CLASS", "django_redis.client.HerdClient", "always on in get_or_set"),
        ("CLIENT_CLASS", "django_redis.client.ShardClient", "Redis Cluster"),
        ("CLIENT_CLASS", "own.Client", "accepted: DefaultClient"),
        ("CLIENT_CLASS", 5, "path of a class"),
        ("SERIALIZER", "django_redis.serializers.json.JSONSerializer", "leave SERIALIZER out"),
        ("SERIALIZER", "own.Serializer", "PickleSerializer"),
        ("COMPRESSOR", "django_redis.compressors.zstd.ZStdCompressor", "Lz4Compressor"),
        ("COMPRESSOR", "own.Compressor", "accepted: IdentityCompressor"),
        ("CONNECTION_POOL_KWARGS", 1, "has to be a dict"),
        ("CONNECTION_POOL_KWARGS", {"ssl_cert_reqs": None}, "ssl_cert_reqs.*Accepted: .*max_connections"),
        ("SOCKET_TIMEOUT", "1", "has to be seconds"),
        ("SOCKET_TIMEOUT", 0, "more than 0"),
        ("SENTINELS", ["a"], "pairs of host and port"),
        ("DB", "one", "number of a database"),
        ("IGNORE_EXCEPTIONS", "yes", "True or False"),
        ("SIGN", 0, "True or False"),
        ("CULL_FREQUENCE", 3, "is not an option.*CULL_FREQUENCY"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_write_instead(option: str, value: Any, sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence) as refusal:
        remote(**{option: value})
    assert option in str(refusal.value)


def test_a_password_of_the_wrong_type_is_not_shown() -> None:
    with pytest.raises(ImproperlyConfigured, match="PASSWORD.*not bytes") as refusal:
        remote(PASSWORD=b"hidden")
    assert "hidden" not in str(refusal.value)
