"""How long functions take: as they are called, and by calling them again and again."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

__all__ = ["BenchmarkResult", "CallTimes", "PerformanceBenchmark", "call_times", "performance_monitor"]

P = ParamSpec("P")
R = TypeVar("R")

#: Bits of precision of a recorded time: quantiles are right within 1 part in 2 to that power.
_BITS = 6

#: Most runs of one benchmark: each is kept until its end, as quantiles are exact.
MAX_RUNS = 1_000_000

_log = logging.getLogger("performance")


class CallTimes:
    """Times of a function's calls. Bounded: a few hundred counts, however many calls there are."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.errors = 0
        self.cancelled = 0

    def record(self, nanoseconds: int) -> None:
        """Adds one call."""
        shift = max(0, nanoseconds.bit_length() - _BITS - 1)
        bucket = (nanoseconds >> shift) << shift
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    @property
    def calls(self) -> int:
        """Calls that ended, in whatever way."""
        return sum(list(self._counts.values()))

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the calls ended, 0 to 1; 0.0 without calls."""
        if not 0 <= share <= 1:
            raise ValueError(f"a share is from 0 to 1, not {share!r}")
        counts = sorted(list(self._counts.items()))
        rank = max(1, math.ceil(share * sum(count for _, count in counts)))
        for bucket, count in counts:
            rank -= count
            if rank <= 0:
                return bucket / 1e9
        return 0.0


_times: dict[str, CallTimes] = {}


def call_times() -> dict[str, CallTimes]:
    """What `performance_monitor` recorded in this process, by name."""
    return dict(_times)


def performance_monitor(func_name: str | Callable[P, R] | None = None) -> Any:
    """Records how long each call of a function takes, asynchronous or not, and logs it at level INFO to `performance`.

    Calls that raise or are cancelled are counted apart and logged as such; times are of a clock that nobody sets back.
    `func_name`: the name in the log and in `call_times`; module and qualified name otherwise.
    """
    if callable(func_name):
        return performance_monitor()(func_name)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = func_name or f"{function.__module__}.{function.__qualname__}"
        times = _times.setdefault(name, CallTimes())

        def end(begin: int, error: BaseException | None) -> None:
            taken = time.perf_counter_ns() - begin
            times.record(taken)
            if error is None:
                _log.info("%s took %.6f s", name, taken / 1e9)
            elif isinstance(error, Exception):
                times.errors += 1
                _log.warning("%s failed after %.6f s: %r", name, taken / 1e9, error)
            else:
                times.cancelled += 1
                _log.info("%s was cancelled after %.6f s", name, taken / 1e9)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                begin = time.perf_counter_ns()
                try:
                    result = await cast("Callable[..., Awaitable[Any]]", function)(*args, **kwargs)
                except BaseException as error:
                    end(begin, error)
                    raise
                end(begin, None)
                return result

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            begin = time.perf_counter_ns()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                end(begin, error)
                raise
            end(begin, None)
            return result

        return called

    return decorate


@dataclass(frozen=True)
class BenchmarkResult:
    """Times of one benchmark, in seconds."""

    name: str
    iterations: int
    total_time: float
    avg_time: float
    median_time: float
    min_time: float
    max_time: float
    #: Standard deviation of the runs; 0 for a single one.
    std_dev: float
    p90: float
    p95: float
    p99: float
    #: Runs a second.
    per_second: float


class PerformanceBenchmark:
    """Calls functions again and again, after a tenth as many calls that do not count, at most ten."""

    def __init__(self) -> None:
        self.results: list[BenchmarkResult] = []

    def benchmark_function(
        self, func: Callable[..., Any], *args: Any, iterations: int = 100, name: str | None = None, **kwargs: Any
    ) -> BenchmarkResult:
        """Times `func(*args, **kwargs)`.

        Raises ValueError unless `iterations` is from 1 to a million, TypeError for an asynchronous function: only the
        making of its coroutine would be timed.
        """
        if inspect.iscoroutinefunction(func):
            raise TypeError(f"{_name_of(func)} is asynchronous: use benchmark_async_function")
        for _ in range(_warm_up(iterations)):
            func(*args, **kwargs)
        times = []
        for _ in range(iterations):
            begin = time.perf_counter_ns()
            func(*args, **kwargs)
            times.append(time.perf_counter_ns() - begin)
        return self._add(name or _name_of(func), times)

    async def benchmark_async_function(
        self,
        func: Callable[..., Awaitable[Any]],
        *args: Any,
        iterations: int = 100,
        name: str | None = None,
        **kwargs: Any,
    ) -> BenchmarkResult:
        """Times `await func(*args, **kwargs)`, one run after the other."""
        for _ in range(_warm_up(iterations)):
            await func(*args, **kwargs)
        times = []
        for _ in range(iterations):
            begin = time.perf_counter_ns()
            await func(*args, **kwargs)
            times.append(time.perf_counter_ns() - begin)
        return self._add(name or _name_of(func), times)

    def print_results(self) -> None:
        """Prints a table of all results, times in milliseconds."""
        print(self.table())  # noqa: T201 - what it is for

    def table(self) -> str:
        """The table that `print_results` prints."""
        lines: list[tuple[str, ...]] = [("name", "runs", "mean", "median", "min", "max", "p95", "p99", "per second")]
        for one in self.results:
            times = (one.avg_time, one.median_time, one.min_time, one.max_time, one.p95, one.p99)
            cells = [f"{seconds * 1e3:.4f}" for seconds in times]
            lines.append((one.name, str(one.iterations), *cells, f"{one.per_second:.0f}"))
        widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *(line[at].rjust(widths[at]) for at in range(1, len(line)))])
            for line in lines
        )

    def _add(self, name: str, nanoseconds: list[int]) -> BenchmarkResult:
        times = sorted(taken / 1e9 for taken in nanoseconds)
        total = math.fsum(times)

        def quantile(share: float) -> float:
            return times[max(0, math.ceil(share * len(times)) - 1)]

        result = BenchmarkResult(
            name=name,
            iterations=len(times),
            total_time=total,
            avg_time=total / len(times),
            median_time=statistics.median(times),
            min_time=times[0],
            max_time=times[-1],
            std_dev=statistics.stdev(times) if len(times) > 1 else 0.0,
            p90=quantile(0.90),
            p95=quantile(0.95),
            p99=quantile(0.99),
            per_second=len(times) / total if total > 0 else math.inf,
        )
        self.results.append(result)
        return result


def _name_of(function: Callable[..., Any]) -> str:
    name: str = getattr(function, "__qualname__", repr(function))
    return name


def _warm_up(iterations: int) -> int:
    if not 1 <= iterations <= MAX_RUNS:
        raise ValueError(f"iterations is from 1 to {MAX_RUNS}, not {iterations}")
    return min(10, iterations // 10)
