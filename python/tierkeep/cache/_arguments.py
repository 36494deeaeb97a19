"""What callers may give, and what they are told who give something else: at once, not at the first call that needs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tierkeep.cache._levels import MultiLevelCache

__all__ = ["any_seconds", "cache_of_levels", "callable_or_refused", "many", "seconds"]


def seconds(what: str, value: Any) -> float:
    """A time from 0 on. TypeError for what is no number, ValueError for what is no such time."""
    number = any_seconds(what, value, "a number of seconds from 0")
    if not number >= 0 or math.isinf(number):
        raise ValueError(f"{what} is a number of seconds from 0, not {value!r}")
    return number


def any_seconds(what: str, value: Any, accepted: str = "a number of seconds or None") -> float:
    """A time, 0 and less included. TypeError for what is no number, ValueError for NaN."""
    if isinstance(value, (str, bytes)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{what} is {accepted}, not {value!r}")
    number = float(value)
    if math.isnan(number):
        raise ValueError(f"{what} is {accepted}, not nan")
    return number


def many(what: str, values: Iterable[str]) -> tuple[str, ...]:
    """Several texts. TypeError for one alone, whose letters nobody means, and for what is no text."""
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{what} is a collection of str, not one {type(values).__name__}")
    try:
        given = tuple(values)
    except TypeError:
        raise TypeError(f"{what} is a collection of str, not {values!r}") from None
    for value in given:
        if not isinstance(value, str):
            raise TypeError(f"{what} is a collection of str, in which {value!r} is none")
    return given


def callable_or_refused(what: str, value: Any) -> Callable[..., Any]:
    """What can be called. TypeError for anything else."""
    if not callable(value):
        raise TypeError(f"{what} can be called, which {value!r} cannot")
    return value  # type: ignore[no-any-return]


def cache_of_levels(value: Any) -> MultiLevelCache:
    """A cache of levels. TypeError for anything else."""
    from tierkeep.cache._levels import MultiLevelCache

    if not isinstance(value, MultiLevelCache):
        raise TypeError(f"cache is a MultiLevelCache, not {value!r}")
    return value
