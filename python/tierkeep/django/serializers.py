"""SERIALIZER of django-redis by name: with JSON or msgpack nothing is ever pickled, and every reader gets what that format
gives back, from the server as from this process: lists for tuples, text for dates.

Here, in Python, a value becomes what its reader will get. What is then stored is plain, and read without Python's code.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from enum import Enum
from types import ModuleType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder

#: Names of the serializers here, by the last part of their path in django-redis.
SERIALIZERS = {"PickleSerializer": "pickle", "JSONSerializer": "json", "MSGPackSerializer": "msgpack"}


class PlainValues:
    """Mixed in before a cache class whose values go through a format: they are what is read later, from the start."""

    #: The class that was asked for.
    _asked_class: type
    #: What a reader gets of a value.
    _as_read: Callable[[Any], Any]

    def set(self, key: Any, value: Any, *args: Any, **options: Any) -> Any:
        return super().set(key, self._as_read(value), *args, **options)  # type: ignore[misc]

    def add(self, key: Any, value: Any, *args: Any, **options: Any) -> bool:
        return super().add(key, self._as_read(value), *args, **options)  # type: ignore[misc]

    def set_many(self, data: Mapping[Any, Any], *args: Any, **options: Any) -> list[Any]:
        plain = {key: self._as_read(value) for key, value in data.items()}
        return super().set_many(plain, *args, **options)  # type: ignore[misc]

    # Who computes a value gets what all others get.

    def _keep(self, key: Any, value: Any, *args: Any) -> Any:
        return super()._keep(key, self._as_read(value), *args)  # type: ignore[misc]

    async def _akeep(self, key: Any, value: Any, *args: Any) -> Any:
        return await super()._akeep(key, self._as_read(value), *args)  # type: ignore[misc]

    def __reduce__(self) -> tuple[Any, ...]:
        return self._asked_class, *super().__reduce__()[1:]


def class_for(asked: type[Any], serializer: str) -> type[Any]:
    """The class of a cache whose values go through a format: the one that was asked for, or one derived from it.

    Pickled values need no step of their own, so their class has none.
    """
    if serializer == "pickle" or issubclass(asked, PlainValues):
        return asked
    known = _DERIVED.get((asked, serializer))
    return _DERIVED.setdefault((asked, serializer), _derived(asked, serializer)) if known is None else known


#: Derived classes by those that were asked for.
_DERIVED: dict[tuple[type[Any], str], type[Any]] = {}


def _derived(asked: type[Any], serializer: str) -> type[Any]:
    through = _through_json if serializer == "json" else functools.partial(_through_msgpack, _msgpack())

    def as_read(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, (bool, Enum)):
            # However large: servers add to whole numbers, so none goes through the format.
            return int(value)
        return through(value)

    names = {"__module__": asked.__module__, "__qualname__": asked.__qualname__, "__doc__": asked.__doc__}
    return type(
        asked.__name__, (PlainValues, asked), {**names, "_asked_class": asked, "_as_read": staticmethod(as_read)}
    )


def _through_json(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, cls=DjangoJSONEncoder))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"JSON cannot hold this value: {error}") from error


def _through_msgpack(msgpack: ModuleType, value: Any) -> Any:
    try:
        return msgpack.unpackb(msgpack.packb(value), raw=False)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"msgpack cannot hold this value and give it back: {error}") from error


def _msgpack() -> ModuleType:
    try:
        import msgpack
    except ImportError as error:
        raise ImproperlyConfigured(
            "OPTIONS['SERIALIZER'] is MSGPackSerializer, which needs the package msgpack: pip install msgpack."
        ) from error
    return msgpack
