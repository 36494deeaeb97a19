"""Clients of a running node, for any Python: blocking and asynchronous.

An answer is the decoded body of the node's: dates as ISO text, hours as text keys, numbers, None. It is kept in this
process and given again for ``bound`` seconds; then the node is asked whether it still holds, which sends no body. When
no
node answers, one that is no older than ``max_stale`` is given, and ``client.last.cache`` says ``"stale"``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import weakref
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from tierkeep._core import NodeClient
from tierkeep.learning import questions
from tierkeep.learning.errors import (
    BadRequest,
    Conflict,
    LearnerNotFound,
    NodeFailed,
    NodeUnavailable,
    NotFound,
    NotPermitted,
    TierkeepError,
    TooManyRequests,
    UnexpectedAnswer,
    expected,
    expected_list,
    of_answer,
)
from tierkeep.learning.questions import Date, Question, User

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Client",
    "Conflict",
    "Last",
    "LearnerNotFound",
    "NodeFailed",
    "NodeUnavailable",
    "NotFound",
    "NotPermitted",
    "TierkeepError",
    "TooManyRequests",
    "UnexpectedAnswer",
]

DEFAULT_NODE = "http://127.0.0.1:8420"
"""Where a node listens unless it is told otherwise."""

Answer = tuple[int, Any, str, str | None, int | None, int | None]
"""Status, value, source, the node's tier, the number of the node, position."""


class Last(NamedTuple):
    """Where the last answer of this thread or task came from."""

    cache: str
    """``l1`` (memory, of this process or the node), ``l2`` (Redis), ``l3`` (stored summaries), ``miss`` or ``stale``;
    ``none`` for what no tier keeps."""
    source: str
    """``kept`` (this process had it), ``unchanged`` (a node said that it still holds), ``fetched`` or ``stale``."""
    as_of: str | None
    """The instant whose committed changes it shows; ISO text."""
    node: str | None
    """The address of the node that was asked."""


class _Connection:
    """What both clients share: the core, what came last, and the position of this context's writes."""

    def __init__(
        self,
        node: str | Sequence[str] = DEFAULT_NODE,
        *,
        token: str | None = None,
        connect_timeout: float = 0.2,
        timeout: float = 1.0,
        bound: float = 1.0,
        max_stale: float = 3600.0,
        kept_bytes: int = 8 << 20,
        max_body: int = 64 << 20,
    ) -> None:
        """Asks nothing yet.

        ``node``: one address ``http://host:port``, or several, asked in this order. Times are in seconds:
        ``connect_timeout`` for a connection, ``timeout`` for a whole call, ``bound`` for giving an answer again without
        asking (0: never), ``max_stale`` for giving it when no node answers. ``kept_bytes`` bounds what is kept,
        ``max_body`` the length of an answer.

        Raises ValueError for an address, a time or a token that cannot be used, TypeError for what is none.
        """
        several = [node] if isinstance(node, str) else node
        if not isinstance(several, Sequence) or not all(isinstance(one, str) for one in several):
            raise TypeError(f"node is an address http://host:port, or several, not {node!r}")
        self._nodes = list(several)
        if not self._nodes:
            raise ValueError("at least one node is needed")
        self._timeout = timeout
        self._core = NodeClient(
            self._nodes,
            token=token,
            connect_timeout=connect_timeout,
            timeout=timeout,
            bound=bound,
            max_stale=max_stale,
            kept_bytes=kept_bytes,
            max_body=max_body,
        )
        self._position: ContextVar[int] = ContextVar("tierkeep_position", default=0)
        self._last: ContextVar[Answer | None] = ContextVar("tierkeep_last", default=None)
        _open.add(self)

    @property
    def last(self) -> Last | None:
        """Where the last answer of this thread or task came from; None before the first."""
        answer = self._last.get()
        if answer is None:
            return None
        _, value, source, tier, node, _ = answer
        cache = "l1" if source == "kept" else "stale" if source == "stale" else tier or "none"
        as_of = value.get("as_of") if isinstance(value, dict) else None
        return Last(cache, source, as_of, None if node is None else self._nodes[node])

    @property
    def position(self) -> int:
        """Covers this context's writes; reads that send it see them on every node. May be kept in a browser's
        session."""
        return self._position.get()

    @position.setter
    def position(self, position: int) -> None:
        self._position.set(position)

    @property
    def counts(self) -> dict[str, int]:
        """Calls of this process by what answered them, and how much is kept."""
        return self._core.counts()

    def forget(self, user: User | None = None) -> None:
        """Forgets what this process keeps about a learner, or everything. Nodes forget nothing."""
        self._core.forget(None if user is None else questions._id(user))

    def _value(self, answer: Answer) -> Any:
        status, value, _, _, _, position = answer
        if position is not None and position > self._position.get():
            self._position.set(position)
        if 200 <= status < 300:
            self._last.set(answer)
            return value
        raise of_answer(status, value)


class Client(_Connection):
    """Asks a node and waits for it, with the interpreter released. For any number of threads; survives forks.

    Every method raises the exceptions of this module; all of them are ``TierkeepError``.
    """

    def ask(self, question: Question) -> Any:
        """The node's answer, decoded; None for an empty one."""
        method, path, body, learner, key, is_write = question
        return self._value(self._core.request(method, path, body, learner, self._position.get(), key, is_write))

    def _dict(self, question: Question) -> dict[str, Any]:
        return expected(self.ask(question))

    def _list(self, question: Question) -> list[dict[str, Any]]:
        return expected_list(self.ask(question))

    def daily(self, user: User, date: Date | None = None) -> dict[str, Any]:
        """A learner's day; by default today in the learner's zone."""
        return self._dict(questions.daily(user, date))

    def weekly(self, user: User, week_start: Date | None = None) -> dict[str, Any]:
        """A learner's week; any day means its week, which begins on Monday."""
        return self._dict(questions.weekly(user, week_start))

    def monthly(self, user: User, month: Date | None = None) -> dict[str, Any]:
        """A learner's month, as ``2026-01`` or any day of it."""
        return self._dict(questions.monthly(user, month))

    def analytics(
        self, user: User, *, days: int | None = None, to: Date | None = None, lang: str | None = None
    ) -> dict[str, Any]:
        """The last ``days`` (2 to 365, default 30) days up to ``to``; advice in ``lang`` (``en``, ``zh``)."""
        return self._dict(questions.analytics(user, days, to, lang))

    def streaks(self, user: User) -> dict[str, Any]:
        """A learner's current and longest run of active days."""
        return self._dict(questions.streaks(user))

    def heatmap(self, user: User, year: int | None = None) -> dict[str, Any]:
        """Each day of a learner's year with its level, 0 to 4."""
        return self._dict(questions.heatmap(user, year))

    def courses(self, user: User) -> dict[str, Any]:
        """A learner's courses, summed up."""
        return self._dict(questions.courses(user))

    def global_stats(self) -> dict[str, Any]:
        """What all learners did."""
        return self._dict(questions.global_stats())

    def many(
        self,
        users: Sequence[User],
        statistic: str,
        date: Date | None = None,
        *,
        days: int | None = None,
        lang: str | None = None,
    ) -> list[dict[str, Any]]:
        """One statistic of at most 1000 learners by one request, in their order. For a learner without an answer there
        is
        ``{"user_id": ..., "error": problem}``."""
        return self._list(questions.many(list(users), statistic, date, days, lang))

    def create_session(self, fields: dict[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Stores a session; later reads of this context see it, on every node."""
        return self._dict(questions.create_session(fields, idempotency_key))

    def update_session(self, session: User, fields: dict[str, Any]) -> dict[str, Any]:
        """Changes fields of a session."""
        return self._dict(questions.update_session(session, fields))

    def complete_session(self, session: User, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ends a session."""
        return self._dict(questions.complete_session(session, fields))

    def delete_session(self, session: User) -> None:
        """Deletes a session."""
        self.ask(questions.delete_session(session))

    def put_course(self, user: User, content: User, fields: dict[str, Any]) -> Any:
        """Stores a learner's progress in a course."""
        return self.ask(questions.put_course(user, content, fields))

    def delete_course(self, user: User, content: User) -> None:
        """Deletes a learner's progress in a course."""
        self.ask(questions.delete_course(user, content))

    def invalidate(
        self, users: Sequence[User] = (), *, tags: Sequence[str] = (), everything: bool = False
    ) -> dict[str, Any]:
        """Has every tier of every node forget answers about learners or tags. Needs the scope ``admin``."""
        return self._dict(questions.invalidate(list(users), tags=list(tags), everything=everything))

    def warmup(self, users: Sequence[User] = (), *, global_stats: bool = False, force: bool = False) -> dict[str, Any]:
        """Has all statistics of at most 1000 learners computed now. Needs the scope ``admin``."""
        return self._dict(questions.warmup(list(users), global_stats=global_stats, force=force))

    def cache_standing(self) -> dict[str, Any]:
        """How the node's tiers stand. Needs the scope ``admin``."""
        return self._dict(questions.cache())


class AsyncClient(_Connection):
    """As ``Client``, for asyncio: what this process keeps is given without yielding, all else is waited for by a
    thread of
    this library's, so that the event loop goes on. A call that is cancelled ends by itself within its time limit.
    """

    async def ask(self, question: Question) -> Any:
        """The node's answer, decoded; None for an empty one."""
        method, path, body, learner, key, is_write = question
        position = self._position.get()
        if method == "GET":
            kept = self._core.kept(path, learner, position)
            if kept is not None:
                return self._value(kept)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def done(answer: Answer | None, error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(_settle, future, answer, error)

        self._core.submit(done, method, path, body, learner, position, key, is_write)
        return self._value(await future)

    async def _dict(self, question: Question) -> dict[str, Any]:
        return expected(await self.ask(question))

    async def _list(self, question: Question) -> list[dict[str, Any]]:
        return expected_list(await self.ask(question))

    async def daily(self, user: User, date: Date | None = None) -> dict[str, Any]:
        """As ``Client.daily``."""
        return await self._dict(questions.daily(user, date))

    async def weekly(self, user: User, week_start: Date | None = None) -> dict[str, Any]:
        """As ``Client.weekly``."""
        return await self._dict(questions.weekly(user, week_start))

    async def monthly(self, user: User, month: Date | None = None) -> dict[str, Any]:
        """As ``Client.monthly``."""
        return await self._dict(questions.monthly(user, month))

    async def analytics(
        self, user: User, *, days: int | None = None, to: Date | None = None, lang: str | None = None
    ) -> dict[str, Any]:
        """As ``Client.analytics``."""
        return await self._dict(questions.analytics(user, days, to, lang))

    async def streaks(self, user: User) -> dict[str, Any]:
        """As ``Client.streaks``."""
        return await self._dict(questions.streaks(user))

    async def heatmap(self, user: User, year: int | None = None) -> dict[str, Any]:
        """As ``Client.heatmap``."""
        return await self._dict(questions.heatmap(user, year))

    async def courses(self, user: User) -> dict[str, Any]:
        """As ``Client.courses``."""
        return await self._dict(questions.courses(user))

    async def global_stats(self) -> dict[str, Any]:
        """As ``Client.global_stats``."""
        return await self._dict(questions.global_stats())

    async def many(
        self,
        users: Sequence[User],
        statistic: str,
        date: Date | None = None,
        *,
        days: int | None = None,
        lang: str | None = None,
    ) -> list[dict[str, Any]]:
        """As ``Client.many``."""
        return await self._list(questions.many(list(users), statistic, date, days, lang))

    async def create_session(self, fields: dict[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        """As ``Client.create_session``."""
        return await self._dict(questions.create_session(fields, idempotency_key))

    async def update_session(self, session: User, fields: dict[str, Any]) -> dict[str, Any]:
        """As ``Client.update_session``."""
        return await self._dict(questions.update_session(session, fields))

    async def complete_session(self, session: User, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """As ``Client.complete_session``."""
        return await self._dict(questions.complete_session(session, fields))

    async def delete_session(self, session: User) -> None:
        """As ``Client.delete_session``."""
        await self.ask(questions.delete_session(session))

    async def put_course(self, user: User, content: User, fields: dict[str, Any]) -> Any:
        """As ``Client.put_course``."""
        return await self.ask(questions.put_course(user, content, fields))

    async def delete_course(self, user: User, content: User) -> None:
        """As ``Client.delete_course``."""
        await self.ask(questions.delete_course(user, content))

    async def invalidate(
        self, users: Sequence[User] = (), *, tags: Sequence[str] = (), everything: bool = False
    ) -> dict[str, Any]:
        """As ``Client.invalidate``."""
        return await self._dict(questions.invalidate(list(users), tags=list(tags), everything=everything))

    async def warmup(
        self, users: Sequence[User] = (), *, global_stats: bool = False, force: bool = False
    ) -> dict[str, Any]:
        """As ``Client.warmup``."""
        return await self._dict(questions.warmup(list(users), global_stats=global_stats, force=force))

    async def cache_standing(self) -> dict[str, Any]:
        """As ``Client.cache_standing``."""
        return await self._dict(questions.cache())


def _settle(future: asyncio.Future[Answer], answer: Answer | None, error: BaseException | None) -> None:
    if future.done():
        return  # cancelled meanwhile
    if error is not None:
        future.set_exception(error)
    elif answer is not None:
        future.set_result(answer)


_open: weakref.WeakSet[_Connection] = weakref.WeakSet()


def _close_all() -> None:
    """Before the interpreter ends: its threads must be in no call that would come back to it."""
    for connection in list(_open):
        connection._core.close(connection._timeout + 1.0)


atexit.register(_close_all)
