"""Every block of docs/python/guide.md, run as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from learning_nodes import ANNA, ROOT, SECONDS, Node, fill
from test_learning_django import Platform, platform  # noqa: F401

PAGE = ROOT / "docs" / "python" / "guide.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
SETTINGS = [code for kind, code in BLOCKS if kind == "python" and code.startswith("# settings.py")]
CODE = [code for kind, code in BLOCKS if kind == "python" and not code.startswith("# settings.py")]
LINES = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines() if line.strip()]

BEFORE = """
import sys, django; django.setup()
node = sys.argv[1]
from apps.learning_plans.models import User
user = User.objects.filter(email="guide@example.org").first() or User.objects.create(email="guide@example.org",
username="guide")
user_id = user.uuid
import time
from tierkeep.learning.client import Client
deadline = time.monotonic() + 20
while True:
    try:
        Client(node, timeout=20.0).daily(user_id)
        break
    except LookupError:
        assert time.monotonic() < deadline, "the node does not learn of the learner"
        time.sleep(0.01)
"""


def test_the_page_has_the_blocks_that_are_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "sh"}
    assert (len(SETTINGS), len(CODE), len(LINES)) == (2, 8, 7)


def test_the_code_runs_as_printed(platform: Platform) -> None:  # noqa: F811
    script = platform.folder / "guide.py"
    script.write_text(
        BEFORE + "\n".join(CODE) + "\nassert day is not None and where[0] in ('l1', 'l2', 'l3', 'miss'), where\n"
    )

    platform.run(f"python guide.py {platform.node.url}", extra={"PLATFORM_GUIDE": "\n".join(SETTINGS)})


@pytest.mark.parametrize("line", LINES)
def test_the_lines_run_as_printed(platform: Platform, line: str) -> None:  # noqa: F811
    out = platform.run(line, extra={"PLATFORM_GUIDE": "\n".join(SETTINGS)})

    if line.endswith("check"):
        assert "no issues" in out


def test_the_table_of_settings_is_that_of_the_code() -> None:
    from tierkeep.learning.configuration import _KNOWN

    table = PAGE.read_text().split("| key | default | meaning |")[1].split("\n\n")[0]
    named = {
        name
        for row in table.splitlines()
        for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1] if "|" in row else "")
    }

    assert named == set(_KNOWN)


CELERY = """
import json, sys, threading
import django; django.setup()
from django.conf import settings
from celery import Celery
app = Celery("platform", broker="memory://", backend="cache+memory://")
app.conf.update(task_always_eager="eager" in sys.argv)
app.autodiscover_tasks(["tierkeep.learning"], force=True)
app.finalize()
names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
assert names <= set(app.tasks), names - set(app.tasks)
assert {name.replace("apps.learning_plans", "tierkeep.learning") for name in names} <= set(app.tasks)
assert "apps.learning_plans.tasks.precompute_user_cache_task" in app.tasks
"""

WORKER = (
    CELERY
    + """
from celery.contrib.testing.worker import start_worker
with start_worker(app, perform_ping_check=False, pool="solo"):
    for name in sorted(names):
        run = app.tasks[name].delay().get(timeout=60)
        assert run["state"] == "done", run
        print(name, run["task"])
"""
)

RETRY = (
    CELERY
    + """
from unittest import mock
from celery.app.task import Task
from tierkeep.learning.client import NodeUnavailable
waits, real = [], Task.retry
def retry(self, *args, **options):
    waits.append(options["countdown"])
    return real(self, *args, **options)
with mock.patch.object(Task, "retry", retry):
    try:
        app.tasks[sorted(names)[0]].apply().get()
    except NodeUnavailable as error:
        assert "tierkeep serve" in str(error)
    else:
        raise AssertionError("there is no node")
assert waits[:3] == [60, 120, 240] and len(waits) <= 4, waits
"""
)


def test_the_beat_schedule_finds_its_tasks_and_a_worker_does_them(platform: Platform) -> None:  # noqa: F811
    (platform.folder / "worker.py").write_text(WORKER)

    out = platform.run("python worker.py", extra={"PLATFORM_GUIDE": "\n".join(SETTINGS)})

    assert "archive_old_learning_data archive-old-data" in out and "cleanup_expired_cache cleanup-expired-cache" in out


def test_a_task_without_a_node_is_tried_again_three_times(platform: Platform, nowhere: str) -> None:  # noqa: F811
    (platform.folder / "retry.py").write_text(RETRY)

    platform.run("python retry.py eager", extra={"PLATFORM_GUIDE": "\n".join(SETTINGS)}, NODE=nowhere)


PLAIN = """
import sys; sys.modules["celery"] = None
from tierkeep.learning import tasks
assert tasks.cleanup_expired_cache.__class__.__name__ == "function"
states = [tasks.cleanup_expired_cache()["state"], tasks.update_learning_analytics()["state"]]
print(*states, tasks.precompute_user_cache_task(sys.argv[1]))
"""


def test_without_celery_the_tasks_are_functions(new_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch) -> None:
    node = new_node()
    fill(node)
    node.start()
    monkeypatch.setenv("TIERKEEP_NODE", node.url)

    done = subprocess.run(
        [sys.executable, "-c", PLAIN, ANNA], capture_output=True, text=True, timeout=4 * SECONDS, cwd=Path.home()
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("done done {'user_id'")
