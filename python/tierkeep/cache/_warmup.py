"""Values that are made before anybody asks for them."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tierkeep.cache import _arguments
from tierkeep.cache._levels import MultiLevelCache

__all__ = ["CacheWarmup", "WarmupReport"]

#: When a task runs: at the start, again and again, or only when it is asked for.
SCHEDULES = ("startup", "periodic", "on_demand")


@dataclass
class WarmupReport:
    """What a warm-up did."""

    #: Names of the tasks, or keys, that were warmed, in the order in which they ended.
    warmed: list[str] = field(default_factory=list)
    #: Those that raised, and what.
    failed: list[tuple[str, Exception]] = field(default_factory=list)
    #: Keys for which no loader is registered.
    without_loader: list[str] = field(default_factory=list)
    #: Seconds that all took together.
    seconds: float = 0.0


@dataclass(frozen=True)
class _Task:
    name: str
    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    priority: int


@dataclass(frozen=True)
class _Loader:
    pattern: str
    load: Callable[[str], Any]
    ttl: float | None
    tags: tuple[str, ...]


class CacheWarmup:
    """Tasks that fill caches, by schedule and priority, and loaders of keys.

    Args:
        cache: what `intelligent_warmup` fills.
        concurrency: most tasks at a time; those that are not asynchronous run in threads.
    """

    def __init__(self, cache: MultiLevelCache | None = None, *, concurrency: int = 4) -> None:
        if not isinstance(concurrency, int):
            raise TypeError(f"concurrency is a whole number from 1, not {concurrency!r}")
        if concurrency < 1:
            raise ValueError(f"concurrency is at least 1, not {concurrency}")
        self.cache = MultiLevelCache() if cache is None else _arguments.cache_of_levels(cache)
        self.concurrency = concurrency
        self._tasks: dict[str, list[_Task]] = {schedule: [] for schedule in SCHEDULES}
        self._loaders: list[_Loader] = []

    def add_warmup_task(
        self,
        func: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 1,
        schedule: str = "startup",
    ) -> None:
        """Has `func(*args, **kwargs)` run by `execute_warmup(schedule)`, those of higher priority first.

        Raises:
            ValueError: if `schedule` is none of startup, periodic, on_demand.
            TypeError: if `func` cannot be called, or the others are not what a call takes.
        """
        _arguments.callable_or_refused("a task", func)
        if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
            raise TypeError(f"args is a sequence of arguments, not {args!r}")
        if not isinstance(kwargs, Mapping | None):
            raise TypeError(f"kwargs is a mapping of arguments, not {kwargs!r}")
        if not isinstance(priority, int | float):
            raise TypeError(f"priority is a number, not {priority!r}")
        name = getattr(func, "__qualname__", repr(func))
        self._of(schedule).append(_Task(name, func, tuple(args), dict(kwargs or {}), priority))

    def register_loader(
        self, pattern: str, loader: Callable[[str], Any], ttl: float | None = None, tags: Iterable[str] = ()
    ) -> None:
        """Has keys that match the pattern (`*`, `?`, `[ab]`) made by `loader(key)`; the first that matches counts."""
        if not isinstance(pattern, str):
            raise TypeError(f"a pattern is a str, not {pattern!r}")
        _arguments.callable_or_refused("a loader", loader)
        if ttl is not None:
            ttl = _arguments.any_seconds("ttl", ttl)
        self._loaders.append(_Loader(pattern, loader, ttl, _arguments.many("tags", tags)))

    async def execute_warmup(self, schedule_type: str = "startup") -> WarmupReport:
        """Runs the tasks of that schedule. What one raises does not stop the others, and is in the report."""
        import asyncio
        import inspect

        tasks = sorted(self._of(schedule_type), key=lambda task: -task.priority)

        def job(task: _Task) -> Callable[[], Any]:
            def call() -> Any:
                return task.function(*task.args, **task.kwargs)

            if inspect.iscoroutinefunction(task.function):
                return call
            return lambda: asyncio.to_thread(call)

        return await self._run([(task.name, job(task)) for task in tasks])

    async def intelligent_warmup(self, patterns: Iterable[str]) -> WarmupReport:
        """Makes the keys that are not in the cache and have a loader; names those that have none.

        A pattern with `*`, `?` or `[` stands for no key: there is no telling which keys there should be.
        """
        jobs: list[tuple[str, Callable[[], Any]]] = []
        without: list[str] = []

        def job(key: str, loader: _Loader) -> Callable[[], Any]:
            return lambda: self.cache.get_or_set(key, lambda: loader.load(key), loader.ttl, tags=loader.tags)

        for key in dict.fromkeys(_arguments.many("patterns", patterns)):
            loader = None if set(key) & set("*?[") else self._loader_of(key)
            if loader is None:
                without.append(key)
            else:
                jobs.append((key, job(key, loader)))
        report = await self._run(jobs)
        report.without_loader = without
        return report

    def _of(self, schedule: str) -> list[_Task]:
        if schedule not in SCHEDULES:
            raise ValueError(f"a schedule is one of {', '.join(SCHEDULES)}, not {schedule!r}")
        return self._tasks[schedule]

    def _loader_of(self, key: str) -> _Loader | None:
        return next((loader for loader in self._loaders if fnmatch.fnmatchcase(key, loader.pattern)), None)

    async def _run(self, jobs: list[tuple[str, Callable[[], Any]]]) -> WarmupReport:
        import asyncio

        report = WarmupReport()
        begin = time.monotonic()
        waiting = iter(jobs)

        async def work() -> None:
            for name, job in waiting:
                try:
                    result = await job()
                    if isinstance(result, Awaitable):
                        await result
                except Exception as error:
                    report.failed.append((name, error))
                else:
                    report.warmed.append(name)

        await asyncio.gather(*(work() for _ in range(min(self.concurrency, len(jobs)))))
        report.seconds = time.monotonic() - begin
        return report
