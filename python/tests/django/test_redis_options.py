"""A django-redis configuration stays as it is; what cannot be done is refused at start, with what to write instead."""

from __future__ import annotations

import operator
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import FOLDER
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from tierkeep._core import SharedStore
from tierkeep.django import Cache
from tierkeep.django.options import Options
from tierkeep.django.redis_options import Remote

TABLE = str(Path(FOLDER.name) / "options-table")

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


@pytest.mark.parametrize(
    ("module", "name", "called"),
    [
        ("identity", "IdentityCompressor", "identity"),
        ("zlib", "ZlibCompressor", "zlib"),
        ("gzip", "GzipCompressor", "gzip"),
        ("lz4", "Lz4Compressor", "lz4"),
        ("lzma", "LzmaCompressor", "lzma"),
        ("zstd", "ZStdCompressor", "zstd"),
    ],
)
def test_every_compressor_of_django_redis_is_known(module: str, name: str, called: str) -> None:
    arguments = remote(COMPRESSOR=f"django_redis.compressors.{module}.{name}").arguments
    assert arguments["compressor"] == called
    # And it is one of the extension's.
    SharedStore(ADDRESS, **arguments)


def test_sentinels() -> None:
    read = remote(
        CLIENT_CLASS="django_redis.client.SentinelClient",
        SENTINELS=[("a", 26379), ["b", "26380"]],
        SENTINEL_KWARGS={"password": "p"},
    )

    assert read.arguments["sentinels"] == [("a", 26379), ("b", 26380)]
    assert read.arguments["sentinel_password"] == "p"
    # As django-redis has it without a SentinelClient; who is the primary is asked of the sentinels.
    for location in (
        ["redis://name/1?is_master=1", "redis://name/1?is_master=0"],
        ["redis://name?db=1&is_master=1"],
    ):
        several = Options.of(location, {"OPTIONS": {"SENTINELS": [("a", 1)]}}).remote
        assert several is not None and several.location == ["redis://name/1"]


def test_settings_of_the_project() -> None:
    with override_settings(
        DJANGO_REDIS_IGNORE_EXCEPTIONS=True, DJANGO_REDIS_SCAN_ITERSIZE=7, SECRET_KEY_FALLBACKS=["before", "earlier"]
    ):
        read = remote()
        assert (read.ignore_exceptions, read.scan_itersize) == (True, 7)
        assert len(set(read.arguments["secrets"])) == 3
        assert remote(IGNORE_EXCEPTIONS=False).ignore_exceptions is False
    assert remote(SIGN=False).arguments["secrets"] == []
    assert not remote().closes_connections
    with override_settings(DJANGO_REDIS_CLOSE_CONNECTION=True):
        assert remote().closes_connections and not remote(CLOSE_CONNECTION=False).closes_connections


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
        ("CLIENT_CLASS", "own.DefaultClient", "accepted: DefaultClient"),
        ("SERIALIZER", "own.Serializer", "PickleSerializer, JSONSerializer, MSGPackSerializer"),
        ("SERIALIZER", "own.JSONSerializer", "own.JSONSerializer.*accepted: PickleSerializer"),
        ("SERIALIZER", 5, "path of a class"),
        ("PICKLE_VERSION", 6, "up to 5"),
        ("PICKLE_VERSION", "new", "number of a protocol"),
        ("COMPRESSOR", "own.Compressor", "accepted: IdentityCompressor"),
        ("COMPRESSOR", "own.ZlibCompressor", "accepted: IdentityCompressor"),
        ("REPLICA_READ_ONLY", "no", "True or False"),
        ("CLOSE_CONNECTION", 1, "True or False"),
        ("STALE_IF_ERROR", 0, "more than 0 and up to 86400"),
        ("STALE_IF_ERROR", 86_401, "more than 0 and up to 86400"),
        ("L1_TIMEOUT", "1", "has to be seconds"),
        ("SENTINEL_KWARGS", {"ssl": True}, "'ssl'.*Accepted: .*password.*username"),
        ("CONNECTION_POOL_KWARGS", 1, "has to be a dict"),
        ("CONNECTION_POOL_KWARGS", {"path": "/a"}, "path.*Accepted: .*max_connections"),
        ("SOCKET_TIMEOUT", "1", "has to be seconds"),
        ("SOCKET_TIMEOUT", 0, "more than 0"),
        ("SENTINELS", ["a"], "pairs of host and port"),
        ("DB", "one", "number of a database"),
        ("DB", 10**12, "number of a database"),
        ("SENTINEL_KWARGS", 5, "has to be a dict"),
        ("CONNECTION_POOL_KWARGS", {"max_connections": "9"}, "max_connections '9'.*whole number"),
        ("CONNECTION_POOL_KWARGS", {"max_connections": -1}, "max_connections -1.*whole number"),
        ("IGNORE_EXCEPTIONS", "yes", "True or False"),
        ("SIGN", 0, "True or False"),
        ("CULL_FREQUENCE", 3, "is not an option.*CULL_FREQUENCY"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_write_instead(option: str, value: Any, sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence) as refusal:
        remote(**{"SENTINELS": [("a", 1)], option: value})
    assert option in str(refusal.value)


def test_keys_are_given_back_by_a_function_beside_the_options_or_among_them() -> None:
    for params in ({"REVERSE_KEY_FUNCTION": "operator.neg"}, {"OPTIONS": {"REVERSE_KEY_FUNCTION": "operator.neg"}}):
        assert Options.of("", params).reverse_key is operator.neg


def test_a_password_of_the_wrong_type_is_not_shown() -> None:
    with pytest.raises(ImproperlyConfigured, match="PASSWORD.*not bytes") as refusal:
        remote(PASSWORD=b"hidden")
    assert "hidden" not in str(refusal.value)


def test_a_time_limit_of_answers_is_one_of_connections_too() -> None:
    assert remote(SOCKET_TIMEOUT=1).arguments["connect_timeout"] == 1.0
    assert remote(CONNECTION_POOL_KWARGS={"socket_timeout": 2}).arguments["connect_timeout"] == 2.0
    assert remote(SOCKET_TIMEOUT=1, SOCKET_CONNECT_TIMEOUT=3).arguments["connect_timeout"] == 3.0
    assert "connect_timeout" not in remote().arguments


def test_a_server_that_accepts_and_says_nothing_costs_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        cache = Cache(address, {"OPTIONS": {"SOCKET_TIMEOUT": 0.5, "GENERATIONS": TABLE}})
        begin = time.monotonic()
        with pytest.raises(ConnectionError):
            cache.get("k")
    # 5 s are the time limit of connections if nobody sets one.
    assert time.monotonic() - begin < 4


def test_the_database_may_be_a_parameter_of_the_address() -> None:
    for address in ("redis://h:6379?db=3", "redis://h:6379/?db=3", "redis://h:6379/1?db=3", "redis://h:6379/3"):
        read = Options.of(address, {}).remote
        assert read is not None and urlsplit(read.location).path == "/3" and "?" not in read.location
    other = Options.of("redis://h:6379?protocol=3", {}).remote
    assert other is not None and other.location == "redis://h:6379?protocol=3"


def test_computations_of_different_databases_are_different() -> None:
    names = {Options.of("redis://h:6379", {"OPTIONS": {"DB": number}}).name for number in (1, 2)}
    assert len(names) == 2
    assert Options.of("redis://h?db=1", {}).name == Options.of("redis://h/1", {}).name


def test_a_location_of_no_meaning_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="LOCATION is None"):
        Options.of(None, {})  # type: ignore[arg-type]


def test_without_a_table_there_is_a_warning_and_a_cache(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="within a second"):
        Cache("redis://127.0.0.1:1/0", {"OPTIONS": {"GENERATIONS": str(tmp_path / "absent" / "table")}})
