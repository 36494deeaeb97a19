"""Every documented behaviour, over ours and over Django's locmem, synchronous and through the `a` methods."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from conftest import OURS
from contract import BEHAVIOURS
from django.core.cache.backends.locmem import LocMemCache
from faces import FACES, Face

from tierkeep.django import Cache

#: Each test has a LOCATION of its own.
NAMES = (f"contract {number}" for number in itertools.count())


def ours(name: str) -> Any:
    return Cache(name, dict(OURS))


def locmem(name: str) -> Any:
    return LocMemCache(name, {})


#: `BaseCache.aincr` reads, adds and writes with the default time-out: the oracle is not asked about it.
DJANGO_FALLS_SHORT = {
    "no_increment_of_many_threads_is_lost",
    "increments_keep_the_time_out",
    "increments_do_not_end_what_has_no_end",
}

CASES = [
    pytest.param(backend, face, check, id=f"{backend.__name__}-{face.name}-{check.__name__}")
    for backend in (ours, locmem)
    for face in FACES
    for check in BEHAVIOURS
    if not (backend is locmem and face.name == "async" and check.__name__ in DJANGO_FALLS_SHORT)
]


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize(("backend", "face", "check"), CASES)
def test_contract(backend: Callable[[str], Any], face: type[Face], check: Callable[[Face], None]) -> None:
    check(face(backend(next(NAMES))))
