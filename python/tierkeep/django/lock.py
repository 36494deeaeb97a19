"""A lock that all processes see, which use the same server."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

from tierkeep._core import SharedStore


class LockError(Exception):
    """The lock could not be taken, or is not held."""


class LockNotOwnedError(LockError):
    """The lock was held and has expired; another may hold it."""


class Lock:
    """One holder at a time; made by `cache.lock`. The server decides, by a token that each holder has for itself.

    Not taken in turn, and not kept by a server that forgets: after a restart of Redis it is free.
    """

    def __init__(
        self,
        store: SharedStore,
        key: str,
        timeout: float | None,
        sleep: float,
        blocking: bool,
        blocking_timeout: float | None,
        thread_local: bool,
    ) -> None:
        if not sleep > 0:
            raise ValueError("sleep has to be seconds, more than 0")
        self._store, self._key, self._timeout = store, key, timeout
        self._sleep, self._blocking, self._blocking_timeout = sleep, blocking, blocking_timeout
        self._held: Any = threading.local() if thread_local else _Plain()

    def acquire(self, blocking: bool | None = None, blocking_timeout: float | None = None) -> bool:
        """Takes the lock; False if somebody else holds it, and it is not waited for or not free in time (seconds)."""
        waits = self._blocking if blocking is None else blocking
        limit = self._blocking_timeout if blocking_timeout is None else blocking_timeout
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            token = self._store.lock(self._key, self._timeout)
            if token is not None:
                self._held.token = token
                return True
            if not waits or (deadline is not None and time.monotonic() + self._sleep > deadline):
                return False
            time.sleep(self._sleep)

    def release(self) -> None:
        """Lets the lock go.

        Raises LockError if it was not taken here, LockNotOwnedError if it had expired.
        """
        token = self._token()
        self._held.token = None
        if not self._store.unlock(self._key, token):
            raise LockNotOwnedError("the lock had expired before it was released")

    def extend(self, seconds: float | None) -> bool:
        """Holds the lock for so many seconds from now, or until it is released.

        Raises LockError if it was not taken here, LockNotOwnedError if it had expired.
        """
        if not self._store.extend_lock(self._key, self._token(), seconds):
            raise LockNotOwnedError("the lock had expired before it was extended")
        return True

    def _token(self) -> bytes:
        token: bytes | None = getattr(self._held, "token", None)
        if token is None:
            raise LockError("the lock is not held here")
        return token

    def __enter__(self) -> Lock:
        if not self.acquire():
            raise LockError("the lock was not free in time")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class _Plain:
    """What all threads share."""

    token: bytes | None = None
