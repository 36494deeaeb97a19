"""Any value of plain containers comes back equal and independent, and what is over is given back to the system."""

from __future__ import annotations

import gc
import itertools
import pickle
import sys
from typing import Any

import pytest
from conftest import OURS
from contract import same
from hypothesis import given, settings
from hypothesis import strategies as st

from tierkeep.django import Cache

NAMES = (f"copies {number}" for number in itertools.count())

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = LEAVES | st.tuples(LEAVES, LEAVES)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(KEYS, max_size=3)
        | inner.map(lambda tree: [tree, tree])
    ),
    max_leaves=25,
)


def containers(value: Any) -> list[Any]:
    """What can change in a value, itself included."""
    found = [value] if isinstance(value, (list, dict, set)) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return found + [each for one in inner for each in containers(one)]


def shape(value: Any) -> list[int]:
    """Which containers are one and the same, by the order in which they are met."""
    first: dict[int, int] = {}
    return [first.setdefault(id(one), len(first)) for one in containers(value)]


@given(TREES)
@settings(max_examples=400, deadline=None, database=None)
def test_any_tree_comes_back_equal_and_independent(value: Any) -> None:
    cache = Cache("copies of trees", dict(OURS))
    before = pickle.dumps(value)
    cache.set("k", value)

    one, other = cache.get("k"), cache.get("k")

    assert same(one, value) and same(other, value)
    assert shape(one) == shape(value)
    ids = [{id(each) for each in containers(tree)} for tree in (value, one, other)]
    assert not (ids[0] & ids[1] or ids[0] & ids[2] or ids[1] & ids[2])
    for each in containers(one):
        each.clear()
    assert same(cache.get("k"), pickle.loads(before))


def test_a_very_deep_tree_is_stored_or_refused() -> None:
    cache = Cache(next(NAMES), dict(OURS))
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    cache.set("k", deep)
    assert cache.get("k") == deep
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        cache.set("k", deep)
    # Taken apart by hand: the interpreter's own way down may not be deep enough.
    while deep:
        deep = deep.pop()


class Noted:
    """Counts its like."""

    living = 0

    def __init__(self) -> None:
        type(self).living += 1

    def __del__(self) -> None:
        type(self).living -= 1

    def __reduce__(self) -> Any:
        return type(self), ()


def resident() -> int:
    """Bytes of memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def test_what_is_deleted_replaced_or_over_is_given_back() -> None:
    cache = Cache(next(NAMES), dict(OURS))
    leaf = "a leaf that nobody else has"
    references = sys.getrefcount(leaf)

    def round_of_writes() -> None:
        for number in range(10_000):
            key = f"k{number % 100}"
            cache.set(key, {"leaf": leaf, "list": [leaf, {leaf}], "tuple": ([leaf],)})
            cache.get(key)
            cache.set(key, leaf)
            cache.set(key, [Noted()])
            cache.get(key)
            cache.delete(key)
            cache.add(f"short-{number}", [leaf], 0.000001)

    round_of_writes()
    gc.collect()
    before = resident()
    for _ in range(3):
        round_of_writes()
    cache.clear()
    gc.collect()

    assert Noted.living == 0
    assert sys.getrefcount(leaf) == references
    assert resident() - before < 4_000_000
