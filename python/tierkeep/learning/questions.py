"""How each question to a node is put: method, path and body, without asking it."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

__all__ = ["Date", "Question", "User"]

User = str | int | uuid.UUID
"""A learner's id, of the type that the platform has."""

Date = str | datetime.date
"""A day: ISO text, a date, or a datetime, which counts as the day it shows."""


class Question(NamedTuple):
    """What is sent to a node."""

    method: str
    path: str
    body: bytes | None = None
    learner: str | None = None
    """Whom it is about; None: all learners."""
    idempotency_key: str | None = None
    is_write: bool = False
    """Whether it changes what a statistic may say."""


def daily(user: User, date: Date | None = None) -> Question:
    return _of_learner(user, "stats/daily", date=_day(date))


def weekly(user: User, week_start: Date | None = None) -> Question:
    return _of_learner(user, "stats/weekly", week_start=_day(week_start))


def monthly(user: User, month: Date | None = None) -> Question:
    text = _day(month)
    return _of_learner(user, "stats/monthly", month=text if text is None else text[:7] if text[4:5] == "-" else text)


def analytics(user: User, days: int | None = None, to: Date | None = None, lang: str | None = None) -> Question:
    return _of_learner(user, "analytics", days=days, to=_day(to), lang=lang)


def streaks(user: User) -> Question:
    return _of_learner(user, "streaks")


def heatmap(user: User, year: int | None = None) -> Question:
    return _of_learner(user, "heatmap", year=year)


def courses(user: User) -> Question:
    return _of_learner(user, "courses/summary")


def global_stats() -> Question:
    return Question("GET", "/v1/stats/global")


def many(
    users: list[User],
    statistic: str,
    date: Date | None = None,
    days: int | None = None,
    lang: str | None = None,
) -> Question:
    asked = {"statistic": statistic, "date": _day(date), "days": days, "lang": lang}
    body = {"users": [_bare(user) for user in users]} | {
        name: value for name, value in asked.items() if value is not None
    }
    return Question("POST", "/v1/stats/batch", _json(body))


def create_session(fields: dict[str, Any], idempotency_key: str | None = None) -> Question:
    learner = fields.get("user_id")
    about = None if learner is None else _id(learner)
    return Question("POST", "/v1/sessions", _json(fields), about, idempotency_key, True)


def update_session(session: User, fields: dict[str, Any]) -> Question:
    return Question("PATCH", f"/v1/sessions/{_id(session)}", _json(fields), is_write=True)


def complete_session(session: User, fields: dict[str, Any] | None = None) -> Question:
    return Question("POST", f"/v1/sessions/{_id(session)}/complete", _json(fields or {}), is_write=True)


def delete_session(session: User) -> Question:
    return Question("DELETE", f"/v1/sessions/{_id(session)}", is_write=True)


def put_course(user: User, content: User, fields: dict[str, Any]) -> Question:
    learner = _id(user)
    return Question("PUT", f"/v1/users/{learner}/courses/{_id(content)}", _json(fields), learner, is_write=True)


def delete_course(user: User, content: User) -> Question:
    learner = _id(user)
    return Question("DELETE", f"/v1/users/{learner}/courses/{_id(content)}", None, learner, is_write=True)


def invalidate(users: list[User] | None = None, *, tags: list[str] | None = None, everything: bool = False) -> Question:
    body: dict[str, Any] = (
        {"all": True} if everything else {"users": [_bare(user) for user in users or []], "tags": tags or []}
    )
    about = _id(users[0]) if users is not None and len(users) == 1 and not tags and not everything else None
    return Question("POST", "/v1/admin/cache/invalidate", _json(body), about, is_write=True)


def warmup(users: list[User] | None = None, *, global_stats: bool = False, force: bool = False) -> Question:
    body = {"users": [_bare(user) for user in users or []], "global": global_stats, "force": force}
    return Question("POST", "/v1/admin/warmup", _json(body), is_write=force)


def cache() -> Question:
    return Question("GET", "/v1/admin/cache")


def run_task(name: str) -> Question:
    return Question("POST", f"/v1/admin/schedule/{quote(name, safe='')}/run")


def task_runs(name: str) -> Question:
    return Question("GET", f"/v1/admin/schedule/{quote(name, safe='')}/runs")


def _of_learner(user: User, what: str, **parameters: str | int | None) -> Question:
    learner = _id(user)
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return Question(
        "GET", f"/v1/users/{learner}/{what}?{query}" if query else f"/v1/users/{learner}/{what}", None, learner
    )


def _id(user: User) -> str:
    if isinstance(user, bool) or not isinstance(user, (str, int, uuid.UUID)):
        raise TypeError(f"an id is a str, UUID or int, and this is a {type(user).__name__}")
    text = str(user)
    return text.lower() if text.isascii() and text.replace("-", "").isalnum() else quote(text, safe="") or "%20"


def _bare(user: User) -> str | int:
    _id(user)
    if isinstance(user, int):
        return user
    text = str(user)
    return int(text) if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() else text


def _day(date: Date | None) -> str | None:
    if isinstance(date, datetime.datetime):
        date = date.date()
    if isinstance(date, datetime.date):
        return date.isoformat()
    if date is None or isinstance(date, str):
        return date
    raise TypeError(f"a day is ISO text, a date or a datetime, and this is a {type(date).__name__}")


def _json(document: Any) -> bytes:
    return json.dumps(document, default=_plain, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError(f"a {type(value).__name__} has no place in a request")
