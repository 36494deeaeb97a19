"""Computations under way, so that of any number of callers one computes and the others wait for it.

There is no lock here: `dict.setdefault` decides who leads, and a child of a fork, in which the leaders do not exist,
begins with none under way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Final

from tierkeep._core import Copies

__all__ = ["Flight", "board", "leave"]

_under_way: dict[Hashable, Flight] = {}


class Flight:
    """One computation and those who wait for it."""

    __slots__ = ("_error", "_event", "_listeners", "_traceback", "copies", "owner")

    def __init__(self, owner: object) -> None:
        #: The thread or task that computes: it would wait for itself.
        self.owner: Final = owner
        self.copies: Copies | None = None
        self._error: Exception | None = None
        self._traceback: TracebackType | None = None
        self._event = threading.Event()
        self._listeners: list[Callable[[], None]] = []

    def land(self, copies: Copies) -> None:
        """Gives everybody who waits the value."""
        self.copies = copies

    def fail(self, error: Exception) -> None:
        """Raises the error in everybody who waits."""
        self._error = error
        self._traceback = error.__traceback__

    def over(self) -> None:
        """Wakes who waits. Neither landed nor failed: they begin anew."""
        self._event.set()
        while self._listeners:
            self._listeners.pop()()

    def wait(self, seconds: float) -> bool:
        """Blocks this thread until it is over. False: it takes longer than that."""
        return self._event.wait(seconds)

    async def waited(self, seconds: float) -> bool:
        """As `wait`, but lets other tasks of the loop go on; the computation may be of another loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        def listen() -> None:
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:
                pass  # that loop is closed: nobody waits in it any more

        self._listeners.append(listen)
        if self._event.is_set():
            return True
        await asyncio.wait({woken}, timeout=seconds)
        return self._event.is_set()

    def result(self) -> Any:
        """The value, for one reader. Only when `copies` is set, or it failed."""
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)
        assert self.copies is not None
        return self.copies.take()

    @property
    def settled(self) -> bool:
        """Whether there is a result; after `over` and without one the leader went away."""
        return self.copies is not None or self._error is not None


def board(place: Hashable, owner: object) -> tuple[Flight, bool]:
    """The computation of that place, and whether the caller leads it and must call `leave` at its end."""
    mine = Flight(owner)
    current = _under_way.setdefault(place, mine)
    return current, current is mine


def leave(place: Hashable, flight: Flight) -> None:
    """The computation is over: who comes from now on begins another."""
    if _under_way.get(place) is flight:
        _under_way.pop(place, None)
    flight.over()


def _forget() -> None:
    _under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
