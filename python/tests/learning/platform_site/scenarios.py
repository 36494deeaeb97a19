"""What a platform does, each in a process of its own: ``python scenarios.py NAME``."""

import asyncio
import datetime
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from decimal import Decimal
from unittest import mock

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
django.setup()

from apps.learning_plans.models import CourseProgress, StudySession, User  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from tierkeep.learning import cache_signals  # noqa: E402
from tierkeep.learning.cache_services import (  # noqa: E402
    CourseProgressCacheService,
    LearningStatsCacheService,
    monitor_cache_performance,
)
from tierkeep.learning.client import Client, NodeUnavailable  # noqa: E402

DAY = datetime.datetime(2026, 4, 6, 10, tzinfo=datetime.timezone.utc)
SECONDS = 20.0


def learner() -> User:
    name = uuid.uuid4().hex
    return User.objects.create(email=f"{name}@example.org", username=name)


def session(user: User, minutes: int = 30, **fields: object) -> StudySession:
    return StudySession.objects.create(user=user, start_time=DAY, duration_minutes=minutes, **fields)


def day(user: User) -> dict:
    return LearningStatsCacheService.get_user_daily_stats(user.uuid, DAY)


async def aday(user: User) -> dict:
    return await LearningStatsCacheService.aget_user_daily_stats(user.uuid, DAY)


def week(user: User) -> dict:
    return LearningStatsCacheService.get_user_weekly_stats(user.uuid, DAY)


def becomes(look: Callable[[], object], expected: object, seconds: float = SECONDS) -> float:
    """How long it took until it was so; statistics live five minutes and more, so no lifetime explains it."""
    begun = time.monotonic()
    while (found := look()) != expected:
        assert time.monotonic() - begun < seconds, f"{found!r} and not {expected!r}"
        time.sleep(0.01)
    return time.monotonic() - begun


def known(user: User) -> None:
    """The node has learnt of the learner from its feed."""

    def is_known() -> bool:
        try:
            return day(user)["user_id"] == str(user.uuid)
        except LookupError:
            return False

    becomes(is_known, True)


@contextmanager
def counted(name: str):
    """The calls of a client's method, which are made all the same."""
    calls: list[list[str]] = []
    real = getattr(Client, name)

    def call(self, users=(), **options):
        calls.append([str(user) for user in users])
        return real(self, users, **options)

    with mock.patch.object(Client, name, call):
        yield calls


def a_saved_session_changes_day_and_week_at_once() -> None:
    user = learner()
    known(user)
    assert (day(user)["total_sessions"], week(user)["total_sessions"]) == (0, 0)

    asyncio.run(aday(user))

    saved = session(user, 60, focus_score=Decimal("0.85"), effectiveness_rating=4, break_count=1)
    assert (day(user)["total_sessions"], week(user)["total_sessions"]) == (1, 1)
    assert day(user)["productive_sessions"] == 1
    assert asyncio.run(aday(user))["total_sessions"] == 1
    saved.duration_minutes = 45
    saved.save()
    assert (day(user)["total_duration"], week(user)["total_duration"]) == (45, 45)
    saved.delete()
    assert (day(user)["total_sessions"], week(user)["total_sessions"]) == (0, 0)


def what_sends_no_signal_is_seen_all_the_same() -> None:
    user = learner()
    known(user)
    assert day(user)["total_sessions"] == 0

    StudySession.objects.bulk_create(StudySession(user=user, start_time=DAY, duration_minutes=10) for _ in range(3))
    took = [becomes(lambda: day(user)["total_duration"], 30)]
    StudySession.objects.filter(user=user).update(duration_minutes=20)
    took.append(becomes(lambda: day(user)["total_duration"], 60))
    with connection.cursor() as cursor:
        cursor.execute("update study_sessions set duration_minutes = 5 where user_id = %s", [user.uuid])
    took.append(becomes(lambda: day(user)["total_duration"], 15))
    progress = CourseProgress.objects.create(user_uuid=user, subject_name="maths", learning_hour_total=1)
    becomes(lambda: CourseProgressCacheService.get_user_course_summary(user.uuid)["total_hours"], 1)
    CourseProgress.objects.filter(pk=progress.pk).update(learning_hour_total=9)
    took.append(becomes(lambda: CourseProgressCacheService.get_user_course_summary(user.uuid)["total_hours"], 9))
    StudySession.objects.filter(user=user).update(course_progress=progress)
    with connection.cursor() as cursor:
        cursor.execute("delete from study_sessions where course_progress_id = %s", [progress.pk])
    took.append(becomes(lambda: day(user)["total_sessions"], 0))
    print("seen after", [round(seconds, 2) for seconds in took])


def nothing_is_done_for_what_is_rolled_back() -> None:
    anna, boris = learner(), learner()
    with counted("invalidate") as calls:
        try:
            with transaction.atomic():
                session(anna)
                raise RuntimeError
        except RuntimeError:
            pass
        assert calls == []

        with transaction.atomic():
            try:
                with transaction.atomic():
                    session(anna)
                    raise RuntimeError
            except RuntimeError:
                pass
            session(boris)
            with transaction.atomic():
                session(boris)
            assert calls == []
        assert sorted({one for call in calls for one in call}) == [str(boris.uuid)]

        calls.clear()
        with transaction.atomic():
            session(boris)
            try:
                with transaction.atomic():
                    session(anna)
                    raise RuntimeError
            except RuntimeError:
                pass
        assert calls == [[str(boris.uuid)]]

        calls.clear()
        with transaction.atomic():
            session(boris)
            with transaction.atomic():
                session(anna)
        assert sorted(one for call in calls for one in call) == sorted([str(anna.uuid), str(boris.uuid)])


def one_hook_serves_a_transaction_and_stands_before_the_applications() -> None:
    user = learner()
    known(user)
    day(user)
    seen: list[int] = []
    with counted("invalidate") as calls, transaction.atomic():
        transaction.on_commit(lambda: seen.append(day(user)["total_sessions"]))
        for _ in range(10):
            session(user)
        assert len(connection.run_on_commit) == 2

    assert seen == [10] and calls == [[str(user.uuid)]]


def a_thousand_saves_warm_up_once() -> None:
    user = learner()
    known(user)
    with counted("warmup") as calls, counted("invalidate") as invalidated:
        with transaction.atomic():
            for _ in range(1000):
                session(user, 1)
        becomes(lambda: len(calls), 1)
        assert cache_signals._queue is not None and cache_signals._queue.waiting() == 0

        assert calls == [[str(user.uuid)]] and invalidated == [[str(user.uuid)]]
    assert day(user)["total_sessions"] == 1000


def two_learners_with_fifty_sessions_are_two_computations() -> None:
    users = [learner(), learner()]
    for user in users:
        known(user)
    with counted("warmup") as calls:
        for _ in range(50):
            with transaction.atomic():
                for user in users:
                    session(user, 1)
        becomes(lambda: len(calls) > 0 and cache_signals._queue.waiting() == 0, True)
        assert len(calls) < 25, "debounced"
        assert {one for call in calls for one in call} == {str(user.uuid) for user in users}
        assert all(len(call) == len(set(call)) for call in calls)


def a_commit_without_a_node_goes_through_and_is_logged() -> None:
    logged: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(f"{record.name}: {record.getMessage()}")

    logging.getLogger("apps.learning_plans").addHandler(Handler())
    user = learner()
    with transaction.atomic():
        session(user)

    assert StudySession.objects.filter(user=user).count() == 1
    assert any(line.startswith("apps.learning_plans.cache_signals: 1 learners changed") for line in logged), logged
    try:
        day(user)
    except NodeUnavailable as error:
        assert "tierkeep serve" in str(error)
    else:
        raise AssertionError("there is no node")


def hooks_are_captured_in_a_test_case() -> None:
    from django.test import TestCase

    user = learner()

    class Captured(TestCase):
        def runTest(self) -> None:
            transaction.on_commit(lambda: None)
            with counted("invalidate") as calls:
                with self.captureOnCommitCallbacks(execute=True) as hooks:
                    session(user)
                    session(user)
                assert len(hooks) == 1 and calls == [[str(user.uuid)]]

    import unittest

    result = unittest.TestResult()
    unittest.TestSuite([Captured()]).run(result)
    assert result.wasSuccessful(), (result.errors + result.failures)[0][1][-1500:]


def watched_models_can_be_named() -> None:
    from tierkeep.learning.cache_signals import _watched

    assert [(model.__name__, key) for model, key in _watched()] == [("StudySession", "user")]
    user = learner()
    with counted("invalidate") as calls:
        session(user)
        CourseProgress.objects.create(user_uuid=user, subject_name="maths")
    assert calls == [[str(user.uuid)]]


def a_position_ends_with_its_request() -> None:
    from django.core.signals import request_started

    from tierkeep.learning.configuration import client

    client().position = 7
    request_started.send(sender=None)
    assert client().position == 0


def what_is_there_is_counted() -> None:
    user = learner()
    known(user)
    day(user), day(user)
    assert monitor_cache_performance()["process"]["kept"] >= 1


if __name__ == "__main__":
    globals()[sys.argv[1]]()
