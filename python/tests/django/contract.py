"""What Django documents of a cache, one function a behaviour.

Each is called with a `Face` of an empty backend, ours or Django's own locmem, and asserts. The controls in
`test_controls.py` are backends with one fault each, and name the behaviour that has to fail for them.
"""

from __future__ import annotations

import datetime
import decimal
import math
import threading
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, CacheKeyWarning
from faces import Face, until

BEHAVIOURS: list[Callable[[Face], None]] = []

#: An event loop a call makes threads dear; enough of them to meet.
THREADS = 8


def behaviour(check: Callable[[Face], None]) -> Callable[[Face], None]:
    BEHAVIOURS.append(check)
    return check


def raises(error: type[Exception], call: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    try:
        call(*args, **kwargs)
    except error:
        return True
    return False


class Text(str):
    """A subclass has to come back as itself."""


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return hash(self.x)


SHARED_CHILD: list[Any] = [1]

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**63, -(2**63) - 1, 10**60, 0.0, -0.0, 1.5, math.inf, "", "text",
    "na\u00efve \u4f60\u597d",
    "\ud800 alone", "a\x00b", b"", b"\x00\xff", bytearray(b"ab"), (), (1, (2, "a")), [], [1, [2, [3]]], {},
    {"a": {"b": [1, {2, 3}]}}, {1: "a", None: "b", (1, 2): "c", 2.5: "d"}, set(), {1, "a", (2, 3)}, frozenset({1}),
    OrderedDict([("b", 1), ("a", 2)]),
    decimal.Decimal("1.10"), uuid.UUID(int=7), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone.utc),
    datetime.date(2026, 1, 2), datetime.timedelta(hours=1), complex(1, -2), range(3), Text("x"), Point(3),
    [Point(1), Point(2)], [SHARED_CHILD, SHARED_CHILD], ([1], [2]), {"k": ([1], {"s": {1}})}, "x" * 100_000,
    [0] * 5_000, True,
]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, all the way down, with order and signs."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items())
        return len(one) == len(other) and all(same(a, c) and same(b, d) for (a, b), (c, d) in pairs)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    return bool(one == other)


@behaviour
def values_come_back_equal_in_value_and_type(cache: Face) -> None:
    for value in VALUES:
        cache.set("k", value)
        assert same(cache.get("k", "missing"), value), value
        cache.delete("k")
        assert cache.add("k", value)
        assert same(cache.get("k", "missing"), value), value
        assert same(cache.get_or_set("k", "other"), value), value
        assert same(cache.get_many(["k"]), {"k": value}), value


@behaviour
def every_reader_has_a_copy_of_its_own(cache: Face) -> None:
    given = {"list": [1], "dict": {"a": {}}, "set": {1}, "tuple": ([1],), "point": Point(1)}
    plain = {"list": [1], "dict": {"a": {}}, "set": {1}, "tuple": ([1],)}
    for value in (given, plain):
        cache.set("k", value)
        value["list"].append(2)  # type: ignore[attr-defined]
        read = cache.get("k")
        assert read["list"] == [1]
        read["list"].append(3)
        read["dict"]["a"]["b"] = 1
        read["set"].add(9)
        read["tuple"][0].append(5)
        read["new"] = 1
        again = cache.get("k")
        assert (again["list"], again["dict"], again["set"], again["tuple"]) == ([1], {"a": {}}, {1}, ([1],))
        assert "new" not in again


@behaviour
def a_container_twice_in_a_value_stays_one(cache: Face) -> None:
    child: list[int] = []
    cache.set("k", {"a": child, "b": child})
    read = cache.get("k")
    assert read["a"] is read["b"]
    circle: list[Any] = []
    circle.append(circle)
    cache.set("k", circle)
    read = cache.get("k")
    assert read[0] is read


@behaviour
def none_is_a_value(cache: Face) -> None:
    cache.set("k", None)
    assert cache.get("k", "default") is None
    assert cache.has_key("k") and cache.contains("k")
    assert cache.add("k", 1) is False
    assert cache.get_or_set("k", lambda: 1 / 0) is None
    assert cache.get_many(["k"]) == {"k": None}
    assert cache.incr_version("k") == 2
    assert cache.get("k", "gone") == "gone" and cache.get("k", "gone", version=2) is None
    assert cache.decr_version("k", version=2) == 1
    assert cache.get("k", "gone") is None


@behaviour
def default_is_given_for_what_is_not_there(cache: Face) -> None:
    assert cache.get("k") is None
    assert cache.get("k", default=7) == 7
    marker = object()
    assert cache.get("k", marker) is marker
    assert cache.has_key("k") is False and not cache.contains("k")


@behaviour
def add_stores_only_if_nothing_is_there(cache: Face) -> None:
    assert cache.add("k", 1) is True
    assert cache.add("k", 2) is False
    assert cache.get("k") == 1
    assert cache.add("gone", 1, timeout=0.02) is True
    assert until(lambda: not cache.has_key("gone"))
    assert cache.add("gone", 2) is True
    assert cache.get("gone") == 2


@behaviour
def of_many_threads_exactly_one_adds(cache: Face) -> None:
    for turn in range(20):
        barrier = threading.Barrier(THREADS)
        results: list[bool] = []

        def work() -> None:
            barrier.wait()
            results.append(cache.add(f"k{turn}", threading.get_ident()))

        run_threads(work)
        assert results.count(True) == 1, results


@behaviour
def no_increment_of_many_threads_is_lost(cache: Face) -> None:
    cache.set("n", 0)

    def work() -> None:
        for _ in range(25):
            cache.incr("n")

    run_threads(work)
    assert cache.get("n") == THREADS * 25


def run_threads(work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


@behaviour
def increments_of_all_kinds(cache: Face) -> None:
    cache.set("n", 41)
    assert cache.incr("n") == 42
    assert cache.incr("n", 10) == 52
    assert cache.incr("n", -2) == 50
    assert cache.decr("n") == 49
    assert cache.decr("n", 9) == 40
    assert cache.decr("n", -2) == 42
    assert cache.get("n") == 42
    cache.set("big", 2**63 - 1)
    assert cache.incr("big") == 2**63
    assert cache.incr("big", 10**30) == 2**63 + 10**30
    cache.set("float", 1.5)
    assert cache.incr("float", 1) == 2.5
    assert raises(ValueError, cache.incr, "missing")
    assert raises(ValueError, cache.decr, "missing")
    assert raises(ValueError, cache.incr, "missing", -3)
    assert not cache.has_key("missing")


@behaviour
def what_is_no_number_is_not_incremented(cache: Face) -> None:
    for value in ("text", [1], {"a": 1}, None):
        cache.set("k", value)
        assert raises(TypeError, cache.incr, "k")
        assert cache.get("k") == value


@behaviour
def increments_keep_the_time_out(cache: Face) -> None:
    cache.set("n", 1, timeout=0.1)
    assert cache.incr("n") == 2
    assert until(lambda: cache.get("n") is None)


@behaviour
def increments_do_not_end_what_has_no_end(cache: Face) -> None:
    cache.set("n", 1, timeout=None)
    cache.incr("n")
    cache.backend.default_timeout = 0.001
    cache.incr("n")
    assert not until(lambda: not cache.has_key("n"), 0.03)


@behaviour
def time_outs_of_all_kinds(cache: Face) -> None:
    cache.set("forever", 1, timeout=None)
    cache.set("long", 1, timeout=10**9)
    cache.set("short", 1, timeout=0.03)
    cache.set("default", 1, DEFAULT_TIMEOUT)
    assert all(cache.has_key(key) for key in ("forever", "long", "default"))
    assert until(lambda: not cache.has_key("short"))
    assert cache.get("short", "gone") == "gone"
    assert cache.get_many(["forever", "short"]) == {"forever": 1}
    assert cache.add("short", 2)
    assert raises((TypeError, ValueError), cache.set, "k", 1, timeout="soon")  # type: ignore[arg-type]


@behaviour
def nought_and_less_end_at_once(cache: Face) -> None:
    for timeout in (0, -1, -10**9, 0.0):
        cache.set("k", "old")
        cache.set("k", "new", timeout=timeout)
        assert cache.get("k", "gone") == "gone"
        cache.add("other", 1, timeout=timeout)
        assert not cache.has_key("other")
        cache.set_many({"a": 1}, timeout=timeout)
        assert cache.get_many(["a"]) == {}
        cache.set("k", 1)
        assert cache.touch("k", timeout) is True
        assert not cache.has_key("k")


@behaviour
def default_time_out_is_read_at_each_call(cache: Face) -> None:
    cache.backend.default_timeout = 0.02
    cache.set("k", 1)
    cache.add("added", 1)
    cache.set("own", 1, timeout=60)
    assert until(lambda: not cache.has_key("k") and not cache.has_key("added"))
    assert cache.has_key("own")
    cache.backend.default_timeout = None
    cache.set("k", 1)
    assert not until(lambda: not cache.has_key("k"), 0.05)


@behaviour
def touch_gives_another_time_out(cache: Face) -> None:
    assert cache.touch("missing") is False
    cache.set("k", 1, timeout=60)
    assert cache.touch("k", 0.02) is True
    assert until(lambda: not cache.has_key("k"))
    assert cache.touch("k", 60) is False
    cache.set("k", 1, timeout=0.2)
    assert cache.touch("k", None) is True
    cache.set("other", 1, timeout=0.2)
    assert cache.touch("other") is True
    assert not until(lambda: not (cache.has_key("k") and cache.has_key("other")), 0.25)
    assert cache.get("k") == 1


@behaviour
def delete_says_whether_something_was_there(cache: Face) -> None:
    cache.set("k", None)
    assert cache.delete("k") is True
    assert cache.delete("k") is False
    cache.set("k", 1, timeout=0.01)
    assert until(lambda: not cache.has_key("k"))
    assert cache.delete("k") is False


@behaviour
def many_at_once(cache: Face) -> None:
    assert cache.set_many({"a": 1, "b": None, "c": [3]}) == []
    assert cache.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": None, "c": [3]}
    assert cache.get_many(key for key in ("a", "d")) == {"a": 1}
    assert cache.get_many([]) == {}
    assert cache.set_many({}) == []
    cache.delete_many(["a", "a", "d"])
    assert cache.get_many(["a", "b"]) == {"b": None}
    cache.delete_many([])
    cache.delete_many(key for key in ("b", "c"))
    assert cache.get_many(["b", "c"]) == {}
    cache.set_many({"x": 1, "y": 2}, timeout=0.02)
    assert until(lambda: cache.get_many(["x", "y"]) == {})


@behaviour
def many_at_once_have_versions(cache: Face) -> None:
    cache.set_many({"a": 1}, version=2)
    assert cache.get_many(["a"]) == {} and cache.get_many(["a"], version=2) == {"a": 1}
    cache.delete_many(["a"])
    assert cache.get_many(["a"], version=2) == {"a": 1}
    cache.delete_many(["a"], version=2)
    assert cache.get_many(["a"], version=2) == {}


@behaviour
def get_or_set_computes_once(cache: Face) -> None:
    calls: list[int] = []

    def compute() -> int:
        calls.append(1)
        return 7

    assert cache.get_or_set("k", compute) == 7
    assert cache.get_or_set("k", compute) == 7
    assert len(calls) == 1
    assert cache.get_or_set("plain", 5) == 5
    assert cache.get_or_set("plain", 6) == 5
    assert cache.get_or_set("none", lambda: None) is None
    assert cache.get("none", "missing") is None
    assert cache.get_or_set("v", 1, version=3) == 1
    assert cache.get("v", "missing") == "missing" and cache.get("v", version=3) == 1
    assert cache.get_or_set("short", 1, timeout=0.02) == 1
    assert until(lambda: not cache.has_key("short"))


@behaviour
def get_or_set_gives_way_to_another_writer(cache: Face) -> None:
    def compute() -> str:
        cache.backend.set("k", "theirs")
        return "mine"

    assert cache.get_or_set("k", compute) == "theirs"
    assert cache.get("k") == "theirs"


@behaviour
def an_error_while_computing_is_the_callers(cache: Face) -> None:
    assert raises(ZeroDivisionError, cache.get_or_set, "k", lambda: 1 / 0)
    assert not cache.has_key("k")
    assert cache.get_or_set("k", lambda: 1) == 1


@behaviour
def versions_are_keys_of_their_own(cache: Face) -> None:
    cache.set("k", "one")
    cache.set("k", "two", version=2)
    assert (cache.get("k"), cache.get("k", version=1), cache.get("k", version=2)) == ("one", "one", "two")
    assert cache.has_key("k", version=2) and not cache.has_key("k", version=3)
    assert cache.add("k", "three", version=3) and not cache.add("k", "other", version=2)
    assert cache.touch("k", version=2) and not cache.touch("k", version=4)
    cache.set("n", 1, version=5)
    assert cache.incr("n", version=5) == 2 and cache.decr("n", 2, version=5) == 0
    assert raises(ValueError, cache.incr, "n")
    assert cache.delete("k", version=2) and cache.get("k") == "one"
    cache.backend.version = 3
    assert cache.get("k") == "three"
    assert cache.get("k", version=1) == "one"
    cache.set("text", 1, version="x")
    assert cache.get("text", version="x") == 1 and cache.get("text") is None


@behaviour
def versions_move(cache: Face) -> None:
    cache.set("k", "v")
    cache.set("k", "old", version=2)
    assert cache.incr_version("k") == 2
    assert cache.get("k") is None and cache.get("k", version=2) == "v"
    assert cache.incr_version("k", 3, version=2) == 5
    assert cache.decr_version("k", 4, version=5) == 1
    assert cache.get("k") == "v"
    assert raises(ValueError, cache.incr_version, "missing")
    assert raises(ValueError, cache.decr_version, "missing")


@behaviour
def key_prefix_function_and_version_may_be_assigned_later(cache: Face) -> None:
    cache.set("k", "plain")
    cache.backend.key_prefix = "p"
    assert cache.get("k") is None
    cache.set("k", "prefixed")
    cache.backend.key_prefix = ""
    assert cache.get("k") == "plain"
    before = cache.backend.key_func
    cache.backend.key_func = lambda key, prefix, version: f"own-{key}"
    assert cache.get("k") is None
    cache.set("k", "own", version=9)
    assert cache.get("k") == "own"
    cache.backend.key_func = before
    assert cache.get("k") == "plain"
    assert cache.get_many(["k"]) == {"k": "plain"}


@behaviour
def keys_may_be_of_any_type(cache: Face) -> None:
    for key in (1, None, 1.5, ("a", 1), Text("t"), "\u4f60\u597d", "\ud800", "a:b", "%s", ""):
        cache.set(key, f"of {key!r}")
        assert cache.get(key) == f"of {key!r}"
        assert cache.has_key(key) and cache.get_many([key]) == {key: f"of {key!r}"}
        assert cache.delete(key)
    cache.set(1, "number")
    assert cache.get("1") == "number"


@behaviour
def keys_that_memcached_refuses_are_warned_of_by_every_operation(cache: Face) -> None:
    operations: list[Callable[[str], Any]] = [
        lambda key: cache.add(key, 1),
        lambda key: cache.set(key, 1),
        lambda key: cache.get(key),
        lambda key: cache.has_key(key),
        lambda key: cache.touch(key),
        lambda key: cache.incr(key),
        lambda key: cache.decr(key),
        lambda key: cache.get_many([key]),
        lambda key: cache.set_many({key: 1}),
        lambda key: cache.get_or_set(key, 1),
        lambda key: cache.incr_version(key),
        lambda key: cache.set(key, 1),
        lambda key: cache.delete(key),
        lambda key: cache.delete_many([key]),
    ]
    for key, text in (
        ("key with spaces", "contains characters"),
        ("tab\t", "contains characters"),
        ("null\x00", "contains characters"),
        ("del\x7f", "contains characters"),
        ("x" * 251, "longer than 250"),
        ("\u4f60" * 247 + "toolong", "longer than 250"),
    ):
        for operation in operations:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                operation(key)
            ours = [warning for warning in caught if issubclass(warning.category, CacheKeyWarning)]
            assert ours and text in str(ours[0].message), (key, caught)


@behaviour
def keys_that_memcached_takes_are_not_warned_of(cache: Face) -> None:
    for key in ("k", "x" * 246, "\u4f60" * 246, "\x80\xa0", "!~"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cache.set(key, 1)
            assert cache.get(key) == 1


@behaviour
def clear_removes_all(cache: Face) -> None:
    cache.set_many({"a": 1, "b": 2})
    cache.set("c", 3, version=7)
    cache.clear()
    assert cache.get_many(["a", "b"]) == {} and cache.get("c", version=7) is None
    cache.set("a", 4)
    assert cache.get("a") == 4


@behaviour
def close_leaves_the_values(cache: Face) -> None:
    cache.set("k", 1)
    cache.close()
    assert cache.get("k") == 1


@behaviour
def what_cannot_be_pickled_is_refused_and_changes_nothing(cache: Face) -> None:
    cache.set("k", "old")
    for value in (lambda: 1, [lambda: 1], {"f": lambda: 1}, threading.Lock()):
        try:
            cache.set("k", value)
        except Exception:
            pass
        else:
            raise AssertionError("stored what cannot be stored")
        assert cache.get("k") == "old"


@behaviour
def an_entry_bound_is_kept(cache: Face) -> None:
    cache.backend._max_entries = 30
    cache.backend._cull_frequency = 3
    for key in range(50):
        cache.set(f"k{key}", 1)
    live = sum(cache.has_key(f"k{key}") for key in range(50))
    assert 20 <= live <= 30, live
    assert cache.has_key("k49")
    cache.clear()
    cache.backend._cull_frequency = 0
    for key in range(31):
        cache.set(f"k{key}", 1)
    assert sum(cache.has_key(f"k{key}") for key in range(31)) == 1
