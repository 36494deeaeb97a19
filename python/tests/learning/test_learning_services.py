"""The guide's services: every call, the shapes of the guide, and the guide's defects that reach Python."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import sys
from typing import Any

import pytest
from learning_nodes import ANNA, BORIS, CARLA, MONDAY, NOBODY, Node

from tierkeep.learning import configuration, program
from tierkeep.learning.cache_services import (
    CourseProgressCacheService,
    LearningStatsCacheService,
    monitor_cache_performance,
)
from tierkeep.learning.cache_signals import CacheWarmupService
from tierkeep.learning.client import BadRequest, LearnerNotFound
from tierkeep.learning.configuration import ConfigurationError, read

Stats, Courses = LearningStatsCacheService, CourseProgressCacheService
pytestmark = pytest.mark.usefixtures("configured")


def test_the_numbers_of_a_day_are_the_contracts() -> None:
    day = Stats.get_user_daily_stats(ANNA, MONDAY)

    # 23:30Z on Sunday is Monday morning in Shanghai; a rating of 4 and a focus of 0.85 are productive
    assert day == {
        "user_id": ANNA,
        "time_zone": "Asia/Shanghai",
        "as_of": day["as_of"],
        "date": "2026-01-05",
        "total_sessions": 1,
        "completed_sessions": 1,
        "active_sessions": 0,
        "productive_sessions": 1,
        "total_duration": 60,
        "avg_effectiveness": 4.0,
        "avg_focus_score": 0.85,
        "environments": {"home": 1},
        "devices": {"laptop": 1},
        "subjects": {"maths": 1},
        "hours": {"7": 1},
    }
    assert datetime.datetime.fromisoformat(day["as_of"].replace("Z", "+00:00")).tzinfo is not None


def test_every_call_answers() -> None:
    week = Stats.get_user_weekly_stats(ANNA, week_start="2026-01-08")
    assert (week["week_start"], week["active_days"], week["streak_days"]) == ("2026-01-05", 3, 2)
    assert week["total_duration"] == 110 and week["most_productive_day"] == "2026-01-05"
    assert Stats.get_user_monthly_stats(ANNA, "2026-01")["total_sessions"] == 3
    analytics = Stats.get_user_session_analytics(ANNA, days=14, to="2026-01-10", lang="zh")
    assert analytics["from"] == "2025-12-28" and {"code", "message", "evidence"} == set(analytics["recommendations"][0])
    assert Stats.get_user_session_analytics(BORIS)["days"] == 30
    assert Stats.get_user_streaks(ANNA)["longest_streak"] == 2
    assert len(Stats.get_user_heatmap(ANNA, 2026)["days"]) == 365
    assert Stats.get_global_stats()["total_users"] >= 2
    summary = Courses.get_user_course_summary(ANNA)
    assert (summary["total_courses"], summary["completed_courses"], summary["subjects"]) == (3, 1, ["art", "maths"])
    assert [one["user_id"] for one in Stats.get_many([BORIS, ANNA], "weekly", MONDAY)] == [BORIS, ANNA]
    report = Stats.precompute_hot_data(ANNA)
    assert set(report) == {"user_id", "daily", "weekly", "analytics"}
    assert Stats.invalidate_user_cache(ANNA)["complete"] is True
    assert Courses.invalidate_user_cache(ANNA)["complete"] is True
    forced = CacheWarmupService.warmup_user_cache(ANNA, force=True)
    assert forced["learners"] == 1 and forced["computed"] == 7
    assert CacheWarmupService.warmup_user_cache(ANNA)["fresh"] == 7
    assert CacheWarmupService.warmup_global_cache()["failed"] == 0


def test_every_call_has_an_asynchronous_form_with_the_same_answer() -> None:
    calls: list[tuple[Any, str, tuple[Any, ...]]] = [
        (Stats, "get_user_daily_stats", (ANNA, MONDAY)),
        (Stats, "get_user_weekly_stats", (ANNA, MONDAY)),
        (Stats, "get_user_monthly_stats", (ANNA, "2026-01")),
        (Stats, "get_user_session_analytics", (ANNA,)),
        (Stats, "get_user_streaks", (ANNA,)),
        (Stats, "get_user_heatmap", (ANNA, 2026)),
        (Stats, "get_many", ([ANNA], "daily", MONDAY)),
        (Stats, "get_global_stats", ()),
        (Stats, "precompute_hot_data", (ANNA,)),
        (Stats, "invalidate_user_cache", (ANNA,)),
        (Courses, "get_user_course_summary", (ANNA,)),
        (Courses, "invalidate_user_cache", (ANNA,)),
        (CacheWarmupService, "warmup_user_cache", (CARLA,)),
        (CacheWarmupService, "warmup_global_cache", ()),
    ]
    for service, name, arguments in calls:
        value = getattr(service, name)(*arguments)
        again = asyncio.run(getattr(service, f"a{name}")(*arguments))
        if isinstance(value, dict) and name.startswith("get_"):
            value, again = {**value, "as_of": None}, {**again, "as_of": None}
            assert value == again, name
        else:
            assert type(value) is type(again), name
        assert (
            inspect.signature(getattr(service, name)).parameters.keys()
            == inspect.signature(getattr(service, f"a{name}")).parameters.keys()
        )
    public = {name for service, name, _ in calls}
    for service in (Stats, Courses, CacheWarmupService):
        named = {name for name in vars(service) if not name.startswith("_")}
        assert {name for name in named if name in public} | {f"a{name}" for name in named if name in public} == named


# where, contract's answer, the guide's: table 6.3 of what differs
SHAPES: list[tuple[str, Any, Any, Any]] = [
    (
        "mean over nothing",
        lambda c: Stats.get_user_daily_stats(CARLA, "2020-01-01", compat=c)["avg_effectiveness"],
        None,
        0,
    ),
    (
        "mean over nothing",
        lambda c: Stats.get_user_weekly_stats(CARLA, "2020-01-01", compat=c)["avg_session_duration"],
        None,
        0,
    ),
    ("mean over nothing", lambda c: Courses.get_user_course_summary(CARLA, compat=c)["avg_proficiency"], None, 0),
    ("streak_days", lambda c: Stats.get_user_weekly_stats(ANNA, MONDAY, compat=c)["streak_days"], 2, 3),
    (
        "most_productive_day",
        lambda c: Stats.get_user_weekly_stats(ANNA, MONDAY, compat=c)["most_productive_day"],
        "2026-01-05",
        "2026-01-05",
    ),
    (
        "no Monday",
        lambda c: Stats.get_user_weekly_stats(ANNA, "2026-01-07", compat=c)["week_start"],
        "2026-01-05",
        "2026-01-05",
    ),
    (
        "trend without ratings",
        lambda c: Stats.get_user_session_analytics(BORIS, compat=c)["improvement_trend"],
        "unknown",
        "stable",
    ),
    (
        "low_effectiveness without ratings",
        lambda c: any(
            "low_effectiveness" in str(advice)
            for advice in Stats.get_user_session_analytics(BORIS, compat=c)["recommendations"]
        ),
        False,
        False,
    ),
    (
        "recommendations",
        lambda c: {type(advice) for advice in Stats.get_user_session_analytics(BORIS, compat=c)["recommendations"]},
        {dict},
        {str},
    ),
    (
        "peak_hours",
        lambda c: Stats.get_user_session_analytics(ANNA, to="2026-01-05", compat=c)["peak_hours"],
        {"7": 1},
        {"7": 1},
    ),
    (
        "course subjects",
        lambda c: Courses.get_user_course_summary(ANNA, compat=c)["subjects"],
        ["art", "maths"],
        ["art", "maths"],
    ),
    (
        "daily keys",
        lambda c: (
            {"user_id", "time_zone", "as_of", "avg_focus_score", "hours"}
            & set(Stats.get_user_daily_stats(ANNA, compat=c))
        ),
        {"user_id", "time_zone", "as_of", "avg_focus_score", "hours"},
        set(),
    ),
    (
        "global keys",
        lambda c: {"time_zone", "as_of", "total_sessions"} & set(Stats.get_global_stats(compat=c)),
        {"time_zone", "as_of", "total_sessions"},
        set(),
    ),
    ("analytics keys", lambda c: len(Stats.get_user_session_analytics(ANNA, compat=c)), 18, 8),
]


@pytest.mark.parametrize(
    ("where", "ask", "contract", "guide"), SHAPES, ids=[f"{n}-{row[0]}" for n, row in enumerate(SHAPES)]
)
def test_the_guides_shape_is_given_on_request_and_by_setting(
    where: str, ask: Any, contract: Any, guide: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(None) == contract
    assert ask("guide") == guide
    monkeypatch.setattr("tierkeep.learning.configuration._django_settings", lambda: {"COMPAT": "guide"})
    configuration.reset()
    assert ask(configuration.configuration().compat) == guide
    with pytest.raises(ValueError):
        ask("guid")


def test_an_unknown_learner_is_zeros_with_compat_and_an_exception_without() -> None:
    table = [
        (
            lambda c: Stats.get_user_daily_stats(NOBODY, MONDAY, compat=c),
            Stats.get_user_daily_stats(CARLA, "2020-01-01", compat="guide"),
        ),
        (
            lambda c: Stats.get_user_weekly_stats(NOBODY, "2020-01-01", compat=c),
            Stats.get_user_weekly_stats(CARLA, "2020-01-01", compat="guide"),
        ),
        (
            lambda c: Stats.get_user_session_analytics(NOBODY, compat=c),
            Stats.get_user_session_analytics(CARLA, to="2020-01-01", compat="guide"),
        ),
        (
            lambda c: Courses.get_user_course_summary(NOBODY, compat=c),
            Courses.get_user_course_summary(CARLA, compat="guide"),
        ),
    ]
    for ask, nothing in table:
        with pytest.raises(LearnerNotFound):
            ask(None)
        zeros = ask("guide")
        assert {**zeros, "date": 0} == {**nothing, "date": 0}
        assert list(zeros) == list(nothing)
    with pytest.raises(BadRequest):
        Stats.get_user_daily_stats("nobody at all", compat="guide")
    [zeros, anna] = Stats.get_many([NOBODY, ANNA], "daily", MONDAY, compat="guide")
    assert zeros["total_sessions"] == 0 and anna == Stats.get_user_daily_stats(ANNA, MONDAY, compat="guide")


def test_a_value_is_equal_on_miss_and_on_hit() -> None:
    for ask in (
        lambda: Stats.get_user_daily_stats(ANNA, MONDAY),
        lambda: Stats.get_user_session_analytics(ANNA, to="2026-01-10"),
        lambda: Stats.get_user_session_analytics(ANNA, to="2026-01-10", compat="guide"),
    ):
        Stats.invalidate_user_cache(ANNA)
        miss = ask()
        kept = ask()
        configuration.reset()
        hit_of_the_node = ask()

        assert {**miss, "as_of": 0} == {**kept, "as_of": 0} == {**hit_of_the_node, "as_of": 0}


def test_a_write_through_the_api_changes_day_and_week_at_once() -> None:
    asked = configuration.client()
    before = Stats.get_user_daily_stats(CARLA, "2026-03-02"), Stats.get_user_weekly_stats(CARLA, "2026-03-02")

    asked.create_session(
        {
            "user_id": CARLA,
            "start_time": "2026-03-02T10:00:00Z",
            "duration_minutes": 30,
            "focus_score": 0.85,
            "effectiveness_rating": 4,
            "break_count": 1,
        }
    )

    day, week = Stats.get_user_daily_stats(CARLA, "2026-03-02"), Stats.get_user_weekly_stats(CARLA, "2026-03-02")
    assert day["total_sessions"] == before[0]["total_sessions"] + 1
    assert week["total_duration"] == before[1]["total_duration"] + 30
    assert day["productive_sessions"] >= 1


def test_monitoring_counts_what_is_read(configured: Node) -> None:
    before = monitor_cache_performance()
    Stats.get_user_daily_stats(ANNA, MONDAY)
    Stats.get_user_daily_stats(ANNA, MONDAY)
    after = monitor_cache_performance()

    assert after["hits"] + after["misses"] > before["hits"] + before["misses"]
    assert after["process"]["kept"] > before["process"]["kept"]
    assert {"hits", "misses", "stale", "hit_ratio"} == set(after["groups"]["daily"])
    assert after["status"] == "on" and isinstance(after["evictions"], int)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"NOED": "http://a"}, "did you mean 'NODE'"),
        ({"NODE": "https://a"}, "plain HTTP"),
        ({"NODE": 7}, "neither an address"),
        ({"COMPAT": "guid"}, "'guide'"),
        ({"MODE": "direct"}, "'auto'"),
        ({"TIMEOUT": "1s"}, "a number"),
        ({"TIMEOUT": -1}, "timeout"),
        ({"KEPT_BYTES": -1}, "whole number"),
        ({"KEPT_BYTES": 1.5}, "whole number"),
        ({"TOKEN": 5}, "TOKEN"),
        ({"LANGUAGE": "fr"}, "'en'"),
        ({"MODELS": ["a.B"]}, "MODELS"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_a_sentence(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match="TIERKEEP") as raised:
        read(given)

    assert says in str(raised.value)


def test_the_program_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERKEEP_BIN", sys.executable)
    assert program.find(None) == sys.executable
    monkeypatch.setenv("TIERKEEP_BIN", "/nowhere")
    with pytest.raises(program.ProgramMissing, match="TIERKEEP_BIN names /nowhere"):
        program.find(None)
