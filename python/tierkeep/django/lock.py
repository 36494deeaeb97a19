"""`cache.lock`: one holder among all processes and machines, with the names redis-py has for it."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType

from tierkeep._core import SharedStore
from tierkeep.django import errands


class LockError(RuntimeError):
    """The lock could not be had in time."""


class LockNotOwnedError(LockError):
    """The lock was not, or is no longer, this holder's: it may have expired, and somebody else may have it."""


class Lock:
    """A lock in Redis. Whoever holds it has a token that nobody else knows, and only the token releases it.

    `timeout` is how long it is held at most, in seconds; None until it is released. `sleep` is the seconds between two
    attempts; `blocking_timeout` the seconds after which an attempt gives up, None for never. With `thread_local`, each
    thread that uses this object holds for itself.
    """

    def __init__(
        self,
        store: SharedStore,
        name: str,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
    ) -> None:
        if sleep <= 0:
            raise ValueError("sleep has to be more than 0 seconds")
        self._store = store
        self.name = name
        self.timeout = timeout
        self.sleep = sleep
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self._held: threading.local | _Held = threading.local() if thread_local else _Held()

    def acquire(self, blocking: bool | None = None, blocking_timeout: float | None = None) -> bool:
        """Takes the lock; waits for it unless `blocking` is False. False if it could not be had."""
        deadline = self._deadline(blocking, blocking_timeout)
        while not self._attempt():
            if time.monotonic() + self.sleep > deadline:
                return False
            time.sleep(self.sleep)
        return True

    async def aacquire(self, blocking: bool | None = None, blocking_timeout: float | None = None) -> bool:
        """As `acquire`, and other tasks go on while it waits."""
        deadline = self._deadline(blocking, blocking_timeout)
        while not await self._aattempt():
            if time.monotonic() + self.sleep > deadline:
                return False
            await asyncio.sleep(self.sleep)
        return True

    def release(self) -> None:
        """Gives the lock back.

        Raises LockNotOwnedError if it was not held any more: what it protected was perhaps not protected.
        """
        token = self._given_up()
        self._check_released(self._store.unlock(self.name, token))

    async def arelease(self) -> None:
        """As `release`, and other tasks go on while it waits. It is released even if the task is cancelled."""
        token = self._given_up()
        self._check_released(await errands.outcome(self._store.unlock, self.name, token))

    def _given_up(self) -> bytes:
        token = self._token
        if token is None:
            raise LockNotOwnedError(f"the lock {self.name!r} is not held by this holder")
        self._held.token = None
        return token

    def _check_released(self, was_held: bool) -> None:
        if not was_held:
            raise LockNotOwnedError(f"the lock {self.name!r} was lost before it was released")

    def extend(self, seconds: float | None = None) -> bool:
        """Holds the lock for so long from now; raises LockNotOwnedError if it is not held any more."""
        token = self._token
        if token is None or not self._store.extend_lock(self.name, token, self.timeout if seconds is None else seconds):
            raise LockNotOwnedError(f"the lock {self.name!r} is not held by this holder")
        return True

    def owned(self) -> bool:
        """True if this holder took it and has not given it back. It may have expired since."""
        return self._token is not None

    def __enter__(self) -> Lock:
        if not self.acquire():
            raise LockError(f"the lock {self.name!r} could not be had in time")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()

    async def __aenter__(self) -> Lock:
        if not await self.aacquire():
            raise LockError(f"the lock {self.name!r} could not be had in time")
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.arelease()

    @property
    def _token(self) -> bytes | None:
        return getattr(self._held, "token", None)

    def _attempt(self) -> bool:
        token = self._store.lock(self.name, self.timeout)
        if token is not None:
            self._held.token = token
        return token is not None

    async def _aattempt(self) -> bool:
        attempt = _Attempt(self._store, self.name, self.timeout)
        try:
            token = await errands.outcome(attempt)
        except asyncio.CancelledError:
            attempt.abandon()
            raise
        if token is not None:
            self._held.token = token
        return token is not None

    def _deadline(self, blocking: bool | None, blocking_timeout: float | None) -> float:
        if not (self.blocking if blocking is None else blocking):
            return 0.0
        seconds = self.blocking_timeout if blocking_timeout is None else blocking_timeout
        return float("inf") if seconds is None else time.monotonic() + seconds


class _Attempt:
    """One attempt to take a lock, for a task. If the task is cancelled meanwhile, what was taken is given back."""

    def __init__(self, store: SharedStore, name: str, timeout: float | None) -> None:
        self._store, self._name, self._timeout = store, name, timeout
        self._token: bytes | None = None
        self._is_abandoned = False
        self._mutex = threading.Lock()

    def __call__(self) -> bytes | None:
        if self._is_abandoned:
            return None
        token = self._store.lock(self._name, self._timeout)
        with self._mutex:
            self._token = token
            if not self._is_abandoned:
                return token
        if token is not None:
            self._store.unlock(self._name, token)
        return None

    def abandon(self) -> None:
        """Nobody will hold it."""
        with self._mutex:
            self._is_abandoned = True
            token = self._token
        if token is not None:
            errands.begin(self._store.unlock, self._name, token)


class _Held:
    """The token of a lock that all threads hold together."""

    token: bytes | None = None
