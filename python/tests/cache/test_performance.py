"""How long functions take."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.cache import CallTimes, PerformanceBenchmark, call_times, performance_monitor


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_are_right_within_a_64th(times: list[int], share: float) -> None:
    import math

    recorded = CallTimes()
    for nanoseconds in times:
        recorded.record(nanoseconds)

    exact = sorted(times)[max(1, math.ceil(share * len(times))) - 1] / 1e9

    assert exact * (1 - 1 / 64) <= recorded.quantile(share) <= exact
    assert recorded.calls == len(times)


def test_calls_errors_and_cancellations_are_counted_apart(caplog: pytest.LogCaptureFixture) -> None:
    # The seed logged a function that raised as a success.
    @performance_monitor("tests.sync")
    def sync(fail: bool) -> int:
        if fail:
            raise ValueError("no")
        return 1

    @performance_monitor
    async def awaited() -> None:
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(awaited())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.INFO, logger="performance"):
        assert sync(False) == 1
        with pytest.raises(ValueError, match="no"):
            sync(True)
        asyncio.run(cancel())

    times = call_times()["tests.sync"]
    assert (times.calls, times.errors, times.cancelled) == (2, 1, 0)
    name = next(name for name in call_times() if name.endswith("awaited"))
    assert (call_times()[name].calls, call_times()[name].cancelled) == (1, 1)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert sync.__name__ == "sync"


def test_benchmark_of_sync_and_async_functions(capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[int] = []

    async def awaited(value: int) -> None:
        calls.append(value)

    benchmark = PerformanceBenchmark()
    one = benchmark.benchmark_function(calls.append, 1, iterations=200, name="append")
    two = asyncio.run(benchmark.benchmark_async_function(awaited, 2, iterations=50))
    benchmark.print_results()

    assert (calls.count(1), calls.count(2)) == (200 + 10, 50 + 5)
    for result in (one, two):
        assert 0 <= result.min_time <= result.median_time <= result.p90 <= result.p95 <= result.p99 <= result.max_time
        assert result.total_time == pytest.approx(result.avg_time * result.iterations)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 and printed[1].startswith("append") and len({len(line) for line in printed}) == 1


def test_senseless_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="iterations"):
        PerformanceBenchmark().benchmark_function(int, iterations=0)
    with pytest.raises(ValueError, match="share"):
        CallTimes().quantile(1.5)


def test_coroutines_are_not_timed_by_their_making() -> None:
    async def awaited() -> None: ...

    with pytest.raises(TypeError, match="benchmark_async_function"):
        PerformanceBenchmark().benchmark_function(awaited)
