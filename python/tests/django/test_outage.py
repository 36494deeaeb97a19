"""STALE_IF_ERROR: what is read while the server is away, and how old it may be; and the other limits of copies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import FOLDER
from faces import until

from tierkeep.django import Cache

sys.path.append(str(Path(__file__).parents[1] / "coherence"))
from coherence_servers import Proxy, Server, proxied

#: Seconds that no test waits for.
LONG = 600


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with proxied(tmp_path) as one:
        yield one


def backend(location: str, **options: Any) -> Any:
    table = str(Path(FOLDER.name) / "outage-table")
    return Cache(location, {"OPTIONS": {"GENERATIONS": table, "SOCKET_TIMEOUT": 20, **options}})


def copied(cache: Any, *keys: str) -> None:
    """Reads until copies of all count."""

    def are_hits() -> bool:
        before = cache.stats()["hits"]
        for key in keys:
            assert cache.get(key) is not None
        return bool(cache.stats()["hits"] - before == len(keys))

    assert until(are_hits, 20)


def is_an_error(cache: Any, key: str) -> bool:
    try:
        cache.get(key)
    except ConnectionError:
        return True
    return False


def test_copies_are_read_while_the_server_is_away_and_the_log_says_so_once(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    cache, strict = backend(proxy.url, STALE_IF_ERROR=LONG), backend(proxy.url)
    cache.set_many({"a": [1], "b": 2})
    copied(cache, "a", "b")
    copied(strict, "a")

    proxy.crash()
    # Copies are current within a second of the end: from then on they are old, and counted as such.
    assert until(lambda: cache.get("a") == [1] and cache.stats()["stale"] > 0, 20)

    assert until(lambda: is_an_error(strict, "a"), 20)
    assert strict.stats()["stale"] == 0
    assert cache.get_many(["a", "b"]) == {"a": [1], "b": 2}
    assert cache.has_key("b") and cache.get_or_set("b", lambda: 3) == 2
    # Not even the reader of an old value changes what others get.
    cache.get("a").append(2)
    assert cache.get("a") == [1]
    said = [record.getMessage() for record in caplog.records if "600.0 s old are served" in record.getMessage()]
    assert len(said) == 1

    # What nobody has here is as it was without.
    with pytest.raises(ConnectionError):
        cache.get("none")
    with pytest.raises(ConnectionError):
        cache.get_many(["a", "none"])

    # The server comes back, empty: nothing old is read any more.
    proxy.start()
    assert until(lambda: not is_an_error(cache, "none"), 20)
    assert cache.get("a") is None and cache.get("b") is None


def test_where_errors_are_ignored_those_that_are_here_are_given(proxy: Proxy) -> None:
    cache = backend(proxy.url, STALE_IF_ERROR=LONG, IGNORE_EXCEPTIONS=True)
    cache.set("a", 1)
    copied(cache, "a")

    proxy.crash()

    assert until(lambda: cache.get_many(["a", "none"]) == {"a": 1} and cache.stats()["stale"] > 0, 20)
    assert cache.get("none", "default") == "default"


def test_what_was_changed_here_is_never_read_again(proxy: Proxy) -> None:
    cache = backend(proxy.url, STALE_IF_ERROR=LONG)
    cache.set_many({"deleted": 1, "set": 1, "stays": 1})
    cache.set("tagged", 1, tags=["t"])
    copied(cache, "deleted", "set", "tagged", "stays")
    # Each process has its own copies; they share what is known to have changed.
    other = backend(proxy.url, STALE_IF_ERROR=LONG + 1)

    proxy.crash()
    assert until(lambda: cache.get("stays") == 1 and cache.stats()["stale"] > 0, 20)
    for call in (lambda: other.delete("deleted"), lambda: cache.set("set", 2), lambda: cache.invalidate_tag("t")):
        with pytest.raises(ConnectionError):
            call()

    for key in ("deleted", "set", "tagged"):
        assert is_an_error(cache, key), key
    assert cache.get("stays") == 1


def test_nothing_is_read_that_is_older_than_was_allowed(proxy: Proxy) -> None:
    short, long = backend(proxy.url, STALE_IF_ERROR=0.3), backend(proxy.url, STALE_IF_ERROR=LONG)
    short.set("k", 1, timeout=LONG)
    copied(short, "k")
    copied(long, "k")

    proxy.crash()
    # Its own time is not over by far: since the server went, nobody knows whether it was changed.
    assert until(lambda: is_an_error(short, "k"), 20)

    assert is_an_error(short, "k")
    assert long.get("k") == 1


def test_a_value_whose_time_is_over_is_read_for_as_long_and_not_longer(proxy: Proxy) -> None:
    long, short = backend(proxy.url, STALE_IF_ERROR=LONG), backend(proxy.url, STALE_IF_ERROR=0.5)
    long.set("k", 1, timeout=3)
    copied(long, "k")
    copied(short, "k")

    proxy.crash()
    began = time.monotonic()
    assert until(lambda: long.stats()["stale"] > 0 or long.get("k") != 1, 20)

    # It ends while the server is away.
    while time.monotonic() < began + 3.2:
        assert long.get("k") == 1
        time.sleep(0.05)
    assert is_an_error(short, "k")


def test_who_never_heard_of_the_server_reads_nothing_old(proxy: Proxy) -> None:
    proxy.crash()
    cache = backend(proxy.url, STALE_IF_ERROR=LONG)
    assert is_an_error(cache, "k")
    assert cache.stats()["stale"] == 0


def test_a_copy_counts_no_longer_than_l1_timeout() -> None:
    with Server("redis") as server:
        short, long = backend(server.url, L1_TIMEOUT=0.2), backend(server.url)
        short.set("k", 1)
        copied(short, "k")
        copied(long, "k")
        misses = long.stats()["misses"]

        def asks_again() -> bool:
            before = short.stats()["misses"]
            return short.get("k") == 1 and bool(short.stats()["misses"] > before)

        assert until(asks_again, 20)
        assert long.get("k") == 1 and long.stats()["misses"] == misses


def test_connections_are_closed_with_the_request_where_that_is_wanted() -> None:
    with Server("redis") as server:
        administrator = redis.Redis.from_url(server.url.replace("redis+unix", "unix"))

        def connections() -> int:
            # Those that only ask; the one that hears of changes is kept.
            return sum("t" not in client["flags"] for client in administrator.client_list())

        own = connections()
        # Equal settings of the connection share one.
        kept, closed = backend(server.url), backend(server.url, CLOSE_CONNECTION=True, SOCKET_TIMEOUT=21)
        kept.set("k", 1)
        kept.close()
        # Another's first connection comes after what the server was told before.
        closed.set("l", 1)
        assert connections() == own + 2
        closed.close()
        assert until(lambda: connections() == own + 1, 20)
        assert closed.get("k") == 1 and kept.get("l") == 1
