"""Python processes beside the tests: a script each, one line in, one line out, ended by us if it does not end."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

#: Before each script: Django with nothing in it, and a cache on the table of the caller.
HEAD = """
import os, sys, threading, time
from django.conf import settings
settings.configure(SECRET_KEY="s")
from tierkeep.django import Cache

def make(name, table, **options):
    if table:
        options["GENERATIONS"] = table
    return Cache(name, {"OPTIONS": options})
"""


class Process:
    """A script that runs beside us."""

    def __init__(self, script: str, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HEAD + textwrap.dedent(script), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.line()

    def end(self, seconds: float) -> bool:
        """Closes its input and waits. False if it had to be killed."""
        try:
            self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return False
        return True

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
