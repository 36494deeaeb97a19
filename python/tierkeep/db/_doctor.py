"""The command `tierkeep doctor`, as functions."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from typing import Any

from tierkeep._binary import find

__all__ = ["DatabaseMonitoring", "DoctorError", "IndexOptimization", "address_of"]

#: Longest run of the command in seconds, unless told otherwise.
DEFAULT_TIMEOUT = 60.0


class DoctorError(Exception):
    """The command did not do what it was asked; the text is what it said."""

    def __init__(self, message: str, returncode: int | None) -> None:
        super().__init__(message)
        #: Its exit code: 2 for arguments it does not take; None if it took too long.
        self.returncode = returncode


def address_of(database: Any) -> str:
    """The address of a database as the command takes it.

    `database`: such an address, `postgres://user@host/name` or `sqlite://path`, or SQLAlchemy's form of it, or an
    object of SQLAlchemy that has one: an engine, connection or session.

    Raises:
        ValueError: for another database, and for one in memory, which no other program can see.
    """
    bound = database
    if hasattr(bound, "get_bind"):
        bound = bound.get_bind()
    bound = getattr(bound, "engine", bound)
    bound = getattr(bound, "url", bound)
    if hasattr(bound, "render_as_string"):
        return _translated(bound.render_as_string(hide_password=False))
    if not isinstance(bound, str):
        raise ValueError(f"an address, or an engine, connection or session of SQLAlchemy, not {database!r}")
    return _translated(bound)


def _translated(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    dialect, plus, _ = scheme.partition("+")
    if not separator:
        raise ValueError(f"{address!r} is no address of a database")
    if dialect in ("postgres", "postgresql"):
        return f"postgres://{rest}"
    if dialect != "sqlite":
        raise ValueError(f"the databases are PostgreSQL and SQLite, not {dialect}")
    path = rest.partition("?")[0]
    if path in ("", "/", ":memory:", "/:memory:"):
        raise ValueError("a SQLite database in memory cannot be seen by another program: name a file")
    # SQLAlchemy's has three slashes before any path, so that four begin an absolute one.
    if plus or path.startswith("//") or (path.startswith("/") and not os.path.exists(path)):
        path = path[1:]
    return f"sqlite://{path}"


class _Doctor:
    def __init__(self, database: Any, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._address = address_of(database)
        self._timeout = timeout

    def _ask(self, *arguments: str, text: str | None = None) -> Any:
        # Addresses have passwords in them, which other users could read among a program's arguments.
        environment = {**os.environ, "TIERKEEP_DATABASE_URL": self._address}
        command = [str(find()), "--json", "doctor", *arguments]
        try:
            done = subprocess.run(
                command, input=text, capture_output=True, text=True, timeout=self._timeout, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            raise DoctorError(f"no answer within {self._timeout} s", None) from None
        if done.returncode != 0:
            said = done.stderr.strip() or f"tierkeep doctor ended with {done.returncode}"
            raise DoctorError(said.removeprefix("tierkeep: "), done.returncode)
        return json.loads(done.stdout)


class DatabaseMonitoring(_Doctor):
    """What a database has counted and measured of itself.

    Args:
        database: what `address_of` takes.
        timeout: the longest run of the command, in seconds.

    Every method raises DoctorError if the command fails, `tierkeep._binary.BinaryNotFound` if there is none.
    """

    def summary(self) -> dict[str, Any]:
        """The things most worth doing, each with its command, and what was looked at."""
        answer: dict[str, Any] = self._ask()
        return answer

    def get_slow_queries(self) -> dict[str, Any]:
        """Statements that take longest, as the database counted them; `examined` False, with a reason, if it did not."""
        answer: dict[str, Any] = self._ask("slow-queries")
        return answer

    def get_table_stats(self) -> list[dict[str, Any]]:
        """Tables, the largest first: rows, sizes, dead rows, vacuum and analysis. None where it is not known."""
        tables: list[dict[str, Any]] = self._ask("tables")["tables"]
        return tables

    def get_index_usage(self) -> dict[str, Any]:
        """Indexes that are invalid, missing, repeated, unused or far too large, each with its command."""
        answer: dict[str, Any] = self._ask("indexes")
        return answer


class IndexOptimization(_Doctor):
    """Plans of statements, and indexes that would help; arguments and errors as those of `DatabaseMonitoring`."""

    def analyze_query_performance(self, query: str, *, analyze: bool = False) -> dict[str, Any]:
        """The plan of a select and what could be better. What writes or locks is refused, and nothing is run but with
        `analyze`, on PostgreSQL, in a transaction that cannot write.
        """
        answer: dict[str, Any] = self._ask("explain", *(["--analyze"] if analyze else []), "-", text=query)
        return answer

    def suggest_indexes(self, queries: Iterable[str] | None = None, *, max_indexes: int = 20) -> dict[str, Any]:
        """Indexes for a whole workload, and those that could go; without `queries`, for what the database counted."""
        return self._advise(queries, max_indexes)

    def create_optimized_indexes(
        self, queries: Iterable[str] | None = None, *, max_indexes: int = 20
    ) -> dict[str, Any]:
        """As `suggest_indexes`, and makes them, one after the other and without keeping writers waiting."""
        return self._advise(queries, max_indexes, "--create")

    def _advise(self, queries: Iterable[str] | None, max_indexes: int, *more: str) -> dict[str, Any]:
        import tempfile

        arguments = ["advise", "--max-indexes", str(max_indexes), *more]
        if queries is None:
            answer: dict[str, Any] = self._ask(*arguments)
            return answer
        if isinstance(queries, str):
            raise TypeError("queries is a collection of str, not one str")
        with tempfile.TemporaryDirectory(prefix="tierkeep-") as folder:
            path = os.path.join(folder, "queries.sql")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{query.rstrip().rstrip(';')};\n" for query in queries)
            answer = self._ask(*arguments, "--queries", path)
            return answer
