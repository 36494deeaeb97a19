"""The contract again, with a private Redis behind the backend; and what only such a backend has."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import FOLDER
from contract import BEHAVIOURS
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from faces import FACES, Face, until

from tierkeep.django import Cache
from tierkeep.django.lock import LockError, LockNotOwnedError

sys.path.append(str(Path(__file__).parents[1] / "coherence"))
from coherence_servers import Proxy, Server, proxied

TABLE = str(Path(FOLDER.name) / "remote-table")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server("redis") as server:
        yield server.url


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with proxied(tmp_path) as one:
        yield one


def backend(location: str, **options: Any) -> Any:
    return Cache(location, {"OPTIONS": {"GENERATIONS": TABLE, "SOCKET_TIMEOUT": 20, **options}})


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
@pytest.mark.parametrize(
    "check",
    # The server bounds what it holds; MAX_ENTRIES bounds copies.
    [check for check in BEHAVIOURS if check.__name__ != "an_entry_bound_is_kept"],
    ids=lambda check: check.__name__,
)
def test_contract(url: str, face: type[Face], check: Callable[[Face], None]) -> None:
    cache = backend(url)
    cache.clear()
    check(face(cache))


def test_what_is_computed_while_its_key_is_deleted_elsewhere_is_not_stored(url: str) -> None:
    cache, other = backend(url), backend(url, SOCKET_TIMEOUT=19, GENERATIONS=TABLE + "-2")
    cache.clear()

    def compute() -> str:
        other.delete("k")
        return "old"

    assert cache.get_or_set("k", compute, 60) == "old"
    assert other.get("k") is None and cache.get("k") is None
    # And as views do it by hand.
    assert cache.get("l") is None
    other.set("l", "new")
    cache.set("l", "old")
    assert cache.get("l") == "new"


def test_an_outage_is_an_error_or_a_miss_as_is_wanted(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    strict = backend(proxy.url)
    mild = backend(proxy.url, IGNORE_EXCEPTIONS=True, LOG_IGNORED_EXCEPTIONS=True)
    strict.set("k", 1)
    proxy.crash()

    for call in (
        lambda: strict.get("none"),
        lambda: strict.set("k", 2),
        lambda: strict.delete("k"),
        lambda: strict.get_many(["none"]),
    ):
        with pytest.raises(ConnectionError):
            call()
    assert mild.get("none", "default") == "default"
    assert mild.set("k", 2) is False
    assert mild.delete("k") is False
    assert mild.get_many(["none"]) == {}
    assert mild.set_many({"a": 1}) == ["a"]
    assert mild.get_or_set("none", lambda: "computed") == "computed"
    assert "ignored" in caplog.text
    proxy.start()
    assert until(lambda: mild.set("k", 3) is not False, 20)
    assert until(lambda: strict_get(strict) == 3, 20)


def test_a_server_that_refuses_is_as_good_as_none(url: str) -> None:
    # As a replica after a failover does, or one without memory.
    strict, mild = backend(url), backend(url, IGNORE_EXCEPTIONS=True)
    administrator = redis.Redis.from_url(url.replace("redis+unix", "unix"))
    strict.set("k", 1)
    administrator.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        for call in (lambda: strict.set("k", 2), lambda: strict.delete("k"), lambda: strict.incr("k")):
            with pytest.raises(ConnectionError, match="refused: READONLY"):
                call()
        assert mild.set("k", 2) is False
        assert mild.delete("k") is False
        assert mild.get_or_set("none", lambda: "computed") == "computed"
    finally:
        administrator.execute_command("REPLICAOF", "NO", "ONE")
    assert strict.set("k", 3) and mild.get("k") == 3


def strict_get(cache: Any) -> Any:
    try:
        return cache.get("k")
    except ConnectionError:
        return None


def test_an_address_that_cannot_be_is_refused_at_start() -> None:
    with pytest.raises(ImproperlyConfigured, match="accepted"):
        backend("redis://host/x")


def test_what_redis_holds_begins_with_the_namespace_and_the_made_key(url: str) -> None:
    cache = backend(url)
    cache.clear()
    cache.set("k", 5)

    assert cache.keys("*") == ["k"]
    assert cache.incr("k") == 6 and cache.ttl("k") is not None
    assert cache.delete_pattern("k*") == 1


def test_a_lock_has_one_holder_at_a_time(url: str) -> None:
    cache, other = backend(url), backend(url, SOCKET_TIMEOUT=19, GENERATIONS=TABLE + "-2")
    cache.clear()
    inside: list[int] = []
    most: list[int] = []

    def work(one: Any) -> None:
        for _ in range(10):
            with one.lock("k", timeout=60, sleep=0.001):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work, args=(one,)) for one in (cache, other, cache)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(most) == 30 and set(most) == {1}


def test_a_lock_that_is_not_free_or_not_held_says_so(url: str) -> None:
    cache = backend(url)
    held = cache.lock("held", timeout=60)
    assert held.acquire() and held.extend(90)
    assert not cache.lock("held").acquire(blocking=False)
    with pytest.raises(LockError, match="in time"), cache.lock("held", sleep=0.01, blocking_timeout=0.02):
        pass
    held.release()
    with pytest.raises(LockError, match="not held"):
        held.release()
    short = cache.lock("held", timeout=0.02)
    assert short.acquire()
    assert until(lambda: cache.lock("held", timeout=60).acquire(blocking=False), 20)
    with pytest.raises(LockNotOwnedError):
        short.release()
    with pytest.raises(NotImplementedError):
        Cache("no server", {}).lock("k")


def test_a_walk_looks_at_as_many_keys_as_it_is_told(url: str) -> None:
    cache = backend(url)
    cache.clear()
    cache.set_many({f"walked:{number}": number for number in range(200)})
    wanted = sorted(f"walked:{number}" for number in range(200))

    def steps(walk: Callable[[], object]) -> int:
        """Requests that it took, of those that walk."""
        with redis.Redis(unix_socket_path=url.removeprefix("redis+unix://")) as server:
            server.config_resetstat()
            walk()
            return int(server.info("commandstats")["cmdstat_scan"]["calls"])

    def found(itersize: int | None) -> Callable[[], object]:
        def walk() -> None:
            assert sorted(cache.iter_keys("walked:*", itersize=itersize)) == wanted

        return walk

    assert steps(found(10)) >= 20
    assert steps(found(None)) == 1
    assert steps(lambda: cache.delete_pattern("walked:1*", itersize=10)) >= 20
    assert len(cache.keys("walked:*")) == 200 - 111
    with pytest.raises(ValueError, match="itersize is 0"):
        cache.keys("x") or list(cache.iter_keys("x", itersize=0))


def test_an_unreadable_value_is_told_of_once_for_each_kind(url: str, caplog: pytest.LogCaptureFixture) -> None:
    cache, foreign, unsigned = backend(url, SOCKET_TIMEOUT=18), None, backend(url, SIGN=False, SOCKET_TIMEOUT=17)
    with override_settings(SECRET_KEY="another"):
        foreign = backend(url, SOCKET_TIMEOUT=16)
    for number in range(20):
        foreign.set(f"foreign{number}", [1])
        unsigned.set(f"unsigned{number}", [1])

    with caplog.at_level("WARNING", logger="tierkeep.cache"):
        for _ in range(2):
            for number in range(20):
                assert cache.get(f"foreign{number}") is None
                assert cache.get(f"unsigned{number}") is None

    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "signature of the value does not hold" in said[0] and "not signed" in said[1], said
