"""`cached`: hits, copies, expiry, single flight, invalidation; with threads, tasks, forks, at the end of a process."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import inspect
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tierkeep.cache import Cached, cached, invalidate_tags

PATIENCE = 20.0


class Counted:
    """A function that counts its calls."""

    def __init__(self, *results: Any) -> None:
        self.calls = 0
        self.results = iter(results)

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        result = next(self.results, args)
        if isinstance(result, Exception):
            raise result
        return result


def make(function: Callable[..., Any], **options: Any) -> Cached[..., Any]:
    """The function, cached under a name that no other test has."""
    make.number += 1  # type: ignore[attr-defined]
    return cached(name=f"tests.cached.{make.number}", **options)(function)  # type: ignore[attr-defined,no-any-return]


make.number = 0  # type: ignore[attr-defined]


def poll(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.001)


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, (1, 2), {"a": [1, {2}]}, 1.5, b"x", functools.partial])
def test_result_of_any_kind_is_computed_once_and_comes_back_equal_in_type(value: object) -> None:
    # The seed computed a None again and again.
    function = Counted(value)
    call = make(function)

    results = [call() for _ in range(3)]

    assert results == [value] * 3
    assert {type(result) for result in results} == {type(value)}
    assert function.calls == 1
    assert call.stats()[:2] == (2, 1)


def test_reader_who_changes_a_result_changes_nobody_elses() -> None:
    call = make(lambda: {"list": [1]})

    first = call()
    first["list"].append(2)
    second = call()
    second["list"].append(3)

    assert call() == {"list": [1]}


def test_result_is_over_after_its_time_and_not_before() -> None:
    function = Counted(1, 2)
    call = make(function, ttl=0.05)
    begin = time.monotonic()

    assert call() == 1
    poll(lambda: call() == 2)

    assert time.monotonic() - begin >= 0.05


def test_time_of_zero_keeps_nothing() -> None:
    # In the seed it meant for ever.
    call = make(Counted(1, 2), ttl=0)

    assert (call(), call()) == (1, 2)


def test_what_raises_is_raised_counted_and_not_kept() -> None:
    call = make(Counted(ValueError("no"), 1))

    with pytest.raises(ValueError, match="no"):
        call()
    assert call() == 1
    assert call.stats().errors == 1


def test_stale_result_is_served_while_one_caller_computes_the_next() -> None:
    entered, leave = threading.Event(), threading.Event()
    results = iter([1, 2])

    def slow() -> int:
        result = next(results)
        if result == 2:
            entered.set()
            assert leave.wait(PATIENCE)
        return result

    call = make(slow, ttl=0.02, stale=60)
    assert call() == 1
    with ThreadPoolExecutor(1) as pool:

        def until_computing() -> int:
            while (result := call()) == 1:
                pass
            return result

        refreshing = pool.submit(until_computing)
        assert entered.wait(PATIENCE)

        served = [call() for _ in range(10)]
        leave.set()

        assert served == [1] * 10
        assert refreshing.result(PATIENCE) == 2
    assert call() == 2


def test_stale_result_is_served_when_the_next_cannot_be_computed(caplog: pytest.LogCaptureFixture) -> None:
    function = Counted(1, *[OSError("database gone")] * 10_000)
    call = make(function, ttl=0.02, stale=60)
    assert call() == 1

    poll(lambda: call() == 1 and call.stats().errors > 0)

    assert call() == 1
    assert "database gone" in caplog.text


def test_of_fifty_threads_one_computes() -> None:
    # The seed: fifty.
    together = threading.Barrier(50)
    begun = threading.Event()
    function = Counted()

    def slow(value: int) -> list[int]:
        function()
        begun.set()
        poll(lambda: call.stats().waits >= 49)
        return [value]

    call = make(slow)

    def read(_: int) -> list[int]:
        together.wait(PATIENCE)
        return call(7)  # type: ignore[no-any-return]

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(read, range(50)))

    assert results == [[7]] * 50
    assert function.calls == 1
    assert len({id(result) for result in results}) == 50


def test_without_single_flight_every_thread_computes() -> None:
    # Negative control of the test above: with no time to wait, each computes for itself.
    together = threading.Barrier(8)
    function = Counted()

    def slow(value: int) -> int:
        function()
        poll(lambda: function.calls >= 8)
        return value

    call = make(slow, wait=0)

    def read(_: int) -> int:
        together.wait(PATIENCE)
        return call(7)  # type: ignore[no-any-return]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [7] * 8

    assert function.calls == 8


def test_of_fifty_tasks_on_two_loops_one_computes() -> None:
    function = Counted()

    async def slow(value: int) -> list[int]:
        function()
        while call.stats().waits < 99:
            await asyncio.sleep(0)
        return [value]

    call = make(slow)

    async def gather() -> list[list[int]]:
        return await asyncio.gather(*(call(7) for _ in range(50)))

    with ThreadPoolExecutor(2) as pool:
        results = [result for one in pool.map(lambda _: asyncio.run(gather()), range(2)) for result in one]

    assert results == [[7]] * 100
    assert function.calls == 1


def test_error_of_the_leader_is_the_error_of_all_who_wait() -> None:
    function = Counted()

    async def failing() -> None:
        function()
        while call.stats().waits < 9:
            await asyncio.sleep(0)
        raise LookupError("gone")

    call = make(failing)

    async def gather() -> list[Any]:
        return await asyncio.gather(*(call() for _ in range(10)), return_exceptions=True)

    results = asyncio.run(gather())

    assert [str(result) for result in results] == ["gone"] * 10
    assert function.calls == 1


def test_cancelled_leader_leaves_the_computation_to_one_who_waits() -> None:
    function = Counted()

    async def slow() -> int:
        function()
        if function.calls == 1:
            await asyncio.Event().wait()
        return function.calls

    call = make(slow)

    async def scene() -> list[int]:
        leader = asyncio.create_task(call())
        while function.calls == 0:
            await asyncio.sleep(0)
        others = [asyncio.create_task(call()) for _ in range(5)]
        while call.stats().waits < 5:
            await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        return await asyncio.gather(*others)

    assert asyncio.run(scene()) == [2] * 5
    assert function.calls == 2


def test_waiter_computes_itself_when_the_leader_takes_too_long() -> None:
    release = threading.Event()
    function = Counted()

    def slow() -> int:
        function()
        if function.calls == 1:
            assert release.wait(PATIENCE)
        return 1

    call = make(slow, wait=0.01)
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(call)
        poll(lambda: function.calls == 1)

        assert call() == 1
        release.set()

        assert leader.result(PATIENCE) == 1


def test_function_that_calls_itself_with_the_same_arguments_does_not_wait_for_itself() -> None:
    depth = Counted()

    def recursive(value: int) -> int:
        depth()
        return value if depth.calls > 1 else int(call(value))

    call = make(recursive)

    assert call(3) == 3

    async def awaited(value: int) -> int:
        depth()
        return value if depth.calls > 3 else int(await later(value))

    depth.calls = 2
    later = make(awaited)
    assert asyncio.run(asyncio.wait_for(later(4), PATIENCE)) == 4


def test_sync_function_is_cached_inside_a_running_loop() -> None:
    # The seed: RuntimeError.
    call = make(Counted(1))

    async def inside() -> tuple[int, int]:
        return call(), call()

    assert asyncio.run(inside()) == (1, 1)


def test_hit_of_an_async_function_yields_to_nobody_and_is_a_coroutine() -> None:
    async def value() -> tuple[int, int]:
        await asyncio.sleep(0)
        return (1, 2)

    call = make(value)

    async def scene() -> None:
        assert await call() == (1, 2)
        hit = call()
        with pytest.raises(StopIteration) as stopped:
            hit.send(None)
        assert stopped.value.value == (1, 2)
        with pytest.raises(RuntimeError, match="already awaited"):
            await hit
        assert await asyncio.create_task(call()) == (1, 2)
        assert await asyncio.wait_for(call(), PATIENCE) == (1, 2)
        assert await asyncio.gather(call(), call()) == [(1, 2)] * 2
        thrown = call()
        with pytest.raises(KeyError):
            thrown.throw(KeyError("k"))
        call().close()

    asyncio.run(scene())
    assert asyncio.iscoroutinefunction(call)


def test_context_of_the_caller_is_the_context_of_the_function() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

    def read() -> str:
        return variable.get()

    variable.set("inside")

    assert make(read)() == "inside"


def test_invalidated_call_is_computed_anew_whatever_its_spelling() -> None:
    def double(value: int, unused: str = "x") -> int:
        function()
        return 2 * value

    function = Counted()
    call = make(double)
    call(1)
    call(2)

    assert call.invalidate(value=1, unused="x")
    assert not call.invalidate(value=1)
    call(1)
    call(2)

    assert function.calls == 3


def test_refresh_computes_and_keeps() -> None:
    call = make(Counted(1, 2, 3))

    assert (call(), call.refresh(), call()) == (1, 2, 2)


def test_tag_drops_all_that_has_it_and_nothing_else() -> None:
    # The seed: KeyError at the second invalidation; an unknown tag, too.
    one = make(Counted(*range(9)), tags=lambda user: [f"user:{user}", "users"])
    other = make(Counted(*range(9)), tags=["users"])
    assert (one(1), one(2), other()) == (0, 1, 0)

    invalidate_tags("user:1")
    invalidate_tags("user:1", "unheard of")
    assert (one(1), one(2), other()) == (2, 1, 0)

    invalidate_tags("users")
    assert (one(1), one(2), other()) == (3, 4, 1)


def test_all_calls_of_a_function_are_dropped_at_once() -> None:
    one, other = make(Counted(*range(9))), make(Counted(*range(9)))
    assert (one(1), one(2), other(1)) == (0, 1, 0)

    one.invalidate_all()

    assert (one(1), one(2), other(1)) == (2, 3, 0)


@pytest.mark.parametrize("how", ["invalidate", "tag", "all"])
def test_result_that_was_computed_across_an_invalidation_is_not_kept_nor_given_to_later_callers(how: str) -> None:
    # The race of a fill with an invalidation: the value was read before the change, and kept after it.
    database = {"value": "old"}
    read, leave = threading.Event(), threading.Event()

    def load() -> str:
        value = database["value"]
        if value == "old":
            read.set()
            assert leave.wait(PATIENCE)
        return value

    call = make(load, tags=[f"row:{how}"])
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(call)
        assert read.wait(PATIENCE)
        database["value"] = "new"
        if how == "invalidate":
            call.invalidate()
        elif how == "tag":
            invalidate_tags(f"row:{how}")
        else:
            call.invalidate_all()

        assert call() == "new"
        leave.set()
        assert early.result(PATIENCE) == "old"

    assert call() == "new"
    assert call.stats().unkept == 1


def test_method_class_method_and_static_method() -> None:
    class Service:
        made = Counted()

        def __init__(self, name: str) -> None:
            self.name = name

        def __tierkeep_key__(self) -> str:
            return self.name

        @cached(name="tests.cached.Service.read")
        def read(self, x: int) -> tuple[str, int]:
            self.made()
            return (self.name, x)

        @classmethod
        @cached(name="tests.cached.Service.of_class", key=lambda cls, x: (cls.__name__, x))
        def of_class(cls, x: int) -> int:
            cls.made()
            return x

        @staticmethod
        @cached(name="tests.cached.Service.static")
        def static(x: int) -> int:
            Service.made()
            return x

    assert Service("a").read(1) == Service("a").read(1) == ("a", 1)
    assert Service("b").read(1) == ("b", 1)
    assert Service.made.calls == 2
    assert (Service.of_class(1), Service("c").of_class(1)) == (1, 1)
    assert (Service.static(1), Service("d").static(1)) == (1, 1)
    assert Service.made.calls == 4


@cached
def documented(a: int, b: str = "x") -> str:
    """What it does."""
    return f"{a}{b}"


def test_cached_function_looks_like_the_function() -> None:
    assert documented.__name__ == "documented"
    assert documented.__doc__ == "What it does."
    assert str(inspect.signature(documented)) == "(a: 'int', b: 'str' = 'x') -> 'str'"
    assert documented.__wrapped__(1) == "1x"


def test_cached_function_is_a_function_and_one_that_is_awaited_if_the_function_is() -> None:
    async def awaited() -> None:
        raise NotImplementedError

    assert inspect.isfunction(documented) and isinstance(documented, Cached)
    assert not isinstance(documented.__wrapped__, Cached)
    assert inspect.iscoroutinefunction(make(awaited)) and not inspect.iscoroutinefunction(documented)


def echo(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def none() -> Any:
    return "none"


def two(a: Any, b: Any) -> Any:
    return (a, b)


def several(a: Any, b: Any = 2, c: Any = 3, d: Any = 4, e: Any = 5) -> Any:
    return (a, b, c, d, e)


def placed_and_named(a: Any, b: Any = 2, /, c: Any = 3, *, d: Any, e: Any = 5) -> Any:
    return (a, b, c, d, e)


def all_named(*, a: Any = 1, b: Any) -> Any:
    return (a, b)


def clashing(ask: Any, load: Any = 2, found: Any = 3, nothing: Any = 4, call: Any = 5, calls: Any = 6) -> Any:
    return (ask, load, found, nothing, call, calls)


def ours(_tierkeep_found: Any, _tierkeep_nothing: Any = 2) -> Any:
    return (_tierkeep_found, _tierkeep_nothing)


def rest(a: Any, *args: Any, b: Any = 2, **kwargs: Any) -> Any:
    return (a, args, b, kwargs)


def wörter(straße: Any, ﬁ: Any = 2) -> Any:
    return (straße, ﬁ)


@functools.wraps(two)
def pretending(**kwargs: Any) -> Any:
    # Its signature says that it takes arguments by place, and it does not.
    return two(**kwargs)


class Mangled:
    @staticmethod
    def of(__a: Any, __b: Any = 2) -> Any:
        return (__a, __b)


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, None), {}),
    ((1, 7, 8), {}),
    ((1, 2, 3, 4, 5, 6), {}),
    ((), {"a": 1}),
    ((), {"b": 8}),
    ((), {"a": 1, "b": 8}),
    ((1,), {"a": 1}),
    ((1,), {"b": 8}),
    ((1,), {"d": 8}),
    ((1,), {"c": 9, "d": 8}),
    ((1, 2), {"d": 8, "e": None}),
    ((1, 2, 3), {"d": 8}),
    ((), {"ask": 1, "calls": 9}),
    ((1,), {"_tierkeep_nothing": 9}),
    ((), {"straße": 1, "fi": 9}),
    ((1,), {"_Mangled__b": 9}),
]


@pytest.mark.parametrize("way", ["bound", "told apart", "awaited"])
@pytest.mark.parametrize(
    "function",
    [
        echo,
        none,
        two,
        several,
        placed_and_named,
        all_named,
        clashing,
        ours,
        rest,
        wörter,
        pretending,
        Mangled.of,
        functools.partial(several, b=7),
        functools.partial(two, 1),
        max,
    ],
)
def test_every_call_does_what_the_function_does_and_what_it_returns_is_kept(
    function: Callable[..., Any], way: str
) -> None:
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    for args, kwargs in CALLS:
        if way == "awaited":
            later = make(functools.wraps(function)(awaited))
            call: Callable[..., Any] = lambda *args, **kwargs: asyncio.run(later(*args, **kwargs))  # noqa: E731
            stats = later.stats
        else:
            options = {"key": lambda *args, **kwargs: [list(args), kwargs]} if way == "told apart" else {}
            call = make(function, **options)
            stats = call.stats
        try:
            expected = function(*args, **kwargs)
        except TypeError as error:
            with pytest.raises(TypeError) as raised:
                call(*args, **kwargs)
            assert str(raised.value) == str(error)
        else:
            results = [call(*args, **kwargs) for _ in range(2)]
            assert results == [expected] * 2
            assert stats()[:2] == (1, 1)


def test_compiled_way_is_taken_by_plain_functions_and_by_no_others() -> None:
    # Else the test above proves nothing of it.
    def is_compiled(call: Callable[..., Any]) -> bool:
        return call.__code__.co_filename == "<tierkeep.cache._signature>"  # type: ignore[attr-defined]

    plain = (none, two, several, placed_and_named, all_named, clashing, wörter, Mangled.of)
    general = (echo, ours, rest, pretending, functools.partial(two, 1), max, Counted(1))

    assert all(is_compiled(make(function)) for function in plain)
    assert not any(is_compiled(make(function)) for function in general)
    assert not is_compiled(make(two, key=lambda a, b: a))


def test_awaited_function_is_compiled_for_its_parameters_too() -> None:
    async def taken(a: int, /, b: int = 2, *, c: int = 3) -> tuple[int, ...]:
        return (a, b, c)

    call = make(taken)

    async def scene() -> None:
        assert await call(1) == await call(1, 2, c=3) == (1, 2, 3)
        assert await call(1, b=5) == (1, 5, 3)
        with pytest.raises(TypeError, match="taken"):
            await call()

    asyncio.run(scene())
    assert call.__code__.co_filename == "<tierkeep.cache._signature>"  # type: ignore[attr-defined]
    assert call.stats()[:2] == (1, 2)


def test_name_that_is_no_identifier_is_in_no_source() -> None:
    evil = "a, b=__import__('os').abort()"
    for name in (evil, "class", "__debug__", "1"):
        strange = types.FunctionType(two.__code__.replace(co_varnames=(name, "b")), globals())

        assert make(strange)(1, 2) == (1, 2)


def test_default_that_a_call_leaves_out_stays_the_functions_own() -> None:
    given: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def told(*args: Any, **kwargs: Any) -> list[str]:
        given.append((args, kwargs))
        return []

    def at(day: str, kind: object = object(), *, seen: list[int] = []) -> int:  # noqa: B006 - it is the point
        seen.append(1)
        return len(seen)

    # Neither default has to have a key; the one that changes is one call still.
    call = make(at, tags=lambda day, kind="day": told(day, kind))

    assert (call("a"), call("a"), call("a", seen=[])) == (1, 1, 1)
    assert (call("b"), call("b")) == (2, 2)
    assert given == [(("a", "day"), {}), (("b", "day"), {})]


@pytest.mark.parametrize(
    "tags",
    [
        lambda b, a: [f"row:{a}"],
        lambda *, a, b: [f"row:{a}"],
        lambda **named: [f"row:{named['a']}"],
        functools.partial(lambda a, b: [f"row:{a}"]),
        lambda first, second: [f"row:{first}"],
    ],
)
def test_tags_are_of_the_arguments_as_the_caller_names_them(tags: Callable[..., list[str]]) -> None:
    function = Counted()
    call = make(lambda a, b: function(a, b), tags=tags)
    by_name = "first" not in inspect.signature(tags).parameters

    def read() -> Any:
        return call(a=1, b=2) if by_name else call(1, 2)

    read(), read()
    assert function.calls == 1
    invalidate_tags("row:1")
    read()
    assert function.calls == 2


def test_key_is_asked_once_for_a_call() -> None:
    function, key = Counted(), Counted()
    call = make(function, key=key)

    call(1), call(1)

    assert (function.calls, key.calls) == (1, 2)


def test_result_of_a_method_is_dropped_through_its_class() -> None:
    class Service:
        def __tierkeep_key__(self) -> int:
            return 1

        @cached(name="tests.cached.Service.drop")
        def drop(self, x: int) -> int:
            return next(numbers)

    numbers = iter(range(9))
    one = Service()
    assert (one.drop(1), one.drop(1)) == (0, 0)

    assert Service.drop.invalidate(one, 1)
    assert one.drop(1) == 1
    with pytest.raises(TypeError, match=r"Class\.method\.invalidate\(object"):
        one.drop.invalidate(1)
    assert one.drop(1) == 1


def test_cached_function_is_pickled_by_its_name() -> None:
    # Celery and multiprocessing send functions so.
    assert pickle.loads(pickle.dumps(documented)) is documented
    assert copy.deepcopy(documented) is documented


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttl": float("nan")},
        {"stale": -1.0},
        {"stale": float("inf")},
        {"wait": float("nan")},
    ],
)
def test_senseless_times_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        cached(**wrong)  # type: ignore[call-overload]


def test_what_cannot_be_cached_is_refused_when_it_is_decorated() -> None:
    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        cached(generator)
    with pytest.raises(TypeError, match="above @cached"):
        cached(staticmethod(documented))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="collection of str"):
        cached(tags="users")
    with pytest.raises(TypeError, match="collection of str"):
        cached(tags=lambda: "users")(Counted(1))()
    with pytest.raises(TypeError, match="for functions"):
        cached(3)  # type: ignore[call-overload]


def test_result_that_cannot_be_kept_raises_what_pickle_raises_for_all_who_wait() -> None:
    call = make(lambda: threading.Lock())

    with pytest.raises(TypeError, match="pickle"):
        call()
    with pytest.raises(TypeError, match="pickle"):
        call()


def test_child_of_a_fork_has_the_results_and_waits_for_nobody_who_does_not_exist() -> None:
    release = threading.Event()
    function = Counted()

    def slow(value: int) -> int:
        function()
        if function.calls == 2 and threading.current_thread() is not threading.main_thread():
            assert release.wait(PATIENCE)
        return value

    call = make(slow)
    call(1)
    thread = threading.Thread(target=call, args=(2,))
    thread.start()
    poll(lambda: function.calls == 2)

    child = os.fork()
    if child == 0:
        # The leader of call(2) is a thread of the parent: waiting for it would take 30 seconds.
        good = call(1) == 1 and function.calls == 2 and call(2) == 2
        os._exit(0 if good else 1)
    end = time.monotonic() + 10
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            release.set()
            pytest.fail("the child hangs")
        time.sleep(0.01)
    release.set()
    thread.join(PATIENCE)

    assert os.waitstatus_to_exitcode(status) == 0


def test_process_ends_with_computations_under_way() -> None:
    code = """
import asyncio, threading, time
from tierkeep import cached

@cached
def slow(x):
    print("begun", flush=True)
    time.sleep(60)

@cached
async def awaited(x):
    await asyncio.sleep(60)

for _ in range(3):
    threading.Thread(target=slow, args=(1,), daemon=True).start()

async def main():
    tasks = [asyncio.create_task(awaited(1)) for _ in range(3)]
    await asyncio.sleep(0)

asyncio.run(main())
while slow.stats().waits < 2:
    time.sleep(0.001)
print("end", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    # One of them computes; that thread and this one may say so in one line.
    assert (done.stdout.count("begun"), done.stdout.count("end")) == (1, 1)


def test_process_ends_while_daemon_threads_compute_and_go_on() -> None:
    # A thread that wakes while the interpreter ends is unwound by CPython before 3.14; with a frame of Rust on its
    # stack the process crashed.
    code = """
import threading, time
from tierkeep import cached

@cached
def busy(x):
    while True:
        time.sleep(0)

for number in range(3):
    threading.Thread(target=busy, args=(number,), daemon=True).start()
while busy.stats().loads < 3:
    time.sleep(0.001)
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_invalidation_is_seen_by_other_processes() -> None:
    code = """
import sys
from tierkeep.cache import cached, invalidate_tags

number = iter(range(100))

@cached(name="tests.cached.processes", tags=["tests:processes"])
def read(x):
    return next(number)

for line in sys.stdin:
    print(eval(line), flush=True)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    def ask(at: int, line: str) -> str:
        process = processes[at]
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        assert [ask(0, "read(1)"), ask(0, "read(1)"), ask(1, "read(1)")] == ["0", "0", "0"]

        ask(1, "read.invalidate(x=1)")
        assert [ask(0, "read(1)"), ask(0, "read(1)")] == ["1", "1"]

        ask(1, "invalidate_tags('tests:processes')")
        assert ask(0, "read(1)") == "2"

        ask(1, "read.invalidate_all()")
        assert ask(0, "read(1)") == "3"
        # Filling tells nobody: processes that fill would empty each other for ever.
        ask(1, "read(1)")
        assert ask(0, "read(1)") == "3"
    finally:
        for process in processes:
            process.communicate(timeout=PATIENCE)
