"""The guide's tasks, for Celery's beat or any other clock.

Each has a node do its task of the schedule, and waits for it. The node's lease makes sure that one runs at a time:
beat and
the node's own scheduler may both be on. With Celery installed they are its tasks, under their own names and under
``TIERKEEP["TASK_PREFIX"]``, tried again three times after 60, 120 and 240 seconds; without it they are plain functions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tierkeep.learning import questions
from tierkeep.learning.cache_services import LearningStatsCacheService
from tierkeep.learning.client import Conflict, NodeFailed, NodeUnavailable, TierkeepError, TooManyRequests
from tierkeep.learning.configuration import client, configuration
from tierkeep.learning.errors import expected
from tierkeep.learning.questions import User

__all__ = [
    "TaskFailed",
    "archive_old_learning_data",
    "cleanup_expired_cache",
    "precompute_active_users_cache",
    "precompute_user_cache_task",
    "update_learning_analytics",
]

_MODULE = "tierkeep.learning.tasks"
_RETRIES = 3
_FIRST_WAIT = 60
"""Seconds; doubled with each retry."""
_LOOK = 0.2
"""Seconds between two looks at a run."""
_PASSING = (NodeUnavailable, NodeFailed, TooManyRequests)
"""What may go by itself."""

_F = TypeVar("_F", bound=Callable[..., dict[str, Any]])


class TaskFailed(TierkeepError):
    """A node ran the task, and it was not done; ``problem`` is the run."""


def _task(function: _F) -> _F:
    """The function as a task of Celery, if that is installed."""
    try:
        from celery import shared_task
    except ImportError:
        return function
    name = function.__name__

    def run(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return function(*args, **kwargs)
        except _PASSING as error:
            raise self.retry(
                exc=error, countdown=_FIRST_WAIT * 2**self.request.retries, max_retries=_RETRIES
            ) from error

    run.__name__, run.__doc__, run.__module__ = name, function.__doc__, function.__module__
    for prefix in dict.fromkeys((configuration().task_prefix, _MODULE)):
        task = shared_task(bind=True, name=f"{prefix}.{name}")(run)
    return cast(_F, task)


@_task
def precompute_active_users_cache(wait_seconds: float = 600.0) -> dict[str, Any]:
    """Brings answers about learners of the last days up to date before they ask. Gives the run."""
    return _run("precompute-active-cache", wait_seconds)


@_task
def cleanup_expired_cache(wait_seconds: float = 600.0) -> dict[str, Any]:
    """Takes expired answers out of the tiers. Gives the run."""
    return _run("cleanup-expired-cache", wait_seconds)


@_task
def archive_old_learning_data(wait_seconds: float = 3600.0) -> dict[str, Any]:
    """Cleans up as ``[retention]`` says. Gives the run."""
    return _run("archive-old-data", wait_seconds)


@_task
def update_learning_analytics(wait_seconds: float = 3600.0) -> dict[str, Any]:
    """Brings stored summaries up to date. Gives the run."""
    return _run("update-analytics", wait_seconds)


@_task
def precompute_user_cache_task(user_id: User) -> dict[str, Any]:
    """Has a learner's daily, weekly and analytics computed and kept. Gives ``precompute_hot_data``'s report."""
    return LearningStatsCacheService.precompute_hot_data(user_id)


def _run(name: str, wait_seconds: float) -> dict[str, Any]:
    """Has a node do a task; gives its run once it is done. One that is at work already is waited for instead.

    Raises TaskFailed when it failed or was refused, and NodeUnavailable when it is not done within ``wait_seconds``.
    """
    asked = client()
    deadline = time.monotonic() + wait_seconds
    logger = logging.getLogger(f"{configuration().logger_prefix}.tasks")
    run_id: str | None = None
    try:
        run_id = expected(asked.ask(questions.run_task(name)), "run_id")["run_id"]
    except Conflict:
        logger.info("%s is at work already, and is waited for", name)
    while True:
        run = _look(asked.ask(questions.task_runs(name)), run_id)
        if run is not None:
            run_id = run["run_id"]
            if run["state"] == "done":
                return run
            if run["state"] in ("failed", "refused"):
                raise TaskFailed(f"{name}: {run.get('error') or run['state']}", problem=run)
        if time.monotonic() >= deadline:
            raise NodeUnavailable(f"{name} was not done within {wait_seconds} seconds")
        time.sleep(_LOOK)


def _look(history: dict[str, Any], run_id: str | None) -> dict[str, Any] | None:
    """The run of this number; without one, the one that works or waits, else the newest."""
    runs = [expected(run, "run_id", "state") for run in expected(history, "items")["items"]]
    if run_id is not None:
        return next((run for run in runs if run["run_id"] == run_id), None)
    return next((run for run in runs if run["state"] in ("works", "waiting")), runs[0] if runs else None)
