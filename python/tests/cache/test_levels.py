"""Levels as one cache: order of writes, remaining times, strategies, tags, one loader for all who ask."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tierkeep.cache import (
    CacheBackend,
    CacheDecorator,
    CacheInvalidationManager,
    CacheLevel,
    CacheStrategy,
    CacheWarmup,
    Found,
    MemoryCache,
    MultiLevelCache,
    QueryCache,
    _flight,
    cached,
    invalidate_tags,
)

PATIENCE = 20.0


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < end, "the condition did not come true"
        await asyncio.sleep(0.001)


class Foreign(CacheBackend):
    """A level of somebody else's: five methods, no times, no tags, no None."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.reads = 0
        self.writes: list[tuple[str, float | None]] = []

    async def get(self, key: str) -> Any:
        self.reads += 1
        await asyncio.sleep(0)
        return self.values.get(key)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        self.values[key] = value
        self.writes.append((key, ttl))
        return True

    async def delete(self, key: str) -> bool:
        return self.values.pop(key, None) is not None

    async def exists(self, key: str) -> bool:
        return key in self.values

    async def clear(self) -> bool:
        self.values.clear()
        return True


class Lower(MemoryCache):
    """A lower level that counts what it is asked, and knows times and tags."""

    def __init__(self) -> None:
        super().__init__(None)
        self.looks = 0

    async def look(self, key: str) -> Found | None:
        self.looks += 1
        return await super().look(key)


def levels(
    strategy: CacheStrategy = CacheStrategy.WRITE_THROUGH, **options: Any
) -> tuple[MultiLevelCache, MemoryCache, Lower]:
    memory, lower = MemoryCache(), Lower()
    cache = MultiLevelCache({CacheLevel.L2_REDIS: lower, CacheLevel.L1_MEMORY: memory}, strategy, **options)
    return cache, memory, lower


def test_values_of_every_kind_come_back_none_among_them() -> None:
    async def scene() -> None:
        cache, _, _ = levels()
        for value in (None, 0, "", [], {"a": (1, {2})}, 1.5, b"x"):
            assert await cache.set("k", value)
            got = await cache.get("k", "absent")
            assert (got, type(got)) == (value, type(value))
        assert await cache.get("other", "absent") == "absent"

    run(scene())


def test_copy_from_a_lower_level_has_the_time_that_was_left() -> None:
    # The seed's copy was for ever: L1 served what L2 no longer had.
    async def scene() -> None:
        cache, memory, lower = levels()
        await lower.set("k", 1, ttl=0.05)

        assert await cache.get("k") == 1
        found = await memory.look("k")
        assert found is not None and found.remaining is not None and found.remaining <= 0.05

        async def gone() -> bool:
            return await cache.get("k") is None

        await until(gone)
        assert not await memory.exists("k")

    run(scene())


def test_second_read_asks_the_lower_level_no_more() -> None:
    async def scene() -> None:
        cache, _, lower = levels()
        await lower.set("k", 1)

        assert [await cache.get("k") for _ in range(3)] == [1, 1, 1]
        assert lower.looks == 1

    run(scene())


def test_value_of_unknown_time_is_not_copied() -> None:
    async def scene() -> None:
        memory, foreign = MemoryCache(), Foreign()
        cache = MultiLevelCache({CacheLevel.L1_MEMORY: memory, CacheLevel.L3_DATABASE: foreign})
        foreign.values["k"] = 1

        assert [await cache.get("k"), await cache.get("k")] == [1, 1]
        assert foreign.reads == 2
        assert not await memory.exists("k")

    run(scene())


def test_value_that_is_over_does_not_exist_and_a_time_of_zero_is_over_at_once() -> None:
    # In the seed `exists` said True after the end, and 0 was for ever.
    async def scene() -> None:
        cache, memory, _ = levels()
        await cache.set("k", 1, ttl=0.02)
        assert await cache.exists("k")

        async def gone() -> bool:
            return not await cache.exists("k")

        await until(gone)
        assert not await memory.exists("k")

        await cache.set("z", 1)
        assert not await cache.set("z", 2, ttl=0)
        assert not await cache.exists("z")

    run(scene())


def test_write_around_writes_the_lowest_level_only_and_drops_what_was_above() -> None:
    # In the seed it returned True and stored nowhere.
    async def scene() -> None:
        cache, memory, lower = levels(CacheStrategy.WRITE_AROUND)
        await memory.set("k", "old")

        assert await cache.set("k", "new")

        assert not await memory.exists("k")
        assert await lower.get("k") == "new"
        assert await cache.get("k") == "new"
        alone = MultiLevelCache(strategy=CacheStrategy.WRITE_AROUND)
        assert await alone.set("k", 1)
        assert await alone.get("k") == 1

    run(scene())


def test_write_back_reaches_the_lower_level_on_its_own() -> None:
    # In the seed it never did.
    async def scene() -> None:
        cache, memory, lower = levels(CacheStrategy.WRITE_BACK, write_back_delay=0.02)

        assert await cache.set("k", [1], ttl=60)
        assert await memory.get("k") == [1]
        assert not await lower.exists("k")

        async def written() -> bool:
            return await lower.exists("k")

        await until(written)
        found = await lower.look("k")
        assert found is not None and found.remaining is not None and 50 < found.remaining <= 60

    run(scene())


def test_value_that_waits_to_be_written_back_is_read_even_if_memory_has_dropped_it() -> None:
    async def scene() -> None:
        cache, memory, lower = levels(CacheStrategy.WRITE_BACK, write_back_delay=60)
        await lower.set("k", "old")
        await cache.set("k", "new")
        await memory.delete("k")

        assert await cache.get("k") == "new"
        assert await cache.exists("k")
        assert await cache.flush() == 1
        assert await lower.get("k") == "new"
        assert await cache.flush() == 0

    run(scene())


def test_delete_and_clear_forget_what_waits_to_be_written_back() -> None:
    async def scene() -> None:
        cache, _, lower = levels(CacheStrategy.WRITE_BACK, write_back_delay=60)
        await cache.set("k", 1)
        assert await cache.delete("k")
        assert not await cache.delete("k")
        await cache.set("other", 1)
        await cache.clear()
        await cache.set("tagged", 1, tags=["t"])
        await cache.invalidate_tags(["t"])

        assert await cache.flush() == 0
        assert [await lower.exists(key) for key in ("k", "other", "tagged")] == [False] * 3
        assert await cache.get("tagged") is None

    run(scene())


def test_tags_reach_every_level_and_a_level_that_knows_none_is_not_given_tagged_values() -> None:
    async def scene() -> None:
        cache, _, lower = levels()
        foreign = Foreign()
        cache.add_level(CacheLevel.L3_DATABASE, foreign)
        foreign.values["k"] = "old"

        await cache.set("k", 1, tags=["user:1", "users"])
        await cache.set("plain", 2)
        assert "k" not in foreign.values
        await cache.invalidate_tags(["user:1"])
        await cache.invalidate_tags(["user:1", "never heard of"])

        assert not await lower.exists("k")
        assert await cache.get("k") is None
        assert await cache.get("plain") == 2

    run(scene())


def test_of_fifty_callers_one_loads() -> None:
    async def scene() -> None:
        cache, _, _ = levels()
        loads = 0
        go = asyncio.Event()

        async def load() -> list[int]:
            nonlocal loads
            loads += 1
            await go.wait()
            return [1]

        tasks = [asyncio.create_task(cache.get_or_set("k", load, ttl=60)) for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*tasks)

        assert results == [[1]] * 50
        assert loads == 1
        results[0].append(2)
        assert await cache.get("k") == [1]

    run(scene())


def test_of_fifty_threads_one_loads() -> None:
    cache, _, _ = levels()
    together = threading.Barrier(50)
    loads: list[int] = []

    def load() -> None:
        loads.append(1)
        time.sleep(0)

    def read(_: int) -> Any:
        together.wait(PATIENCE)
        return cache.sync.get_or_set("k", load, ttl=60)

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(read, range(50))) == [None] * 50
    assert len(loads) == 1


def test_of_callers_with_a_loop_and_without_one_loads() -> None:
    cache, _, _ = levels()
    loading, leave = threading.Event(), threading.Event()
    loads: list[str] = []

    def load() -> list[int]:
        loads.append("sync")
        loading.set()
        assert leave.wait(PATIENCE)
        return [1]

    async def load_awaited() -> list[int]:
        loads.append("async")
        loading.set()
        await asyncio.to_thread(leave.wait, PATIENCE)
        return [1]

    def read() -> Any:
        return cache.sync.get_or_set("k", load)

    def read_awaited() -> Any:
        return run(cache.get_or_set("k", load_awaited))

    for first, second in ((read, read_awaited), (read_awaited, read)):
        with ThreadPoolExecutor(2) as pool:
            leader = pool.submit(first)
            assert loading.wait(PATIENCE)
            waiting = pool.submit(second)
            while _waiters() == 0 and not waiting.done():
                time.sleep(0)
            leave.set()

            assert leader.result(PATIENCE) == waiting.result(PATIENCE) == [1]
            assert leader.result() is not waiting.result()
        cache.sync.delete("k")
        loading.clear()
        leave.clear()

    assert loads == ["sync", "async"]


def _waiters() -> int:
    """How many callers wait for a computation, in whatever form."""
    waiting = [(flight._event._cond._waiters, flight._listeners) for flight in list(_flight._under_way.values())]
    return sum(len(threads) + len(tasks) for threads, tasks in waiting)


def test_caller_that_would_hold_up_the_loader_loads_itself() -> None:
    # A blocking caller in the thread of the loop in which the loader goes on: it would wait for itself.
    cache, _, _ = levels()

    async def scene() -> None:
        begun, leave = asyncio.Event(), asyncio.Event()

        async def load() -> int:
            begun.set()
            await leave.wait()
            return 1

        leader = asyncio.create_task(cache.get_or_set("k", load))
        await begun.wait()
        begin = time.monotonic()
        assert cache.sync.get_or_set("k", lambda: 2, wait=PATIENCE) == 2
        assert time.monotonic() - begin < PATIENCE / 2
        leave.set()
        assert await leader == 1

    run(scene())

    def nested() -> int:
        return int(run(cache.get_or_set("n", lambda: 3, wait=PATIENCE)))

    begin = time.monotonic()
    assert cache.sync.get_or_set("n", nested) == 3
    assert time.monotonic() - begin < PATIENCE / 2


def test_value_that_cannot_be_unpickled_any_more_is_a_miss_that_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, memory, _ = levels()
    monkeypatch.setitem(globals(), "Gone", type("Gone", (), {"__module__": __name__, "__qualname__": "Gone"}))
    for key in "ab":
        cache.sync.set(key, globals()["Gone"]())
    monkeypatch.delitem(globals(), "Gone")

    assert [cache.sync.get(key, "absent") for key in "aab"] == ["absent"] * 3
    assert cache.sync.get_or_set("a", lambda: 1) == 1
    assert cache.sync.get("a") == 1
    assert memory._store.add("b", 2)
    assert [record.getMessage() for record in caplog.records].count(caplog.records[0].getMessage()) == 1
    assert "Gone" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "accepted"),
    [
        (lambda: cached(cache=5), "cache is a MultiLevelCache, not 5"),
        (lambda: cached(wait=None), "wait is a number of seconds from 0, not None"),
        (lambda: cached(stale="1"), "stale is a number of seconds from 0"),
        (lambda: cached(ttl="60"), "ttl is a number of seconds or None, not '60'"),
        (lambda: cached(key=5), "key can be called"),
        (lambda: cached(tags=5), "tags is a collection of str, not 5"),
        (lambda: cached(tags=[5]), "tags is a collection of str, in which 5 is none"),
        (lambda: cached(name=5), "name is a str"),
        (lambda: invalidate_tags(5), "tags is a collection of str"),
        (lambda: MultiLevelCache(5), "levels is a mapping"),
        (lambda: MultiLevelCache(write_back_delay=None), "write_back_delay is a number"),
        (lambda: MultiLevelCache().sync.set("k", 1, ttl="x"), "ttl is a number of seconds or None"),
        (lambda: MultiLevelCache().sync.get_or_set("k", int, tags="abc"), "tags is a collection of str, not one str"),
        (lambda: MultiLevelCache().sync.get_or_set("k", int, wait=None), "wait is a number"),
        (lambda: run(MultiLevelCache().get_or_set("k", int, wait=None)), "wait is a number"),
        (lambda: CacheDecorator(5), "cache is a MultiLevelCache"),
        (lambda: CacheInvalidationManager(5), "cache is a MultiLevelCache"),
        (lambda: CacheWarmup(5), "cache is a MultiLevelCache"),
        (lambda: CacheWarmup(concurrency=None), "concurrency is a whole number"),
        (lambda: CacheWarmup().add_warmup_task(5), "a task can be called, which 5 cannot"),
        (lambda: CacheWarmup().add_warmup_task(int, args=5), "args is a sequence"),
        (lambda: CacheWarmup().add_warmup_task(int, kwargs=5), "kwargs is a mapping"),
        (lambda: CacheWarmup().add_warmup_task(int, priority="x"), "priority is a number"),
        (lambda: CacheWarmup().register_loader(5, int), "a pattern is a str"),
        (lambda: CacheWarmup().register_loader("a", 5), "a loader can be called"),
        (lambda: run(CacheWarmup().intelligent_warmup("abc")), "patterns is a collection of str, not one str"),
        (lambda: run(CacheWarmup().intelligent_warmup([5])), "patterns is a collection of str, in which 5"),
    ],
)
def test_what_is_of_another_kind_is_refused_with_what_is_accepted(wrong: Callable[[], Any], accepted: str) -> None:
    with pytest.raises(TypeError, match=accepted):
        wrong()


@pytest.mark.parametrize("how", ["set", "delete", "tag", "clear"])
def test_loader_that_was_overtaken_by_a_write_does_not_undo_it(how: str) -> None:
    async def scene() -> None:
        cache = MultiLevelCache({CacheLevel.L1_MEMORY: MemoryCache()})
        started, go = asyncio.Event(), asyncio.Event()

        async def load() -> str:
            started.set()
            await go.wait()
            return "old"

        task = asyncio.create_task(cache.get_or_set("k", load, tags=["t"]))
        await started.wait()
        if how == "set":
            await cache.set("k", "new")
        elif how == "delete":
            await cache.delete("k")
        elif how == "tag":
            await cache.invalidate_tags(["t"])
        else:
            await cache.clear()
        go.set()

        assert await task == "old"
        assert await cache.get("k") == ("new" if how == "set" else None)

    run(scene())


def test_sync_form_has_the_same_methods_inside_and_outside_of_a_loop() -> None:
    cache, memory, lower = levels()
    sync = cache.sync

    def scene() -> None:
        assert sync.set("k", {"a": 1}, ttl=60, tags=["t"])
        assert sync.get("k") == {"a": 1}
        assert sync.exists("k")
        sync.invalidate_tags(["t"])
        assert sync.get("k", 3) == 3
        assert sync.get_or_set("l", lambda: 5) == 5
        assert sync.delete("l")
        assert sync.set("w", 1, strategy=CacheStrategy.WRITE_BACK)
        assert sync.flush() == 1
        assert sync.clear()

    async def inside() -> None:
        scene()

    scene()
    run(inside())


def test_sync_form_refuses_a_level_that_waits_for_a_loop() -> None:
    cache = MultiLevelCache({CacheLevel.L1_MEMORY: MemoryCache(), CacheLevel.L3_DATABASE: Foreign()})

    with pytest.raises(TypeError, match="asynchronous form"):
        cache.sync.get("k")


def test_wrong_calls_are_refused() -> None:
    async def scene() -> None:
        cache, _, _ = levels()
        with pytest.raises(TypeError, match="collection of str"):
            await cache.set("k", 1, tags="users")
        with pytest.raises(TypeError, match="CacheBackend"):
            cache.add_level(CacheLevel.L2_REDIS, object())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="pickle"):
            await cache.set("k", threading.Lock())
        assert not await cache.exists("k")

    run(scene())


operations = st.one_of(
    st.tuples(st.just("set"), st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["", "t", "u"])),
    st.tuples(st.just("delete"), st.sampled_from("abc")),
    st.tuples(st.just("tag"), st.sampled_from("tu")),
    st.tuples(st.just("get"), st.sampled_from("abc")),
    st.tuples(st.just("drop_memory"), st.sampled_from("abc")),
    st.tuples(st.just("flush")),
    st.tuples(st.just("clear")),
)


@settings(max_examples=150)
@given(st.lists(operations, max_size=30), st.sampled_from(CacheStrategy))
@example([("set", "b", 0, "t"), ("get", "b"), ("tag", "t")], CacheStrategy.WRITE_AROUND)
@example([("set", "b", 0, "t"), ("drop_memory", "b"), ("get", "b"), ("tag", "t")], CacheStrategy.WRITE_THROUGH)
def test_levels_are_one_dictionary_whatever_the_strategy(steps: list[tuple[Any, ...]], strategy: CacheStrategy) -> None:
    async def scene() -> None:
        cache, memory, _ = levels(strategy, write_back_delay=1000)
        model: dict[str, tuple[int, str]] = {}
        for step in steps:
            match step:
                case ("set", key, value, tag):
                    await cache.set(key, value, tags=[tag] if tag else [])
                    model[key] = (value, tag)
                case ("delete", key):
                    assert await cache.delete(key) == (key in model)
                    model.pop(key, None)
                case ("tag", tag):
                    await cache.invalidate_tags([tag])
                    model = {key: kept for key, kept in model.items() if kept[1] != tag}
                case ("get", key):
                    assert await cache.get(key) == (model[key][0] if key in model else None)
                case ("drop_memory", key):
                    memory._store.delete(key)
                case ("flush",):
                    await cache.flush()
                case ("clear",):
                    await cache.clear()
                    model.clear()
        for key in "abc":
            assert await cache.exists(key) == (key in model)

    asyncio.run(scene())


def test_decorated_function_uses_the_levels_below_memory() -> None:
    async def scene() -> None:
        foreign = Foreign()
        cache = MultiLevelCache({CacheLevel.L1_MEMORY: MemoryCache(), CacheLevel.L3_DATABASE: foreign})
        calls = 0

        @CacheDecorator(cache).cached(ttl=60, key_prefix="tests")
        async def read(x: int) -> list[int]:
            nonlocal calls
            calls += 1
            return [x]

        assert [await read(1), await read(1), await read(x=1)] == [[1]] * 3
        assert calls == 1
        await cache.clear()
        assert await read(1) == [1]
        assert calls == 2

    run(scene())


def test_decorated_function_is_dropped_with_its_tag_and_by_its_arguments() -> None:
    cache, _, _ = levels()
    calls: list[int] = []

    @CacheDecorator(cache).cached(ttl=60, tags=lambda x: [f"row:{x}"])
    def read(x: int) -> int:
        calls.append(x)
        return x

    assert (read(1), read(1), read(2)) == (1, 1, 2)
    cache.sync.invalidate_tags(["row:1"])
    assert (read(1), read(2)) == (1, 2)
    assert calls == [1, 2, 1]
    read.invalidate(2)
    read(2)
    read.invalidate_all()
    read(1)
    assert calls == [1, 2, 1, 2, 1]


def test_query_cache_keeps_none_by_typed_arguments_and_drops_by_tag() -> None:
    # The seed's: a None was never kept, a date raised, 1 and "1" were one query, nothing was ever invalidated.
    import datetime

    queries = QueryCache()
    calls: list[Any] = []

    @queries.cache_query(tags=["sessions"])
    def query(what: Any) -> None:
        calls.append(what)

    for what in (1, "1", datetime.date(2026, 1, 1), 1, "1", datetime.date(2026, 1, 1)):
        assert query(what) is None
    assert calls == [1, "1", datetime.date(2026, 1, 1)]

    queries.invalidate_by_tag("sessions")
    query(1)
    queries.clear()
    query(1)
    assert calls[3:] == [1, 1]
