"""Real servers on the small project: started as an operator starts them, on ports that the system chooses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 60.0
"""Longest wait for anything that has to happen."""


def wait_for(what: Callable[[], bool], why: str, seconds: float = SECONDS) -> None:
    """Looks until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s: {why}"
        time.sleep(0.01)


class Running:
    """A program on the project, with what it has said."""

    def __init__(self, arguments: list[str], folder: Path, location: str, **environment: str) -> None:
        self.folder = folder
        self.prices = folder / "prices"
        self.prices.write_text("0")
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=HERE,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "SHOP_PRICES": str(self.prices),
                "SHOP_TABLE": str(folder / "table"),
                "SHOP_LOCATION": location,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Whatever it starts goes with it: see `close`.
            start_new_session=True,
        )
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def said_once(self, pattern: str) -> re.Match[str]:
        """The first place where it says so, awaited."""
        wait_for(lambda: re.search(pattern, self.said) is not None or self.process.poll() is not None, pattern)
        found = re.search(pattern, self.said)
        assert found is not None, self.said
        return found

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Asks it to end in order: its exit code, and the seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(SECONDS)
        return code, time.monotonic() - begin

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SECONDS)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WebServer(Running):
    """gunicorn or uvicorn; each request has a connection of its own, so that any worker may get it."""

    def __init__(self, arguments: list[str], folder: Path, location: str, **environment: str) -> None:
        super().__init__(arguments, folder, location, **environment)
        self.url = self.said_once(r"(http://127\.0\.0\.1:\d+)")[1]
        wait_for(self._answers, "an answer")

    def _answers(self) -> bool:
        try:
            self.get("/whole")
        except OSError:
            return False
        return True

    def get(self, path: str, seconds: float = SECONDS) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, headers={"Connection": "close"})
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return dict(json.load(answer))

    def workers(self, count: int) -> set[int]:
        """The processes that answer, once there are so many."""
        seen: set[int] = set()

        def are_seen() -> bool:
            seen.add(int(self.get("/whole")["pid"]))
            return len(seen) >= count

        wait_for(are_seen, f"{count} workers")
        return seen


def gunicorn(*options: str) -> list[str]:
    """Two workers."""
    return [
        "gunicorn", "--workers", "2", "--bind", "127.0.0.1:0", "--graceful-timeout", "20",
        "--no-control-socket", *options, "shop.wsgi:application",
    ]  # fmt: skip


def uvicorn() -> list[str]:
    return [
        "uvicorn", "--workers", "2", "--port", "0", "--no-access-log", "--timeout-graceful-shutdown", "20",
        "shop.asgi:application",
    ]  # fmt: skip
