"""The guide's shapes: the same numbers as a node gives, under the keys and with the zeros that the guide's readers
expect."""

from __future__ import annotations

import datetime
from typing import Any

from tierkeep.learning.errors import expected

__all__ = ["empty", "shaped"]

_DAILY = (
    "date",
    "total_sessions",
    "completed_sessions",
    "active_sessions",
    "productive_sessions",
    "total_duration",
    "avg_effectiveness",
    "environments",
    "devices",
    "subjects",
)
_WEEKLY = (
    "week_start",
    "week_end",
    "total_sessions",
    "total_duration",
    "avg_session_duration",
    "daily_breakdown",
    "streak_days",
    "most_productive_day",
    "consistency_score",
)
_ANALYTICS = (
    "avg_session_duration",
    "avg_effectiveness",
    "avg_focus_score",
    "preferred_environment",
    "preferred_device",
    "peak_hours",
    "improvement_trend",
    "recommendations",
)
_COURSES = ("total_courses", "completed_courses", "avg_proficiency", "total_hours", "weekly_hours", "subjects")
_GLOBAL = (
    "total_users",
    "total_sessions_today",
    "total_sessions_week",
    "avg_session_duration",
    "most_popular_environment",
    "most_popular_device",
)
_KEYS = {"daily": _DAILY, "weekly": _WEEKLY, "analytics": _ANALYTICS, "courses": _COURSES, "global": _GLOBAL}
_MEANS = frozenset({"avg_effectiveness", "avg_session_duration", "avg_focus_score", "avg_proficiency"})


def shaped(statistic: str, value: dict[str, Any]) -> dict[str, Any]:
    """The value in the guide's shape; a statistic that the guide does not have stays as it is. The value is not
    changed.

    Raises UnexpectedAnswer for a value that lacks something: none of it is made up.
    """
    keys = _KEYS.get(statistic)
    if keys is None:
        return value
    expected(value, *keys)
    result = {key: value[key] for key in keys}
    for mean in _MEANS.intersection(keys):
        if result[mean] is None:
            result[mean] = 0
    if statistic == "weekly":
        result["streak_days"] = expected(value, "active_days")["active_days"]
    elif statistic == "analytics":
        if result["improvement_trend"] == "unknown":
            result["improvement_trend"] = "stable"
        result["recommendations"] = [advice.get("message") for advice in result["recommendations"] or ()]
    return result


def empty(statistic: str, day: datetime.date) -> dict[str, Any] | None:
    """What the guide says of a learner that nobody knows; None for a statistic that the guide does not have."""
    nothing: dict[str, Any] = {key: 0 for key in _KEYS.get(statistic, ())}
    if statistic == "daily":
        return nothing | {"date": day.isoformat(), "environments": {}, "devices": {}, "subjects": {}}
    if statistic == "weekly":
        monday = day - datetime.timedelta(days=day.weekday())
        week = [(monday + datetime.timedelta(days=number)).isoformat() for number in range(7)]
        return nothing | {
            "week_start": week[0],
            "week_end": week[6],
            "daily_breakdown": {date: {"sessions": 0, "duration": 0, "completed": 0} for date in week},
            "most_productive_day": None,
            "consistency_score": 0.0,
        }
    if statistic == "analytics":
        return nothing | {
            "preferred_environment": None,
            "preferred_device": None,
            "peak_hours": {},
            "improvement_trend": "stable",
            "recommendations": [],
        }
    if statistic == "courses":
        return nothing | {"subjects": []}
    return None
