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

__all__ = ["Boarding", "Flight"]

_under_way: dict[Hashable, Flight] = {}


class Flight:
    """One computation and those who wait for it."""

    __slots__ = ("_error", "_event", "_listeners", "_task", "_thread", "_traceback", "copies")

    def __init__(self, task: object) -> None:
        # Who computes: it would wait for itself.
        self._task: Final = task
        self._thread: Final = threading.get_ident()
        self.copies: Copies | None = None
        self._error: Exception | None = None
        self._traceback: TracebackType | None = None
        self._event = threading.Event()
        self._listeners: list[Callable[[], None]] = []

    def holds_up(self, task: object) -> bool:
        """Whether this computation would not go on while the caller, in that task or without one, waits for it.

        Without a task the caller blocks its thread, and with it every task of a loop that runs there.
        """
        if task is None or self._task is None:
            return self._thread == threading.get_ident()
        return self._task is task

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


class Boarding:
    """The computation of a place, which the caller leads if there was none, and waits for otherwise.

    The leader enters it as a context: who waits is told at its end, also of what is raised.

    Args:
        place: what is computed.
        task: the task that asks; None: a thread does, which blocks while it waits.
        failed: called with what was raised; true if that is dealt with, and goes no further.
    """

    __slots__ = ("_failed", "_place", "flight", "leads")

    def __init__(self, place: Hashable, task: object, failed: Callable[[Exception], bool] | None = None) -> None:
        mine = Flight(task)
        self._place = place
        self._failed = failed
        self.flight: Final = _under_way.setdefault(place, mine)
        self.leads: Final = self.flight is mine

    def __enter__(self) -> Flight:
        return self.flight

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            if not isinstance(error, Exception):
                return False
            self.flight.fail(error)
            return self._failed is not None and self._failed(error)
        finally:
            # Who comes from now on begins another.
            if _under_way.get(self._place) is self.flight:
                _under_way.pop(self._place, None)
            self.flight.over()


def _forget() -> None:
    _under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
