"""The manager of invalidations, and warm-up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tierkeep.cache import CacheInvalidationManager, CacheWarmup, InvalidationStrategy, MultiLevelCache

PATIENCE = 20.0


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


def poll(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.001)


def test_example_of_the_second_guide_works_twice_and_for_unknown_names() -> None:
    # Its own example, by tag and then by dependency, raised KeyError.
    async def scene() -> None:
        manager = CacheInvalidationManager()
        for _ in range(2):
            await manager.set_with_metadata("user:1", {"name": "A"}, 300, tags=["user"], dependencies=["table:users"])
            await manager.set_with_metadata("user:2", {"name": "B"}, 300, tags=["user"], dependencies=["table:users"])
            await manager.set_with_metadata("course:1", 1, 300, tags=["course"], dependencies=["table:users"])

            assert await manager.invalidate_by_tag("user") == 2
            assert await manager.get("user:1") is None
            assert await manager.get("course:1") == 1
            assert await manager.invalidate_by_dependency("table:users") == 1
            assert await manager.get("course:1") is None
            assert await manager.invalidate_by_tag("unheard of") == 0
            assert await manager.invalidate_by_dependency("unheard of") == 0

    run(scene())


def test_what_depends_on_a_key_goes_with_it_and_what_depends_on_that() -> None:
    async def scene(change: Callable[[CacheInvalidationManager], Coroutine[Any, Any, Any]]) -> None:
        manager = CacheInvalidationManager()
        await manager.set_with_metadata("a", 1, tags=["base"])
        await manager.set_with_metadata("b", 2, dependencies=["a"])
        await manager.set_with_metadata("c", 3, dependencies=["b"])
        await manager.set_with_metadata("other", 4)

        await change(manager)

        assert [await manager.get(key) for key in ("b", "c", "other")] == [None, None, 4]

    run(scene(lambda manager: manager.set_with_metadata("a", 5)))
    run(scene(lambda manager: manager.invalidate("a")))
    run(scene(lambda manager: manager.invalidate_by_tag("base")))
    run(scene(lambda manager: manager.invalidate_by_dependency("a")))


def test_callbacks_are_told_key_and_reason_and_their_errors_stop_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[str, str]] = []

    def failing(key: str, strategy: InvalidationStrategy) -> None:
        raise RuntimeError("no")

    def sync(key: str, strategy: InvalidationStrategy) -> None:
        told.append((key, strategy.value))

    async def awaited(key: str, strategy: InvalidationStrategy) -> None:
        await asyncio.sleep(0)
        told.append((key, f"async {strategy.value}"))

    async def scene() -> None:
        manager = CacheInvalidationManager()
        for callback in (failing, sync, awaited):
            manager.add_invalidation_callback(callback)
        await manager.set_with_metadata("a", 1, tags=["t"])
        await manager.set_with_metadata("b", 1, dependencies=["d"])
        await manager.set_with_metadata("c", 1)
        await manager.set_with_metadata("e", 1, ttl=0.001)
        await manager.invalidate_by_tag("t")
        await manager.invalidate_by_dependency("d")
        await manager.invalidate("c")
        await asyncio.sleep(0.002)
        await manager.invalidate_expired()

    run(scene())

    reasons = [("a", "tag"), ("b", "dependency"), ("c", "manual"), ("e", "ttl")]
    assert told == [one for key, reason in reasons for one in ((key, reason), (key, f"async {reason}"))]
    assert caplog.text.count("RuntimeError: no") == 4


def test_cleanup_task_sweeps_until_it_is_stopped() -> None:
    async def scene() -> None:
        manager = CacheInvalidationManager()
        await manager.set_with_metadata("a", 1, ttl=0.01)
        manager.start_cleanup_task(interval=0.005)
        end = time.monotonic() + PATIENCE
        while manager.entry("a") is not None:
            assert time.monotonic() < end
            await asyncio.sleep(0.001)
        task = manager._sweeper
        assert task is not None
        manager.stop_cleanup_task()
        manager.stop_cleanup_task()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scene())


def test_sync_form_does_the_same_without_a_loop() -> None:
    manager = CacheInvalidationManager().sync
    gone: list[str] = []
    manager._manager.add_invalidation_callback(lambda key, strategy: gone.append(key))

    manager.set_with_metadata("a", 1, ttl=60, tags=["t"], dependencies=["d"])
    assert manager.get("a") == 1
    assert manager.invalidate_by_tag("t") == 1
    manager.set_with_metadata("a", 2, dependencies=["d"])
    assert manager.invalidate_by_dependency("d") == 1
    manager.set_with_metadata("a", 3)
    assert manager.invalidate("a")
    assert not manager.invalidate("a")
    manager.set_with_metadata("b", 3, ttl=0.01)
    before = threading.active_count()
    end = manager.start_cleanup_task(interval=0.005)
    poll(lambda: gone == ["a", "a", "a", "b"])
    end()
    assert threading.active_count() == before


def test_tasks_of_higher_priority_run_first_and_one_that_fails_stops_none() -> None:
    ran: list[str] = []

    async def awaited(name: str) -> None:
        ran.append(name)

    def sync(name: str, *, fail: bool = False) -> None:
        ran.append(name)
        if fail:
            raise ValueError(name)

    async def scene() -> None:
        warmup = CacheWarmup(concurrency=1)
        warmup.add_warmup_task(awaited, ["low"], priority=1)
        warmup.add_warmup_task(sync, ("high",), {"fail": True}, priority=10)
        warmup.add_warmup_task(sync, ("middle",), priority=5)
        warmup.add_warmup_task(awaited, ("later",), priority=99, schedule="periodic")

        report = await warmup.execute_warmup("startup")

        assert ran == ["high", "middle", "low"]
        assert len(report.warmed) == 2
        assert [str(error) for _, error in report.failed] == ["high"]
        assert report.seconds >= 0
        await warmup.execute_warmup("periodic")
        assert ran[3:] == ["later"]
        with pytest.raises(ValueError, match="startup, periodic, on_demand"):
            await warmup.execute_warmup("sometimes")

    run(scene())


def test_keys_with_a_loader_are_made_and_the_others_are_named() -> None:
    async def scene() -> None:
        cache = MultiLevelCache()
        warmup = CacheWarmup(cache)
        loads: list[str] = []

        async def load(key: str) -> str:
            loads.append(key)
            if key == "user:bad":
                raise LookupError(key)
            return key.upper()

        warmup.register_loader("user:*", load, ttl=60, tags=["users"])
        await cache.set("user:2", "kept")

        report = await warmup.intelligent_warmup(["user:1", "user:2", "course:1", "user:*", "user:bad", "user:1"])

        assert (await cache.get("user:1"), await cache.get("user:2")) == ("USER:1", "kept")
        assert loads == ["user:1", "user:bad"]
        assert report.without_loader == ["course:1", "user:*"]
        assert [key for key, _ in report.failed] == ["user:bad"]
        await cache.invalidate_tags(["users"])
        assert await cache.get("user:1") is None

    run(scene())
