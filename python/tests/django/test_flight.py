"""One computation for all who ask at once: threads, tasks, and both together."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import Any

import pytest
from conftest import OURS
from faces import until

from tierkeep.django import Cache, flight

NAMES = (f"flight {number}" for number in itertools.count())


class Source:
    """Computes once it is let go, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_go = threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        assert self.may_go.wait(10)
        return {"call": [self.calls]}

    async def slowly(self) -> Any:
        self.calls += 1
        while not self.may_go.is_set():
            await asyncio.sleep(0.001)
        return {"call": [self.calls]}


def start(count: int, work: Any) -> tuple[list[threading.Thread], list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def make(**options: Any) -> Cache:
    return Cache(next(NAMES), {**OURS, "OPTIONS": {**OURS["OPTIONS"], **options}})  # type: ignore[dict-item]


def waiting(cache: Cache, count: int) -> bool:
    """True if so many have looked and found nothing: all but the leader are on their way to wait."""
    return cache.stats()["misses"] >= count


@pytest.mark.parametrize("timeout", [300, 0])
def test_fifty_threads_compute_once_and_get_copies(timeout: int) -> None:
    cache, source = make(), Source()
    threads, results = start(50, lambda: cache.get_or_set("k", source, timeout))
    assert until(lambda: waiting(cache, 50), 20)

    source.may_go.set()
    join(threads)

    # What is not kept at all is computed by those who came when it was over.
    assert source.calls == 1 or timeout == 0
    assert len(results) == 50 and all(isinstance(result, dict) for result in results)
    assert len({id(result["call"]) for result in results}) == 50


def test_fifty_tasks_compute_once() -> None:
    cache, source = make(), Source()

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(cache.aget_or_set("k", source.slowly)) for _ in range(50)]
        while not waiting(cache, 50):
            await asyncio.sleep(0.001)
        source.may_go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [{"call": [1]}] * 50
    assert source.calls == 1


@pytest.mark.parametrize("leader", ["thread", "task"])
def test_threads_and_tasks_wait_for_each_other(leader: str) -> None:
    cache, source = make(), Source()

    def sync() -> Any:
        return cache.get_or_set("k", source)

    def tasks() -> Any:
        async def main() -> Any:
            return await asyncio.gather(*[cache.aget_or_set("k", source.slowly) for _ in range(5)])

        return asyncio.run(main())

    first, one = start(1, sync if leader == "thread" else tasks)
    assert until(lambda: source.calls == 1, 10)
    others, many = start(5, tasks if leader == "thread" else sync)
    assert until(lambda: waiting(cache, 6), 10)

    source.may_go.set()
    join([*first, *others])

    assert source.calls == 1
    assert {"call": [1]} in (one[0] if leader == "task" else one)
    assert all(result in ({"call": [1]}, [{"call": [1]}] * 5) for result in many)


def test_who_comes_after_an_invalidation_does_not_get_what_was_begun_before_it() -> None:
    cache, source = make(), Source()
    threads, results = start(1, lambda: cache.get_or_set("k", source, tags=["t"]))
    assert until(lambda: source.calls == 1)

    cache.invalidate_tag("t")

    assert cache.get_or_set("k", lambda: "new", tags=["t"]) == "new"
    source.may_go.set()
    join(threads)
    assert cache.get("k") == "new" and source.calls == 1
    assert results == ["new"], "another writer's value wins"


def test_an_error_is_the_leaders_and_the_others_compute() -> None:
    cache = make()
    may_fail, calls = threading.Event(), itertools.count(1)

    def compute() -> str:
        if next(calls) == 1:
            assert may_fail.wait(10)
            raise LookupError("first")
        return "value"

    threads, results = start(5, lambda: cache.get_or_set("k", compute))
    assert until(lambda: waiting(cache, 5), 10)
    may_fail.set()
    join(threads)

    assert [type(result) for result in results].count(LookupError) == 1
    assert results.count("value") == 4
    assert cache.get("k") == "value"
    assert not flight._flights


def test_a_cancelled_leader_leaves_nobody_waiting() -> None:
    cache, source = make(), Source()

    async def main() -> Any:
        leader = asyncio.create_task(cache.aget_or_set("k", source.slowly))
        while source.calls == 0:
            await asyncio.sleep(0.001)
        follower = asyncio.create_task(cache.aget_or_set("k", lambda: "other"))
        await asyncio.sleep(0)
        leader.cancel()
        return await asyncio.wait_for(follower, 10)

    assert asyncio.run(main()) == "other"
    assert not flight._flights


def test_a_computation_that_asks_for_its_own_key_does_not_wait_for_itself() -> None:
    cache = make()

    assert cache.get_or_set("k", lambda: cache.get_or_set("k", lambda: 1)) == 1

    async def inner() -> int:
        value: int = await cache.aget_or_set("other", lambda: 2)
        return value

    async def main() -> Any:
        return await asyncio.wait_for(cache.aget_or_set("other", inner), 10)

    assert asyncio.run(main()) == 2


def test_synchronous_code_on_the_leaders_event_loop_does_not_wait() -> None:
    cache, source = make(), Source()

    async def main() -> Any:
        leader = asyncio.create_task(cache.aget_or_set("k", source.slowly))
        while source.calls == 0:
            await asyncio.sleep(0.001)
        value = cache.get_or_set("k", lambda: "at once")
        source.may_go.set()
        return value, await leader

    assert asyncio.run(main()) == ("at once", "at once")


def test_a_leader_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "LONGEST_WAIT", 0.05)
    cache, source = make(), Source()
    threads, _ = start(1, lambda: cache.get_or_set("k", source))
    assert until(lambda: source.calls == 1)

    begun = time.monotonic()
    assert cache.get_or_set("k", lambda: "mine") == "mine"
    assert time.monotonic() - begun < 5

    source.may_go.set()
    join(threads)


def test_without_flights_all_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the tests before: it is the flight that makes it one."""
    monkeypatch.setattr(flight, "board", lambda what: (flight.Flight(), True))
    cache, source = make(), Source()
    threads, _ = start(5, lambda: cache.get_or_set("k", source))
    assert until(lambda: source.calls == 5, 10)

    source.may_go.set()
    join(threads)
