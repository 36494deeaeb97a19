"""Keys of arguments that are not of Python's plain types."""

from __future__ import annotations

import sys
from typing import Any

# Classes whose instances are told apart by their `repr`, and equal if that is equal.
_BY_REPR = {
    "decimal": {"Decimal"},
    "uuid": {"UUID"},
    "datetime": {"date", "time", "timedelta", "timezone"},
    "fractions": {"Fraction"},
    "pathlib": {"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"},
    "zoneinfo": {"ZoneInfo"},
    "builtins": {"complex", "range", "slice", "ellipsis"},
}


def describe(value: Any) -> tuple[object, ...]:
    """Returns plain values that stand for an argument: its class and what tells it from others of that class.

    A class of one's own says what that is by a method `__tierkeep_key__()`, which returns anything that has a key.

    Raises:
        TypeError: for an object that only its address tells from others.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    own = getattr(kind, "__tierkeep_key__", None)
    if own is not None:
        return (name, own(value))
    if isinstance(value, type):
        if "<locals>" in value.__qualname__:
            raise TypeError(f"the class {value.__qualname__} is made anew by each call of a function")
        return ("class", value.__module__, value.__qualname__)
    module = "pathlib" if kind.__module__.startswith("pathlib") else kind.__module__
    if kind.__qualname__ in _BY_REPR.get(module, ()):
        return (name, repr(value))
    if name == "datetime.datetime":
        zone = value.tzinfo
        return (name, value.replace(tzinfo=None).isoformat(), value.fold, None if zone is None else repr(zone))
    if name == "builtins.bytearray":
        return (name, bytes(value))
    # A module that was never imported has no instances.
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        return (name, value.name)
    for plain in (str, bytes, int, float, tuple, frozenset):
        if isinstance(value, plain):
            return (name, _plain(plain, value))
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is not None and parameters.eq:
        fields = kind.__dataclass_fields__
        return (name, tuple((field.name, getattr(value, field.name)) for field in fields.values() if field.compare))
    raise TypeError(f"a {name} is told from others only by its address")


def _plain(plain: type, value: Any) -> object:
    """The value as the plain type it derives from, whatever the class made of `__str__`, `__int__` and so on."""
    if plain is str:
        return "".join(str.__iter__(value))
    if plain is bytes:
        return bytes.__getitem__(value, slice(None))
    if plain is int:
        return int.__add__(value, 0)
    if plain is float:
        return float.__pos__(value)
    if plain is tuple:
        return tuple(tuple.__iter__(value))
    return frozenset(frozenset.__iter__(value))
