"""`cache.lock` on a private Redis: one holder, its own token, and it says when it was lost."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faces import until

from tierkeep.django import Cache
from tierkeep.django.lock import LockError, LockNotOwnedError

sys.path.append(str(Path(__file__).parents[1] / "coherence"))
from coherence_servers import Server


@pytest.fixture(scope="module")
def cache() -> Iterator[Any]:
    with Server("redis") as server:
        yield Cache(server.url, {"OPTIONS": {"SOCKET_TIMEOUT": 20}})


def test_of_many_threads_one_is_inside(cache: Any) -> None:
    inside, most, total = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, total
        for _ in range(10):
            with cache.lock("many", timeout=60, sleep=0.001):
                inside += 1
                most = max(most, inside)
                total += 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (most, total) == (1, 40)


def test_who_does_not_get_it_is_told(cache: Any) -> None:
    with cache.lock("k", timeout=60):
        other = cache.lock("k", sleep=0.001)
        assert other.acquire(blocking=False) is False
        assert other.acquire(blocking_timeout=0.02) is False
        assert not other.owned()
        with pytest.raises(LockError), cache.lock("k", sleep=0.001, blocking_timeout=0.01):
            pass
        with pytest.raises(LockNotOwnedError):
            other.release()
        with cache.lock("k", version=2, blocking=False):
            pass
    assert cache.lock("k", blocking=False, timeout=60).acquire()


def test_a_lock_that_expired_is_said_to_be_lost(cache: Any) -> None:
    first, second = cache.lock("short", timeout=0.05), cache.lock("short", timeout=60, sleep=0.002)
    assert first.acquire() and first.extend(0.05)
    assert second.acquire(blocking_timeout=10)

    with pytest.raises(LockNotOwnedError, match="lost"):
        first.release()
    with pytest.raises(LockNotOwnedError):
        first.extend(10)
    assert not cache.lock("short").acquire(blocking=False), "the second one still holds it"
    second.release()


def test_each_thread_holds_for_itself_unless_told(cache: Any) -> None:
    for thread_local, owned in ((True, False), (False, True)):
        lock = cache.lock("own", timeout=60, thread_local=thread_local)
        assert lock.acquire()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(lock.owned()))
        thread.start()
        thread.join()
        assert seen == [owned]
        lock.release()


def test_tasks_go_on_while_one_waits(cache: Any) -> None:
    async def main() -> list[str]:
        done: list[str] = []

        async def wait() -> None:
            async with cache.lock("async", timeout=60, sleep=0.001, thread_local=False):
                done.append("second")

        async with cache.lock("async", timeout=60, thread_local=False):
            task = asyncio.create_task(wait())
            for _ in range(5):
                await asyncio.sleep(0.001)
            done.append("first")
        await task
        return done

    assert asyncio.run(main()) == ["first", "second"]


def test_what_is_locked_is_no_value(cache: Any) -> None:
    with cache.lock("value", timeout=60):
        assert not cache.has_key("value") and "value" not in cache.keys("*")
        cache.set("value", 1)
    assert cache.get("value") == 1
    assert until(lambda: cache.lock("value").acquire(blocking=False))
