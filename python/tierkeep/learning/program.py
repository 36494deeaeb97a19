"""The program ``tierkeep``: where it is, which database it is given, and what its exit codes mean."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

from tierkeep import _binary

__all__ = ["DatabaseRefused", "ProgramMissing", "database_url", "find", "run"]


class ProgramMissing(RuntimeError):
    """There is no program ``tierkeep``."""


class DatabaseRefused(ValueError):
    """The program cannot work on this database of Django's."""


def find(configured: str | None = None) -> str:
    """The program's path: as configured, else where `python -m tierkeep` has it. Raises ProgramMissing."""
    if configured is not None:
        if os.access(configured, os.X_OK) and Path(configured).is_file():
            return configured
        raise ProgramMissing(f"TIERKEEP['BINARY'] is {configured!r}, which is no program")
    try:
        return str(_binary.find())
    except _binary.BinaryNotFound as error:
        raise ProgramMissing(f"{error}, or TIERKEEP['BINARY']") from None


def database_url(settings: Mapping[str, Any]) -> str:
    """The address of a database of ``settings.DATABASES``, as the program reads it; with its password.

    Raises DatabaseRefused, with a sentence, for what the program cannot work on.
    """
    engine, name = str(settings.get("ENGINE", "")), settings.get("NAME")
    if "sqlite" in engine:
        text = os.fspath(name) if name else ""
        if not text or ":memory:" in text or "mode=memory" in text:
            raise DatabaseRefused("a SQLite database in memory cannot be seen by another program; use a file")
        if text.startswith("file:"):
            raise DatabaseRefused(f"{text!r} is an address of SQLite's own; give the path of the file")
        return f"sqlite://{Path(text).absolute()}"
    if "postgresql" in engine or "postgis" in engine:
        options = dict(settings.get("OPTIONS") or {})
        for unknown in ("service", "passfile"):
            if options.get(unknown):
                raise DatabaseRefused(f"OPTIONS[{unknown!r}] is libpq's; name USER, PASSWORD, HOST and NAME themselves")
        user, host = str(settings.get("USER") or ""), str(settings.get("HOST") or "")
        if not user:
            raise DatabaseRefused("a USER is needed; the program takes none from the system")
        password = str(settings.get("PASSWORD") or "")
        login = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
        parameters = {}
        if options.get("sslmode"):
            parameters["sslmode"] = str(options["sslmode"])
        if host.startswith("/") or not host:
            parameters["host"] = host or "/var/run/postgresql"
            place = ""
        else:
            place = f"[{host}]" if ":" in host else host
        if settings.get("PORT"):
            if place:
                place = f"{place}:{settings['PORT']}"
            else:
                parameters["port"] = str(settings["PORT"])
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"postgres://{login}@{place}/{quote(str(name or user), safe='')}{query}"
    raise DatabaseRefused(f"{engine!r} is no database that the program knows; it works on PostgreSQL and SQLite")


def run(
    arguments: Sequence[str], environment: Mapping[str, str], out: Callable[[str], object], err: Callable[[str], object]
) -> tuple[int, str]:
    """Runs the program, hands its lines on as they come, and gives its exit code and its last words on stderr.

    Ctrl-C asks it to stop, which it does after the batch it is in; it then ends with 4.
    """
    process = subprocess.Popen(
        list(arguments),
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last: list[str] = []

    def hear(pipe: IO[str], say: Callable[[str], object], keep: bool) -> None:
        for line in pipe:
            if keep and line.strip():
                last.append(line.strip())
                del last[:-3]
            say(line.rstrip("\n"))

    assert process.stdout is not None and process.stderr is not None
    threads = [
        threading.Thread(target=hear, args=(process.stdout, out, False)),
        threading.Thread(target=hear, args=(process.stderr, err, True)),
    ]
    for thread in threads:
        thread.start()
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
    for thread in threads:
        thread.join()
    return code, "\n".join(last)
