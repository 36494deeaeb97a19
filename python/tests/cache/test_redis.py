"""Redis as a level, on a private server of the testkit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from dogpile.cache import make_region

from tierkeep.cache import CacheDecorator, CacheLevel, MemoryCache, MultiLevelCache, QueryCache, RedisCache

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 20.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    testkit = os.environ.get("TIERKEEP_TESTKIT", ROOT / "target" / "debug" / "tierkeep-testkit")
    server = subprocess.Popen([testkit, "redis"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    yield server.stdout.readline().strip()
    server.stdin.close()
    server.wait(PATIENCE)


def poll(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.001)


def level(url: str, tmp_path: Path, machine: str, **options: object) -> RedisCache:
    """The level as another machine has it: a table of generations of its own."""
    return RedisCache(url, secret="s", generations=str(tmp_path / machine), **options)


def test_values_come_back_equal_with_their_time_and_tags(url: str, tmp_path: Path) -> None:
    async def scene() -> None:
        cache = MultiLevelCache({CacheLevel.L2_REDIS: level(url, tmp_path, "a")})
        for value in (None, 0, True, "", {"a": (1, [2.5, b"x"])}, {1, 2}, Path("/a")):
            await cache.set("k", value, ttl=60, tags=["t"])
            got = await cache.get("k", "absent")
            assert (got, type(got)) == (value, type(value))
        assert await cache.exists("k")
        found = await cache._ordered[0].look("k")
        assert found is not None and found.remaining is not None and 50 < found.remaining <= 60
        await cache.invalidate_tags(["t"])
        assert await cache.get("k", "absent") == "absent"
        await cache.set("k", 1)
        assert await cache.delete("k") and not await cache.delete("k")
        assert not await cache.exists("k")

    asyncio.run(scene())


def test_write_of_one_machine_is_seen_by_another_although_it_has_copies(url: str, tmp_path: Path) -> None:
    # A level in memory above would serve its old copy: it is not used.
    one, other = (
        MultiLevelCache({CacheLevel.L1_MEMORY: MemoryCache(), CacheLevel.L2_REDIS: level(url, tmp_path, machine)}).sync
        for machine in ("one", "other")
    )
    one.set("k", 1)
    assert [other.get("k") for _ in range(3)] == [1, 1, 1]

    one.set("k", 2)
    poll(lambda: other.get("k") == 2)
    other.delete("k")
    poll(lambda: one.get("k") is None)


def test_function_is_computed_once_for_two_machines_and_dropped_on_both(url: str, tmp_path: Path) -> None:
    calls: list[int] = []

    def load(x: int) -> dict[str, int]:
        calls.append(x)
        return {"x": x}

    one, other = (
        CacheDecorator(MultiLevelCache({CacheLevel.L2_REDIS: level(url, tmp_path, machine)})).cached(
            ttl=60, key_prefix="tests.redis", tags=["rows"]
        )(load)
        for machine in ("one", "other")
    )

    assert one(1) == other(1) == {"x": 1}
    assert calls == [1]
    one.invalidate(1)
    poll(lambda: other(1) == {"x": 1} and len(calls) == 2)
    one.invalidate_all()
    poll(lambda: other(1) == {"x": 1} and len(calls) >= 3)


def test_client_of_redis_py_is_taken_for_its_address(url: str) -> None:
    # The seed imported aioredis, which CPython 3.11 cannot.
    theirs = url.replace("redis+unix://", "unix://")
    for client in (redis.Redis.from_url(theirs), redis.asyncio.Redis.from_url(theirs)):
        queries = QueryCache(client, secret="s")
        calls: list[int] = []

        @queries.cache_query(tags=["q"])
        def query(x: int, calls: list[int] = calls) -> None:
            calls.append(x)

        assert (query(1), query(1)) == (None, None)
        assert calls == [1]
        queries.clear()
    with pytest.raises(TypeError, match="redis-py"):
        RedisCache(3, secret="s")


def test_value_of_another_secret_is_not_read(url: str, tmp_path: Path) -> None:
    ours, theirs = level(url, tmp_path, "a"), RedisCache(url, secret="other", generations=str(tmp_path / "b"))
    theirs._store.set("k", Path("/theirs"))

    assert ours._store.get("k") is None
    assert theirs._store.get("k") == Path("/theirs")


def test_value_whose_class_is_gone_is_a_miss_that_is_said_once_and_replaced_by_the_next_fill(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "Gone", type("Gone", (), {"__module__": __name__, "__qualname__": "Gone"}))
    written = MultiLevelCache({CacheLevel.L2_REDIS: level(url, tmp_path, "writer")}).sync
    for key in ("gone 1", "gone 2", "gone 3"):
        written.set(key, globals()["Gone"]())
    monkeypatch.delitem(globals(), "Gone")
    backend = level(url, tmp_path, "reader")
    cache = MultiLevelCache({CacheLevel.L2_REDIS: backend}).sync

    assert [cache.get(key, "absent") for key in ("gone 1", "gone 1", "gone 2")] == ["absent"] * 3
    assert not cache.exists("gone 1")
    assert caplog.text.count("Gone") == 1

    # No time ends it: who computes replaces it, and who adds, one of two.
    assert cache.get_or_set("gone 1", lambda: 1) == 1
    assert cache.get_or_set("gone 1", lambda: 2) == 1
    assert backend._store.add("gone 2", 1) and not backend._store.add("gone 2", 2)
    assert backend._store.get("gone 2") == 1
    is_there, lease = backend._store.look("gone 3")
    assert not is_there
    written.set("gone 3", "meanwhile")
    assert not backend._store.fill("gone 3", "computed before", lease)
    poll(lambda: cache.get("gone 3") == "meanwhile")


def test_without_a_secret_it_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIERKEEP_CACHE_SECRET", raising=False)
    with pytest.raises(ValueError, match="TIERKEEP_CACHE_SECRET"):
        RedisCache(url)
    monkeypatch.setenv("TIERKEEP_CACHE_SECRET", "s")
    RedisCache(url)


def test_region_of_dogpile_shares_its_values(url: str) -> None:
    one, other = (
        make_region().configure("tierkeep.multilevel", arguments={"redis": url, "secret": "s"}) for _ in range(2)
    )
    one.set("region", [1, None])

    assert other.get("region") == [1, None]


def test_server_that_does_not_answer_is_a_miss_for_reads_and_an_error_for_writes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = MultiLevelCache({CacheLevel.L2_REDIS: RedisCache("redis://127.0.0.1:1/0", secret="s")})
    calls: list[int] = []

    @CacheDecorator(cache).cached(ttl=60)
    def load() -> int:
        calls.append(1)
        return 5

    assert cache.sync.get("k", "absent") == "absent"
    assert load() == 5
    # Nor is what was computed for somebody withheld because it cannot be stored.
    assert cache.sync.get_or_set("k", lambda: 6) == 6
    assert asyncio.run(cache.get_or_set("k", lambda: 7)) == 7
    with pytest.raises(ConnectionError):
        cache.sync.set("k", 1)
    with pytest.raises(ConnectionError):
        load.invalidate()
    assert "cannot be asked" in caplog.text
