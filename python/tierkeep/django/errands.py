"""What an event loop may not wait for: calls that ask a server run in a few threads of this library's, for the task.

Misses that such a call sees, and those that the task saw before, are the task's: what it stores afterwards is compared
with what was there then, whichever thread does it. A task that is cancelled gets no answer, and leaves no half-written
entry: a write is one request, and is made or was not begun with.
"""

from __future__ import annotations

import asyncio
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any, TypeVar

from tierkeep._core import Asker, hand_over

_Result = TypeVar("_Result")


async def answer(call: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
    """What a call that only asks returns or raises. If the task is cancelled before it has begun, it never does."""
    return await _handed_over(call, args, options, True)


async def outcome(call: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
    """What a call that changes something returns or raises. It is made even if the task is cancelled meanwhile."""
    return await _handed_over(call, args, options, False)


def begin(call: Callable[..., Any], *args: Any) -> None:
    """Has a call made whose outcome nobody waits for; only in a task."""
    hand_over(_Errand(call, args, {}, False))


def _handed_over(
    call: Callable[..., _Result], args: tuple[Any, ...], options: Mapping[str, Any], only_asks: bool
) -> asyncio.Future[_Result]:
    errand = _Errand(call, args, dict(options), only_asks)
    hand_over(errand)
    return errand.future


class _Errand:
    """A call, and who asked for it."""

    def __init__(
        self, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], only_asks: bool
    ) -> None:
        self._call, self._args, self._options = call, args, options
        self._only_asks = only_asks
        self._loop = asyncio.get_running_loop()
        self._asker = Asker()
        self._context = copy_context()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def __call__(self) -> None:
        """In a thread of ours; in the loop's own when the interpreter ends."""
        if self._only_asks and self.future.cancelled():
            return
        result, error = None, None
        before = _get_running_loop()
        # Django then refuses to open a connection to the database for what pickling may ask of it: this thread would
        # never close it, and would see nothing of a transaction.
        _set_running_loop(self._loop)
        try:
            result = self._context.run(self._asker.call, self._call, self._args, self._options)
        except BaseException as raised:
            error = raised
        finally:
            _set_running_loop(before)
        try:
            self._loop.call_soon_threadsafe(_settle, self.future, result, error)
        except RuntimeError:
            # That loop was closed: nobody waits there any more.
            pass
        finally:
            # An exception knows this frame: without this, both would wait for the collector of cycles.
            error = None


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):
        # A future refuses it: it would end whoever waits without a word.
        future.set_exception(RuntimeError(f"the call raised {error!r}"))
    else:
        future.set_exception(error)
