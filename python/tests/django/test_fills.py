"""What is computed while its source changes is not stored; what is decided is."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import OURS

from tierkeep.django import Cache

NAMES = (f"fills {number}" for number in itertools.count())


def make(**options: Any) -> Cache:
    return Cache(next(NAMES), {**OURS, "OPTIONS": {**OURS["OPTIONS"], **options}})  # type: ignore[dict-item]


def elsewhere(work: Callable[[], Any]) -> None:
    """In another thread, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


WRITES: list[Callable[[Cache], Any]] = [
    lambda cache: cache.delete("k"),
    lambda cache: cache.delete_many(["k"]),
    lambda cache: cache.clear(),
    lambda cache: cache.delete_pattern("other*"),
    lambda cache: cache.invalidate_tag("t"),
    lambda cache: cache.invalidate_tags(["a", "t"]),
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("store", ["set", "add", "set_many", "get_or_set", "aget_or_set"])
def test_a_fill_that_a_write_overtook_is_not_kept(store: str, write: Callable[[Cache], Any]) -> None:
    cache = make()

    def compute() -> str:
        elsewhere(lambda: write(cache))
        return "old"

    if store == "get_or_set":
        assert cache.get_or_set("k", compute, tags=["t"]) == "old"
    elif store == "aget_or_set":
        assert asyncio.run(cache.aget_or_set("k", compute, tags=["t"])) == "old"
    elif store == "set_many":
        assert cache.get_many(["k"]) == {}
        cache.set_many({"k": compute()}, tags=["t"])
    else:
        assert cache.get("k") is None
        getattr(cache, store)("k", compute(), tags=["t"])

    assert cache.get("k") is None
    assert cache.get_or_set("k", lambda: "new", tags=["t"]) == "new"
    assert cache.get("k") == "new"


def test_without_the_lease_the_old_value_stays() -> None:
    """The control of the test before: it is the remembered miss that does it."""
    cache = make(REMEMBER_READ_MISS=0)
    assert cache.get("k") is None

    elsewhere(lambda: cache.delete("k"))
    cache.set("k", "old")

    assert cache.get("k") == "old"


def test_a_tag_that_a_fill_does_not_have_does_not_refuse_it() -> None:
    cache = make()

    def compute() -> str:
        elsewhere(lambda: cache.invalidate_tag("other"))
        return "value"

    assert cache.get_or_set("k", compute, tags=["t"]) == "value"
    assert cache.get("k") == "value"


def test_a_threads_own_writes_are_decisions() -> None:
    cache = make()
    for write in WRITES:
        assert cache.get("k") is None
        write(cache)
        cache.set("k", "mine", tags=["t"])
        assert cache.get("k") == "mine"
        cache.delete("k")


def test_a_set_after_a_hit_is_a_decision() -> None:
    cache = make()
    assert cache.get("k") is None
    elsewhere(lambda: cache.set("k", "theirs"))
    assert cache.get("k") == "theirs"

    cache.set("k", "mine")

    assert cache.get("k") == "mine"


def test_each_task_has_misses_of_its_own() -> None:
    cache = make()

    async def main() -> None:
        missed, deleted = asyncio.Event(), asyncio.Event()

        async def fill() -> None:
            assert await cache.aget("k") is None
            missed.set()
            await deleted.wait()
            await cache.aset("k", "old")

        async def delete() -> None:
            await missed.wait()
            await cache.adelete("k")
            deleted.set()

        await asyncio.gather(fill(), delete())

    asyncio.run(main())
    assert cache.get("k") is None


def test_tags() -> None:
    cache = make()
    cache.set("both", 1, tags=["red", "blue"])
    cache.set("red", 1, tags={"red"})
    cache.set("none", 1)
    cache.set_many({"a": 1, "b": 2}, tags=["blue"])
    cache.add("added", 1, tags=["red"])

    cache.invalidate_tag("red")
    assert cache.get_many(["both", "red", "none", "a", "b", "added"]) == {"none": 1, "a": 1, "b": 2}
    assert cache.add("red", 2)

    asyncio.run(cache.ainvalidate_tags(["blue", "unknown"]))
    assert cache.get_many(["none", "red", "a", "b"]) == {"none": 1, "red": 2}
    cache.invalidate_tags([])

    with pytest.raises(TypeError, match="collection of str"):
        cache.set("k", 1, tags="red")
    cache.set("n", 1, tags=["red"])
    cache.incr("n")
    cache.touch("n", 60)
    cache.incr_version("n")
    cache.invalidate_tag("red")
    assert cache.get("n", version=2) is None


def test_tags_belong_to_their_location() -> None:
    one, other = make(), make()
    one.set("k", 1, tags=["t"])

    other.invalidate_tag("t")

    assert one.get("k") == 1
