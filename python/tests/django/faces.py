"""The two ways to call a cache, and waiting for what has to happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any


class Face:
    """A backend as synchronous code calls it."""

    name = "sync"

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def contains(self, key: str) -> bool:
        return key in self.backend


class AsyncFace(Face):
    """The same backend through its `a` methods, each in an event loop that runs."""

    name = "async"

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.backend, f"a{name}", None)
        if method is None:
            return getattr(self.backend, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            async def run() -> Any:
                return await method(*args, **kwargs)

            return asyncio.run(run())

        return call


FACES = (Face, AsyncFace)


def until(condition: Callable[[], bool], seconds: float = 2.0) -> bool:
    """True as soon as the condition holds, False if it does not within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return condition()
