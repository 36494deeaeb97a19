"""tierkeep.django.Cache beside Django's locmem and django-redis, in one process: trust the ratios, not the microseconds.

    python python/benches/backend.py [--testkit PATH] [--rounds N]

Needs a release build (`maturin develop --release`). django-redis is measured on a private Redis that `tierkeep-testkit`
serves (`--testkit`, or `target/debug/tierkeep-testkit`); without the binary, those rows are left out and that is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]

VALUE = "x" * 300

#: The shape of a day of statistics.
STATISTICS: dict[str, Any] = {
    "date": "2026-01-05", "total_minutes": 125, "session_count": 4, "avg_session_minutes": 31.25, "completed": True,
    "subjects": [{"name": f"subject {number}", "minutes": number * 7} for number in range(5)],
    "hours": {str(hour): hour * 2 for hour in range(24)}, "effectiveness": 4.2, "goal": None, "tags": ["a", "b", "c"],
}  # fmt: skip


def best(call: Callable[[], Any], rounds: int, seconds: float = 0.02) -> float:
    """Nanoseconds of one call, that of an empty function taken off: the least of the rounds."""
    return max(_least(call, rounds, seconds) - _least(lambda: None, rounds, seconds / 4), 0.1)


def _least(call: Callable[[], Any], rounds: int, seconds: float) -> float:
    count = 1
    while True:
        begun = time.perf_counter()
        for _ in range(count):
            call()
        if time.perf_counter() - begun > seconds / 2:
            break
        count *= 2
    least = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(count):
            call()
        least = min(least, (time.perf_counter() - begun) / count)
    return least * 1e9


def operations(cache: Any) -> dict[str, Callable[[], Any]]:
    """What is measured of a backend."""
    cache.set("text", VALUE, None)
    cache.set("statistics", STATISTICS, None)
    cache.set("object", [complex(1, 2)] * 3, None)
    cache.set("number", 0, None)
    return {
        "get, 300 bytes": lambda: cache.get("text"),
        "get, statistics": lambda: cache.get("statistics"),
        "get, pickled object": lambda: cache.get("object"),
        "get, miss": lambda: cache.get("missing"),
        "has_key": lambda: cache.has_key("text"),
        "get_or_set, hit": lambda: cache.get_or_set("text", VALUE),
        "set, 300 bytes": lambda: cache.set("text", VALUE),
        "set, statistics": lambda: cache.set("statistics", STATISTICS),
        "incr": lambda: cache.incr("number"),
        "get_many of 20": lambda: cache.get_many(MANY),
    }


MANY = [f"many {number}".replace(" ", "-") for number in range(20)]


def async_get(cache: Any, count: int = 2000) -> float:
    """Nanoseconds of one `await aget`, in a running loop."""

    async def run() -> float:
        cache.set("text", VALUE, None)
        least = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(count):
                await cache.aget("text")
            least = min(least, (time.perf_counter() - begun) / count)
        return least * 1e9

    return asyncio.run(run())


def redis(testkit: Path) -> tuple[subprocess.Popen[str], str] | None:
    """A private Redis and its address."""
    if not testkit.exists():
        print(f"no {testkit}: django-redis is left out", file=sys.stderr)
        return None
    server = subprocess.Popen([testkit, "redis"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    # A socket in a folder: what redis-py is fastest with.
    return server, server.stdout.readline().strip().replace("redis+unix://", "unix://")


def main() -> None:
    """Measures, and prints a table; the last line is the same as JSON."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--testkit", type=Path, default=ROOT / "target/debug/tierkeep-testkit")
    arguments.add_argument("--rounds", type=int, default=25)
    options = arguments.parse_args()
    folder = tempfile.TemporaryDirectory()
    settings.configure(SECRET_KEY="bench", USE_TZ=True)

    from django.core.cache.backends.locmem import LocMemCache

    from tierkeep.django import Cache

    backends: dict[str, Any] = {
        "tierkeep": Cache("bench", {"OPTIONS": {"GENERATIONS": f"{folder.name}/table"}}),
        "locmem": LocMemCache("bench", {"max_entries": 10_000}),
    }
    served = redis(options.testkit)
    if served is not None:
        from django_redis.cache import RedisCache

        backends["django-redis"] = RedisCache(served[1], {})

    figures: dict[str, dict[str, float]] = {}
    for name, backend in backends.items():
        backend.set_many({key: VALUE for key in MANY}, None)
        figures[name] = {label: best(call, options.rounds) for label, call in operations(backend).items()}
        if name != "django-redis":
            figures[name]["await aget, 300 bytes"] = async_get(backend, 2000 if name == "tierkeep" else 200)
    if served is not None:
        served[0].communicate("")

    print(f"{'':24}" + "".join(f"{name:>16}" for name in figures) + "     others / tierkeep")
    for label, ours in figures["tierkeep"].items():
        row = [others.get(label) for others in figures.values()]
        cells = "".join(f"{'-':>16}" if cell is None else f"{cell:13,.0f} ns" for cell in row)
        ratios = "  ".join(f"{cell / ours:7.1f}x" for cell in row[1:] if cell is not None)
        print(f"{label:24}{cells}     {ratios}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
