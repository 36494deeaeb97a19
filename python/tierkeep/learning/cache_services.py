"""The guide's services, over a running node.

All methods are class methods, take a learner's id as str, UUID or int, and give plain dicts: the node's answer,
decoded,
equal whether it was computed, kept by a tier or by this process. ``compat="guide"`` (or ``TIERKEEP["COMPAT"]``) gives
the
guide's shapes. They raise the exceptions of ``tierkeep.learning.client``.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from tierkeep.learning import guide, questions
from tierkeep.learning.client import LearnerNotFound
from tierkeep.learning.configuration import async_client, client, configuration
from tierkeep.learning.errors import expected
from tierkeep.learning.questions import Date, Question, User

__all__ = ["CourseProgressCacheService", "LearningStatsCacheService", "monitor_cache_performance"]

_AS_CONFIGURED = "as configured"


class LearningStatsCacheService:
    """What a learner did: by day, week, month, lately, in all."""

    @classmethod
    def get_user_daily_stats(
        cls, user_id: User, date: Date | None = None, *, compat: str | None = _AS_CONFIGURED
    ) -> dict[str, Any]:
        """A day, by default today in the learner's zone. A datetime counts as the day it shows."""
        return _get("daily", questions.daily(user_id, date), compat, date)

    @classmethod
    async def aget_user_daily_stats(
        cls, user_id: User, date: Date | None = None, *, compat: str | None = _AS_CONFIGURED
    ) -> dict[str, Any]:
        """As ``get_user_daily_stats``."""
        return await _aget("daily", questions.daily(user_id, date), compat, date)

    @classmethod
    def get_user_weekly_stats(
        cls, user_id: User, week_start: Date | None = None, *, compat: str | None = _AS_CONFIGURED
    ) -> dict[str, Any]:
        """A week, by default this one. Any day means its week, which begins on Monday."""
        return _get("weekly", questions.weekly(user_id, week_start), compat, week_start)

    @classmethod
    async def aget_user_weekly_stats(
        cls, user_id: User, week_start: Date | None = None, *, compat: str | None = _AS_CONFIGURED
    ) -> dict[str, Any]:
        """As ``get_user_weekly_stats``."""
        return await _aget("weekly", questions.weekly(user_id, week_start), compat, week_start)

    @classmethod
    def get_user_monthly_stats(cls, user_id: User, month: Date | None = None) -> dict[str, Any]:
        """A month, as ``2026-01`` or any day of it; by default this one."""
        return client().monthly(user_id, month)

    @classmethod
    async def aget_user_monthly_stats(cls, user_id: User, month: Date | None = None) -> dict[str, Any]:
        """As ``get_user_monthly_stats``."""
        return await async_client().monthly(user_id, month)

    @classmethod
    def get_user_session_analytics(
        cls,
        user_id: User,
        *,
        days: int = 30,
        to: Date | None = None,
        lang: str | None = None,
        compat: str | None = _AS_CONFIGURED,
    ) -> dict[str, Any]:
        """The last ``days`` (2 to 365) local days up to ``to``, with ``recommendations`` in ``lang``."""
        return _get("analytics", questions.analytics(user_id, days, to, lang or configuration().language), compat, to)

    @classmethod
    async def aget_user_session_analytics(
        cls,
        user_id: User,
        *,
        days: int = 30,
        to: Date | None = None,
        lang: str | None = None,
        compat: str | None = _AS_CONFIGURED,
    ) -> dict[str, Any]:
        """As ``get_user_session_analytics``."""
        question = questions.analytics(user_id, days, to, lang or configuration().language)
        return await _aget("analytics", question, compat, to)

    @classmethod
    def get_user_streaks(cls, user_id: User) -> dict[str, Any]:
        """The current and the longest run of active days."""
        return client().streaks(user_id)

    @classmethod
    async def aget_user_streaks(cls, user_id: User) -> dict[str, Any]:
        """As ``get_user_streaks``."""
        return await async_client().streaks(user_id)

    @classmethod
    def get_user_heatmap(cls, user_id: User, year: int | None = None) -> dict[str, Any]:
        """Each day of a year with its level, 0 to 4; by default this year."""
        return client().heatmap(user_id, year)

    @classmethod
    async def aget_user_heatmap(cls, user_id: User, year: int | None = None) -> dict[str, Any]:
        """As ``get_user_heatmap``."""
        return await async_client().heatmap(user_id, year)

    @classmethod
    def get_many(
        cls, user_ids: Sequence[User], statistic: str, date: Date | None = None, *, compat: str | None = _AS_CONFIGURED
    ) -> list[dict[str, Any]]:
        """One statistic (``daily``, ``weekly``, ``monthly``, ``analytics``, ``streaks``, ``heatmap``, ``courses``) of
        at most
        1000 learners by one request, in their order; ``{"user_id": ..., "error": problem}`` for one that has none."""
        return _many(client().many(user_ids, statistic, date), statistic, compat, date)

    @classmethod
    async def aget_many(
        cls, user_ids: Sequence[User], statistic: str, date: Date | None = None, *, compat: str | None = _AS_CONFIGURED
    ) -> list[dict[str, Any]]:
        """As ``get_many``."""
        return _many(await async_client().many(user_ids, statistic, date), statistic, compat, date)

    @classmethod
    def get_global_stats(cls, *, compat: str | None = _AS_CONFIGURED) -> dict[str, Any]:
        """What all learners did."""
        return _get("global", questions.global_stats(), compat, None)

    @classmethod
    async def aget_global_stats(cls, *, compat: str | None = _AS_CONFIGURED) -> dict[str, Any]:
        """As ``get_global_stats``."""
        return await _aget("global", questions.global_stats(), compat, None)

    @classmethod
    def precompute_hot_data(cls, user_id: User) -> dict[str, Any]:
        """Has daily, weekly and analytics computed and kept. The report names the tier that had each:
        ``{"user_id": ..., "daily": "miss", "weekly": "l1", "analytics": "l3"}``."""
        asked = client()
        report: dict[str, Any] = {"user_id": str(user_id)}
        for name, question in _hot(user_id):
            asked.ask(question)
            report[name] = asked.last.cache if asked.last else "none"
        return report

    @classmethod
    async def aprecompute_hot_data(cls, user_id: User) -> dict[str, Any]:
        """As ``precompute_hot_data``."""
        asked = async_client()
        report: dict[str, Any] = {"user_id": str(user_id)}
        for name, question in _hot(user_id):
            await asked.ask(question)
            report[name] = asked.last.cache if asked.last else "none"
        return report

    @classmethod
    def invalidate_user_cache(cls, user_id: User) -> dict[str, Any]:
        """Has every tier of every node forget all about the learner. Needs a token with the scope ``admin``, if any."""
        async_client().forget(user_id)
        return client().invalidate([user_id])

    @classmethod
    async def ainvalidate_user_cache(cls, user_id: User) -> dict[str, Any]:
        """As ``invalidate_user_cache``."""
        client().forget(user_id)
        return await async_client().invalidate([user_id])


class CourseProgressCacheService:
    """How far a learner is in courses."""

    @classmethod
    def get_user_course_summary(cls, user_id: User, *, compat: str | None = _AS_CONFIGURED) -> dict[str, Any]:
        """A learner's courses, summed up."""
        return _get("courses", questions.courses(user_id), compat, None)

    @classmethod
    async def aget_user_course_summary(cls, user_id: User, *, compat: str | None = _AS_CONFIGURED) -> dict[str, Any]:
        """As ``get_user_course_summary``."""
        return await _aget("courses", questions.courses(user_id), compat, None)

    @classmethod
    def invalidate_user_cache(cls, user_id: User) -> dict[str, Any]:
        """As that of ``LearningStatsCacheService``: a learner's answers go together."""
        return LearningStatsCacheService.invalidate_user_cache(user_id)

    @classmethod
    async def ainvalidate_user_cache(cls, user_id: User) -> dict[str, Any]:
        """As ``invalidate_user_cache``."""
        return await LearningStatsCacheService.ainvalidate_user_cache(user_id)


def monitor_cache_performance() -> dict[str, Any]:
    """Hits, misses, stale answers and evictions of the node, for each statistic in ``groups``, and of this process.

    Counts are since the node's start; ``hit_ratio`` (0 to 1, None where nobody read) is over the last hour. Needs a
    token
    with the scope ``admin``, if any.
    """
    standing = client().cache_standing()
    groups: dict[str, dict[str, Any]] = {}
    for counted in standing.get("statistics", ()):
        by_tier = {answers["tier"]: answers["count"] for answers in counted.get("answers", ())}
        groups[counted["statistic"]] = {
            "hits": counted.get("l1", 0) + counted.get("l2", 0),
            "misses": counted.get("misses", 0),
            "stale": by_tier.get("stale", 0),
            "hit_ratio": counted.get("hit_ratio", {}).get("last_hour"),
        }
    total = {name: sum(group[name] for group in groups.values()) for name in ("hits", "misses", "stale")}
    evictions = (standing.get("l1") or {}).get("evictions", 0)
    counts, async_counts = client().counts, async_client().counts
    process = {name: count + async_counts[name] for name, count in counts.items()}
    return {"status": standing.get("status"), **total, "evictions": evictions, "groups": groups, "process": process}


def _hot(user_id: User) -> tuple[tuple[str, Question], ...]:
    return (
        ("daily", questions.daily(user_id)),
        ("weekly", questions.weekly(user_id)),
        ("analytics", questions.analytics(user_id, 30, None, configuration().language)),
    )


def _get(statistic: str, question: Question, compat: str | None, date: Date | None) -> dict[str, Any]:
    try:
        answer = expected(client().ask(question))
        return guide.shaped(statistic, answer) if _is_guide(compat) else answer
    except LearnerNotFound:
        if not _is_guide(compat):
            raise
        return _unknown(statistic, date)


async def _aget(statistic: str, question: Question, compat: str | None, date: Date | None) -> dict[str, Any]:
    try:
        answer = expected(await async_client().ask(question))
        return guide.shaped(statistic, answer) if _is_guide(compat) else answer
    except LearnerNotFound:
        if not _is_guide(compat):
            raise
        return _unknown(statistic, date)


def _many(answers: list[dict[str, Any]], statistic: str, compat: str | None, date: Date | None) -> list[dict[str, Any]]:
    if not _is_guide(compat):
        return answers
    return [_many_item(one, statistic, date) for one in answers]


def _many_item(one: dict[str, Any], statistic: str, date: Date | None) -> dict[str, Any]:
    if "error" not in one:
        return guide.shaped(statistic, one)
    is_unknown = one["error"].get("type") == "urn:tierkeep:problem:unknown-learner"
    return (guide.empty(statistic, _day(date)) if is_unknown else None) or one


def _unknown(statistic: str, date: Date | None) -> dict[str, Any]:
    """Zeros for a learner that nobody knows. Called for the statistics of the guide only."""
    return guide.empty(statistic, _day(date)) or {}


def _day(date: Date | None) -> datetime.date:
    text = questions._day(date)
    return datetime.date.fromisoformat(text) if text else datetime.datetime.now(datetime.timezone.utc).date()


def _is_guide(compat: str | None) -> bool:
    if compat is _AS_CONFIGURED:
        compat = configuration().compat
    if compat not in (None, "guide"):
        raise ValueError(f"compat is {compat!r}; accepted: None, 'guide'")
    return compat is not None
