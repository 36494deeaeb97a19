"""One computation for all who ask at once: threads and tasks of event loops wait for the one who asked first.

Whoever leads computes in its own thread or task, so that Django's connections and transactions are its own. Nobody waits
for itself, for a task of the event loop that it holds up, or beyond a time limit: such callers compute, too.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Hashable
from typing import Any

#: Seconds that a caller waits for another one's computation before it computes, too.
LONGEST_WAIT = 30.0


class Flight:
    """A computation under way."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._loop, self._task = _running()
        self._landed = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self.has_value = False
        self.value: Any = None

    def land(self) -> None:
        """Tells all who wait that it is over, with a value or without."""
        self._landed.set()
        for loop, future in list(self._waiting):
            try:
                loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:
                # That loop was closed: nobody waits there any more.
                pass

    def is_own(self) -> bool:
        """True if this very thread or task leads: it came back here out of its own computation."""
        if threading.get_ident() != self._thread:
            return False
        loop, task = _running()
        return loop is self._loop and task is self._task

    def holds_up_leader(self) -> bool:
        """True if the leader cannot go on before this caller returns."""
        return threading.get_ident() == self._thread

    def wait(self) -> bool:
        """Waits in this thread. True if there is a value."""
        return self._landed.wait(LONGEST_WAIT) and self.has_value

    async def await_landing(self) -> bool:
        """Waits in this task. True if there is a value."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        waiter = (loop, future)
        self._waiting.append(waiter)
        try:
            if not self._landed.is_set():
                await asyncio.wait_for(future, LONGEST_WAIT)
        except asyncio.TimeoutError:
            return False
        finally:
            self._waiting.remove(waiter)
        return self.has_value


#: Computations by what they compute. Entering and leaving are single operations of a dict, so there is no lock.
_flights: dict[Hashable, Flight] = {}


def board(what: Hashable) -> tuple[Flight, bool]:
    """The computation of that under way, or a new one that the caller leads: then True."""
    mine = Flight()
    flight = _flights.setdefault(what, mine)
    return flight, flight is mine


def leave(what: Hashable, flight: Flight) -> None:
    """The leader is done, with a value or an exception."""
    if _flights.get(what) is flight:
        del _flights[what]
    flight.land()


def _running() -> tuple[asyncio.AbstractEventLoop | None, asyncio.Task[Any] | None]:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None, None
    return loop, asyncio.current_task(loop)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# The threads that lead are not in a forked child: nobody there would ever land.
os.register_at_fork(after_in_child=_flights.clear)
