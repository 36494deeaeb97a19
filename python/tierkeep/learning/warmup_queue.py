"""Learners that are to be warmed up a while after their last change, once however often they changed."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time

from tierkeep.learning.client import Client, TierkeepError

__all__ = ["WarmupQueue"]

_MOST = 1000
"""Learners of one request."""


class WarmupQueue:
    """Waits in one thread, which begins with the first learner and belongs to one process."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._renew()

    def _renew(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._client: Client | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, learners: set[str], delay: float, client: Client) -> None:
        """Warms them up after ``delay`` seconds; one that waits already is due with its first change."""
        if self._process != os.getpid():
            self._renew()  # the parent's thread is not here, and its lock may be held for ever
        due = time.monotonic() + delay
        with self._changed:
            if self._is_closed:
                return
            self._client = client
            for learner in learners:
                self._due.setdefault(learner, due)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tierkeep-warmup", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify()

    def waiting(self) -> int:
        """How many learners wait."""
        with self._changed:
            return len(self._due)

    def close(self) -> None:
        """Forgets who waits, and ends the thread."""
        if self._process != os.getpid():
            return
        with self._changed:
            self._is_closed = True
            self._due.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=3.0)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and (not self._due or min(self._due.values()) > time.monotonic()):
                    self._changed.wait(min(self._due.values()) - time.monotonic() if self._due else None)
                if self._is_closed:
                    return
                now = time.monotonic()
                ready = [learner for learner, due in self._due.items() if due <= now][:_MOST]
                for learner in ready:
                    del self._due[learner]
                client = self._client
            if client is not None:
                try:
                    client.warmup(ready)
                except TierkeepError as error:
                    self._logger.warning("%d learners were not warmed up: %s", len(ready), error)
                except Exception:
                    self._logger.exception("%d learners were not warmed up", len(ready))
