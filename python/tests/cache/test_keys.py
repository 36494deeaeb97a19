"""Keys of calls: one for every spelling of a call, different for different arguments."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.cache import Cached, cached


class Colour(enum.Enum):
    RED = 1
    BLUE = "red"


class Shade(str):
    def __str__(self) -> str:
        return "always the same"


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __tierkeep_key__(self) -> str:
        return self.name


def key(call: Callable[..., object], *args: object, **kwargs: object) -> bytes:
    """The key under which the result of a call is kept."""
    made: bytes = call.stats.__self__.key_of(args, kwargs)  # type: ignore[attr-defined]
    return made


def key_of(value: object) -> bytes:
    return key(anything, value)


@cached(name="tests.keys.anything")
def anything(value: object) -> None:
    raise NotImplementedError


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.uuids()
    | st.sampled_from(Colour)
)
hashable = st.recursive(leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(hashable, inner, max_size=3) | st.sets(hashable, max_size=3)
    ),
    max_leaves=8,
)


def typed(value: object) -> object:
    """A model: what two arguments must have in common to be the same argument."""
    if isinstance(value, (list, tuple)):
        return (type(value), tuple(typed(item) for item in value))
    if isinstance(value, (set, frozenset)):
        return (type(value), frozenset(typed(item) for item in value))
    if isinstance(value, dict):
        return (dict, frozenset((typed(key), typed(item)) for key, item in value.items()))
    return (type(value), repr(value))


@given(values, values)
def test_keys_are_equal_exactly_for_equal_values_of_equal_types(one: object, other: object) -> None:
    assert (key_of(one) == key_of(other)) == (typed(one) == typed(other))


@given(values)
def test_key_of_a_copy_is_the_same(value: object) -> None:
    import copy

    assert key_of(copy.deepcopy(value)) == key_of(value)


rows = st.lists(st.text() | st.integers() | st.lists(st.text()))


@given(rows, rows)
def test_rows_of_arguments_have_no_common_spelling(one: list[Any], other: list[Any]) -> None:
    @cached(name="tests.keys.row")
    def row(*parts: object) -> None:
        raise NotImplementedError

    assert (key(row, *one) == key(row, *other)) == (typed(one) == typed(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", b"1"),
        ("1", 1),
        (None, "None"),
        ((1, 2), [1, 2]),
        ({1, 2}, frozenset({1, 2})),
        (("a", "b"), ("ab",)),
        (("a", ("b",)), (("a",), "b")),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({}, []),
        (2**70, 2**70 + 1),
        (Colour.RED, 1),
        (Shade("a"), Shade("b")),
        (Shade("a"), "a"),
        (Point(1, 2), Point(2, 1)),
        (Named("a"), Named("b")),
        (Named("a"), "a"),
        (int, str),
        (decimal.Decimal("1"), decimal.Decimal("1.0")),
        (datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)),
        (datetime.datetime(2026, 1, 1), datetime.date(2026, 1, 1)),
        (uuid.UUID(int=1), uuid.UUID(int=2)),
        ("\ud800", "\ud801"),
    ],
)
def test_different_arguments_have_different_keys(one: object, other: object) -> None:
    assert key_of(one) != key_of(other)
    assert key_of(one) == key_of(one)


def test_order_of_sets_and_dicts_does_not_matter() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of(set(range(100))) == key_of(set(reversed(range(100))))


def test_keys_are_the_same_in_every_process() -> None:
    code = (
        "from tierkeep.cache import cached\n"
        "anything = cached(name='tests.keys.anything')(lambda value: None)\n"
        "print(anything.stats.__self__.key_of(({'a', 'b', 'c', ('d', 2.5)},), {}).hex())\n"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }

    assert keys == {key_of({"a", "b", "c", ("d", 2.5)}).hex()}


def test_every_spelling_of_a_call_is_one_call() -> None:
    @cached(name="tests.keys.spelled")
    def spelled(a: int, /, b: int, c: int = 3, *, d: int, e: int = 5) -> tuple[int, ...]:
        return (a, b, c, d, e)

    same = {
        key(spelled, 1, 2, d=4),
        key(spelled, 1, 2, 3, d=4),
        key(spelled, 1, b=2, d=4),
        key(spelled, 1, e=5, d=4, c=3, b=2),
    }
    assert len(same) == 1
    assert key(spelled, 1, 2, d=4, e=6) not in same
    assert key(spelled, 1, 2, 4, d=4) not in same

    # what Python binds for a hit is the same call
    assert spelled(1, 2, d=4) == spelled(1, 2, 3, d=4) == spelled(1, b=2, d=4) == spelled(1, e=5, d=4, c=3, b=2)
    assert spelled(1, 2, d=4, e=6) == (1, 2, 3, 4, 6)
    assert spelled.stats()[:2] == (3, 2)


def test_rest_of_the_arguments_is_told_from_the_named_ones() -> None:
    @cached(name="tests.keys.rest")
    def rest(a: int, *rest: int, b: int = 0, **named: int) -> None:
        raise NotImplementedError

    assert key(rest, 1, 2) != key(rest, 1, b=2)
    assert key(rest, 1, c=2) != key(rest, 1, b=2)
    assert key(rest, 1, c=2, d=3) == key(rest, 1, d=3, c=2)
    assert key(rest, 1, 2, 3) != key(rest, 1, 2, b=3)


def test_wrong_arguments_are_refused_in_the_functions_own_words() -> None:
    @cached
    def strict(a: int, b: int = 2) -> int:
        return a + b

    @cached
    def open_ended(a: int, *rest: int) -> int:
        return a

    for call, args, kwargs in [
        (strict, (), {}),
        (strict, (1, 2, 3), {}),
        (strict, (1,), {"a": 1}),
        (strict, (1,), {"c": 1}),
        (open_ended, (), {}),
        (open_ended, (1,), {"a": 1}),
    ]:
        with pytest.raises(TypeError, match=rf"{call.__name__}\(\)"):
            call(*args, **kwargs)
        with pytest.raises(TypeError, match="arguments are not those of"):
            call.invalidate(*args, **kwargs)


def test_argument_without_a_stable_key_is_named() -> None:
    class Plain:
        pass

    class Service:
        @cached
        def read(self, user: object) -> None:
            raise NotImplementedError

        @cached(key=lambda self, user: user)
        def keyed(self, user: object) -> object:
            return user

    with pytest.raises(TypeError, match=r"argument self of .*Service\.read .*`key=`"):
        Service().read(1)
    with pytest.raises(TypeError, match=r"argument value of tests\.keys\.anything .*Plain"):
        anything(Plain())
    with pytest.raises(TypeError, match=r"argument value .*contains itself"):
        looped: list[object] = []
        looped.append(looped)
        anything(looped)
    assert Service().keyed(1) == Service().keyed(1) == 1


def test_equal_names_in_different_modules_and_closures_are_different_functions() -> None:
    # The seed's keys were made of the bare name.
    def make(factor: int) -> Cached[[int], int]:
        @cached
        def times(value: int) -> int:
            return factor * value

        return times

    twice, thrice = make(2), make(3)

    assert (twice(1), thrice(1), twice(1), thrice(1)) == (2, 3, 2, 3)


def test_functions_of_one_explicit_name_share_results() -> None:
    one = cached(name="tests.keys.shared")(lambda value: ["one", value])
    other = cached(name="tests.keys.shared")(lambda value: ["other", value])

    assert one(1) == ["one", 1]
    assert other(1) == ["one", 1]
