"""With a server behind the backend, an event loop goes on while the server is waited for."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import FOLDER
from django.core.cache.backends.base import CacheKeyWarning
from django.core.exceptions import SynchronousOnlyOperation
from faces import until

from tierkeep.django import Cache, errands
from tierkeep.django.lock import LockError

sys.path.append(str(Path(__file__).parents[1] / "coherence"))
from coherence_servers import Proxy, Server, proxied

TABLE = str(Path(FOLDER.name) / "event-loop-table")

#: Seconds after which a server that says nothing is given up.
LIMIT = 2.0


def backend(location: str, **options: Any) -> Any:
    return Cache(location, {"OPTIONS": {"GENERATIONS": TABLE, "SOCKET_TIMEOUT": 20, **options}})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server("redis") as server:
        yield server.url


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with proxied(tmp_path) as one:
        yield one


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """The address of a server that accepts and never answers."""
    path = tmp_path / "silent.socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(256)
    taken: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                taken.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"unix://{path}"
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for one in (listener, *taken):
        one.close()


async def longest_gap(calls: Iterable[Awaitable[Any]]) -> float:
    """The longest time for which another task did not get its turn while those were awaited, in seconds."""
    longest, is_over = 0.0, False

    async def tick() -> None:
        nonlocal longest
        last = time.monotonic()
        while not is_over:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    ticker = asyncio.create_task(tick())
    # It ticks before anything is called.
    await asyncio.sleep(0.01)
    await asyncio.gather(*calls)
    is_over = True
    await ticker
    return longest


async def fails(call: Awaitable[Any]) -> None:
    with pytest.raises((ConnectionError, LockError)):
        await call


async def locked(cache: Any) -> None:
    async with cache.lock("k", timeout=5):
        raise AssertionError("nobody gave this lock")


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "aget": lambda cache: cache.aget("k"),
    "aget_many": lambda cache: cache.aget_many(["k", "l"]),
    "ahas_key": lambda cache: cache.ahas_key("k"),
    "aset": lambda cache: cache.aset("k", 1),
    "aadd": lambda cache: cache.aadd("k", 1),
    "aset_many": lambda cache: cache.aset_many({"k": 1}),
    "adelete": lambda cache: cache.adelete("k"),
    "adelete_many": lambda cache: cache.adelete_many(["k"]),
    "atouch": lambda cache: cache.atouch("k"),
    "aincr": lambda cache: cache.aincr("k"),
    "aclear": lambda cache: cache.aclear(),
    "attl": lambda cache: cache.attl("k"),
    "akeys": lambda cache: cache.akeys(),
    "adelete_pattern": lambda cache: cache.adelete_pattern("k*"),
    "ainvalidate_tags": lambda cache: cache.ainvalidate_tags(["t"]),
    "aget_or_set": lambda cache: cache.aget_or_set("k", lambda: 1),
    "lock": locked,
}


def gap_of(silent: str, calls: list[Callable[[Any], Awaitable[Any]]]) -> float:
    cache = backend(silent, SOCKET_TIMEOUT=LIMIT, SOCKET_CONNECT_TIMEOUT=LIMIT)

    async def main() -> float:
        return await longest_gap(fails(call(cache)) for call in calls)

    return asyncio.run(main())


def test_a_server_that_never_answers_holds_no_other_task_up(silent: str) -> None:
    begun = time.monotonic()

    assert gap_of(silent, list(CALLS.values())) < LIMIT / 2

    assert time.monotonic() - begun > LIMIT / 2, "something waited for that server"


@pytest.mark.parametrize("name", ["aget", "aset", "lock"])
def test_called_inline_the_same_holds_them_up(silent: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test before: it is the other threads that do it."""

    async def inline(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return call(*args, **options)

    monkeypatch.setattr(errands, "answer", inline)
    monkeypatch.setattr(errands, "outcome", inline)

    assert gap_of(silent, [CALLS[name]]) > LIMIT / 2


def test_what_is_copied_is_read_without_a_thread(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, odd = backend(url), "with spaces"
    cache.clear()
    cache.set_many({"k": [1], "l": None})
    with pytest.warns(CacheKeyWarning):
        cache.set(odd, 2)
        assert until(lambda: cache.get_many(["k", "l", odd]) and cache._copied_many(["k", "l", odd]) is not None, 20)
    hits = cache.stats()["hits"]

    def refuse(errand: Any) -> None:
        raise AssertionError("handed over")

    monkeypatch.setattr(errands, "hand_over", refuse)

    def result(call: Any) -> Any:
        # To the end without a loop: it never yields.
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        return stop.value.value

    assert result(cache.aget("k")) == [1] and result(cache.aget("l", 5)) is None
    assert result(cache.aget_many(iter(["k", "l"]))) == {"k": [1], "l": None}
    assert result(cache.ahas_key("l")) is True
    with pytest.warns(CacheKeyWarning) as warned:
        assert result(cache.aget(odd)) == 2
    assert len(warned) == 1
    assert cache.stats()["hits"] == hits + 6
    with pytest.raises(AssertionError, match="handed over"):
        asyncio.run(cache.aget("none"))


def test_a_key_is_warned_of_once(url: str) -> None:
    cache = backend(url)
    cache.clear()
    with pytest.warns(CacheKeyWarning) as warned:
        assert asyncio.run(cache.aget("not there")) is None
    assert len(warned) == 1


def test_a_subclass_that_reads_in_its_own_way_is_asked(url: str) -> None:
    class Louder(Cache):
        def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
            return f"{super().get(key, default, version)}!"

    cache = Louder(url, {"OPTIONS": {"GENERATIONS": TABLE, "SOCKET_TIMEOUT": 20}})
    cache.set("louder", "hello")
    assert until(lambda: cache.get("louder") and cache._copied("louder", None) is not None, 20)

    assert asyncio.run(cache.aget("louder")) == "hello!"


WRITES: dict[str, Callable[[Any], Any]] = {
    "delete": lambda cache: cache.delete("k"),
    "set": lambda cache: cache.set("k", "new"),
    "clear": lambda cache: cache.clear(),
}


@pytest.mark.parametrize("store", ["aset", "aadd"])
@pytest.mark.parametrize("write", ["delete", "set", "clear"])
def test_a_fill_that_a_write_elsewhere_overtook_is_not_kept(url: str, store: str, write: str) -> None:
    cache, other = backend(url), backend(url, SOCKET_TIMEOUT=19, GENERATIONS=TABLE + "-2")
    cache.clear()

    async def main() -> None:
        assert await cache.aget("k") is None
        await asyncio.to_thread(WRITES[write], other)
        assert await getattr(cache, store)("k", "old") is False

    asyncio.run(main())
    assert other.get("k") == ("new" if write == "set" else None)


def test_a_set_of_a_task_that_missed_nothing_is_a_decision(url: str) -> None:
    """The control of the test before: it is the task's own miss that does it."""
    cache, other = backend(url), backend(url, SOCKET_TIMEOUT=19, GENERATIONS=TABLE + "-2")
    cache.clear()

    async def main() -> None:
        async def miss() -> None:
            assert await cache.aget("k") is None

        await asyncio.create_task(miss())
        await asyncio.to_thread(other.delete, "k")
        assert await cache.aset("k", "mine") is True

    asyncio.run(main())
    assert other.get("k") == "mine"


def test_a_set_after_a_hit_is_a_decision(url: str) -> None:
    cache, other = backend(url), backend(url, SOCKET_TIMEOUT=19, GENERATIONS=TABLE + "-2")
    cache.clear()

    async def main() -> None:
        assert await cache.aget("k") is None
        await asyncio.to_thread(other.set, "k", "theirs")
        assert await cache.aget("k") == "theirs"
        assert await cache.aset("k", "mine") is True

    asyncio.run(main())
    assert other.get("k") == "mine"


def test_a_fill_that_has_to_be_pickled_elsewhere_is_still_a_fill(url: str) -> None:
    cache, other = backend(url), backend(url, SOCKET_TIMEOUT=19, GENERATIONS=TABLE + "-2")
    cache.clear()

    async def main() -> None:
        assert await cache.aget("k") is None
        await asyncio.to_thread(other.delete, "k")
        assert await cache.aset("k", AsksTheDatabase()) is False
        assert await cache.aset("l", AsksTheDatabase()) is True

    asyncio.run(main())
    assert other.get("k") is None and isinstance(other.get("l"), AsksTheDatabase)


class AsksTheDatabase:
    """As a model with deferred fields: pickling it is forbidden to event loops."""

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return AsksTheDatabase, ()
        raise SynchronousOnlyOperation("not on an event loop")


def test_two_hundred_tasks_read_and_fill_at_once(url: str) -> None:
    cache, other = backend(url), backend(url, SOCKET_TIMEOUT=19, GENERATIONS=TABLE + "-2")
    cache.clear()
    cache.set_many({f"there{number}": number for number in range(200)})
    stored: list[bool] = []

    async def main() -> None:
        found = await asyncio.gather(*[cache.aget(f"there{number}") for number in range(200)])
        assert found == list(range(200))
        missed, deleted = [0], asyncio.Event()

        async def fill(number: int) -> None:
            assert await cache.aget(f"k{number}") is None
            missed[0] += 1
            await deleted.wait()
            stored.append(await cache.aset(f"k{number}", "old"))

        tasks = [asyncio.create_task(fill(number)) for number in range(200)]
        while missed[0] < 200:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(other.delete_many, [f"k{number}" for number in range(200)])
        deleted.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert stored == [False] * 200


def test_a_cancelled_write_is_made_and_a_cancelled_read_is_not_waited_for(url: str) -> None:
    cache = backend(url)
    cache.clear()
    cache.set("k", 1)

    async def main() -> None:
        for call in (cache.aget("none"), cache.adelete("k"), cache.aset("l", {"whole": True})):
            task = asyncio.create_task(call)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        while await cache.aget("l") is None or await cache.aget("k") is not None:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert cache.get("l") == {"whole": True}


def test_a_lock_that_a_cancelled_task_was_about_to_take_is_free_again(url: str) -> None:
    cache = backend(url)
    cache.clear()

    async def main() -> None:
        for turns in range(20):
            lock = cache.lock("k")
            task = asyncio.create_task(lock.aacquire())
            for _ in range(turns % 4 + 1):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await lock.arelease()
            async with cache.lock("k", sleep=0.001, blocking_timeout=20):
                pass

    asyncio.run(asyncio.wait_for(main(), 40))


def test_an_error_comes_back_to_the_task(proxy: Proxy) -> None:
    cache = backend(proxy.url)
    proxy.crash()

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await cache.aget("k")
        with pytest.raises(TypeError):
            await cache.aset("k", threading.Lock())
        with pytest.raises(RuntimeError, match="StopIteration"):
            await errands.answer(next, iter([]))

    asyncio.run(main())


def test_the_end_of_the_interpreter_waits_for_none(silent: str) -> None:
    program = f"""
import asyncio, time
from django.conf import settings
settings.configure(SECRET_KEY="x")
from tierkeep.django import Cache
cache = Cache({silent!r}, {{"OPTIONS": {{"SOCKET_TIMEOUT": 300, "GENERATIONS": {TABLE!r}}}}})
async def main():
    task = asyncio.create_task(cache.aget("k"))
    await asyncio.sleep(0.05)
    task.cancel()
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_the_end_of_the_interpreter_ends_no_thread_in_the_midst_of_a_call(url: str) -> None:
    program = f"""
import asyncio
from django.conf import settings
settings.configure(SECRET_KEY="only for tests")
from tierkeep.django import Cache
cache = Cache({url!r}, {{"OPTIONS": {{"SOCKET_TIMEOUT": 20, "GENERATIONS": {TABLE!r}}}}})
async def main():
    tasks = [asyncio.create_task(cache.aset(f"ended{{n}}", {{n: complex(n)}})) for n in range(300)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
asyncio.run(main())
"""
    for _ in range(10):
        subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_a_forked_child_has_threads_of_its_own(url: str) -> None:
    program = f"""
import asyncio, os
from django.conf import settings
settings.configure(SECRET_KEY="only for tests")
from tierkeep.django import Cache
cache = Cache({url!r}, {{"OPTIONS": {{"SOCKET_TIMEOUT": 20, "GENERATIONS": {TABLE!r}}}}})
async def main():
    await asyncio.gather(*[cache.aset(f"forked{{n}}", n) for n in range(20)])
    assert await asyncio.gather(*[cache.aget(f"forked{{n}}") for n in range(20)]) == list(range(20))
asyncio.run(main())
child = os.fork()
if child == 0:
    asyncio.run(main())
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
