"""What a hit of `cached` costs, beside a bare call of the extension and what others have; ratios of one run.

    pip wheel --no-deps -w dist . && pip install dist/*.whl && python python/benches/cached.py

Times are of the thread's CPU, the least of many rounds, of a call as code writes it; what an empty loop takes is taken off.
(An empty function instead would make what is in C cheaper than nothing.) The goal: at most 2 times a bare call.
"""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tierkeep._core
from tierkeep import cached

CALLS = 20_000
ROUNDS = 25
VALUE = "x" * 300
STATISTICS = {"date": "2026-01-01", "minutes": 95, "hours": {str(hour): hour for hour in range(24)}, "subjects": ["a"]}


def of_nothing(call: Callable[..., Any]) -> None:
    for _ in range(CALLS):
        pass


def of_one(call: Callable[..., Any], one: Any) -> None:
    for _ in range(CALLS):
        call(one)


def of_two(call: Callable[..., Any], one: Any, two: Any) -> None:
    for _ in range(CALLS):
        call(one, two)


def nanoseconds(call: Callable[..., Any], *args: Any) -> float:
    """The least time of one call over all rounds."""
    calls: Callable[..., None] = (of_nothing, of_one, of_two)[len(args)]
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.thread_time_ns()
        calls(call, *args)
        best = min(best, time.thread_time_ns() - begin)
    return best / CALLS


@cached(name="benches.text")
def text(user: str) -> str:
    return VALUE


@cached(name="benches.pair")
def pair(user: int, day: str) -> str:
    return VALUE


@cached(name="benches.five")
def five(user: int, day: str, zone: str = "UTC", lang: str = "en", detail: bool = False) -> str:
    return VALUE


@cached(name="benches.anything")
def anything(*args: str, **kwargs: str) -> str:
    return VALUE


@cached(name="benches.keyed", key=lambda user: user)
def keyed(user: str) -> str:
    return VALUE


@cached(name="benches.two")
def two(user: int, day: str, *, zone: str = "UTC") -> str:
    return VALUE


@cached(name="benches.statistics")
def statistics(user: str) -> dict[str, Any]:
    return STATISTICS


@cached(name="benches.awaited")
async def awaited(user: str) -> str:
    return VALUE


@functools.lru_cache
def remembered(user: str) -> str:
    return VALUE


def empty(user: str) -> None:
    pass


def drive(call: Callable[[str], Any]) -> Callable[[str], Any]:
    """Calls an `async` function as an event loop would whose task needs no waiting."""

    def driven(user: str) -> Any:
        try:
            call(user).send(None)
        except StopIteration as stopped:
            return stopped.value

    return driven


async def plain(user: str) -> str:
    return VALUE


def import_ms() -> float:
    """The least of several imports, in processes of their own."""
    code = "import time; a = time.perf_counter(); import tierkeep; print(time.perf_counter() - a)"
    return 1000 * min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(9)
    )


def main() -> None:
    store = tierkeep._core.Store("benches", shared=True)
    store.set("tests:1:u1", VALUE)
    store.set("tests:1:s1", STATISTICS)
    for of_user in (text, statistics, remembered, anything, keyed):
        of_user("u1")
    for of_day in (pair, two, five):
        of_day(17, "2026-01-01")
    asyncio.run(awaited("u1"))  # type: ignore[arg-type]

    nothing = nanoseconds(empty)
    rows = [
        ("an empty function", nanoseconds(empty, "u1")),
        ("bare call of the extension, 300 bytes", nanoseconds(store.get, "tests:1:u1")),
        ("cached, one argument", nanoseconds(text, "u1")),
        ("cached, two arguments", nanoseconds(pair, 17, "2026-01-01")),
        ("cached, two arguments and a default", nanoseconds(two, 17, "2026-01-01")),
        ("cached, five arguments, three by default", nanoseconds(five, 17, "2026-01-01")),
        ("cached, *args and **kwargs", nanoseconds(anything, "u1")),
        ("cached, key=", nanoseconds(keyed, "u1")),
        ("functools.lru_cache (no expiry, no copy, no invalidation)", nanoseconds(remembered, "u1")),
        ("bare call, dict of statistics", nanoseconds(store.get, "tests:1:s1")),
        ("cached, dict of statistics", nanoseconds(statistics, "u1")),
        ("an empty coroutine", nanoseconds(drive(plain), "u1")),
        ("cached async, one argument", nanoseconds(drive(awaited), "u1")),
    ]
    times = {name: taken - nothing for name, taken in rows}
    for name, taken in times.items():
        print(f"{name:60} {taken:8.0f} ns")
    print()
    bare, tree = times["bare call of the extension, 300 bytes"], times["bare call, dict of statistics"]
    print(f"cached / bare, one argument          {times['cached, one argument'] / bare:5.2f}  (goal: at most 2)")
    print(f"cached / bare, two arguments         {times['cached, two arguments'] / bare:5.2f}")
    print(f"cached / bare, two and a default     {times['cached, two arguments and a default'] / bare:5.2f}")
    print(f"cached / bare, dict of statistics    {times['cached, dict of statistics'] / tree:5.2f}")
    print(f"import tierkeep                      {import_ms():5.1f} ms  (goal: below 50)")
    library = Path(tierkeep._core.__file__)
    print(f"{library.name}                       {library.stat().st_size / 1e6:5.1f} MB")


if __name__ == "__main__":
    main()
