"""A Django platform with its own tables on PostgreSQL, a node attached to them, and `manage.py` as an operator types
it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from learning_nodes import ANNA, Node, fill

SITE = Path(__file__).parent / "platform_site"
ATTACHED = '[mapping]\npreset = "platform"\n[days]\ntime_zone = "UTC"\n'


class Platform:
    """A Django project in a folder of its own, its database, and a node on that."""

    def __init__(self, folder: Path, database: dict[str, Any], node: Node) -> None:
        shutil.copytree(SITE, folder / "site", ignore=shutil.ignore_patterns("__pycache__"))
        self.folder, self.database, self.node = folder / "site", database, node
        self.tierkeep: dict[str, Any] = {"BINARY": node.binary, "CONFIG": str(node.folder / "tierkeep.toml")}

    def environment(self, **tierkeep: Any) -> dict[str, str]:
        settings = {
            "NODE": self.node.url or "http://127.0.0.1:9",
            "WARMUP_DELAY": 0.2,
            "TIMEOUT": 30.0,
            "CONNECT_TIMEOUT": 30.0,
        }
        settings |= {"LOGGER_PREFIX": "apps.learning_plans", **self.tierkeep, **tierkeep}
        return {
            **os.environ,
            "PLATFORM_DATABASE": json.dumps(self.database),
            "PLATFORM_TIERKEEP": json.dumps({key: value for key, value in settings.items() if value is not None}),
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, line: str, expected: int = 0, extra: dict[str, str] | None = None, **tierkeep: Any) -> str:
        """A line as it is typed; what it printed on both streams."""
        words = shlex.split(line)
        if words[0] == "python":
            words[0] = sys.executable
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment(**tierkeep) | (extra or {}),
            capture_output=True,
            text=True,
            timeout=180,
        )
        told = f"{done.stdout}\n{done.stderr[-3000:]}"
        assert done.returncode == expected, f"{line}: {done.returncode}\n{told}"
        return done.stdout + done.stderr


def django_database(address: str) -> dict[str, Any]:
    parts = urlsplit(address)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": parts.password or "",
        "HOST": unquote(parts.netloc.rpartition("@")[2].partition(":")[0]),
        "PORT": str(parts.port or ""),
    }


@pytest.fixture(scope="module", params=["alone", "with Redis"])
def platform(
    request: pytest.FixtureRequest, binary: str, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """The tables are Django's, made by Django; a node was attached, with and without Redis."""
    import psycopg

    redis = request.getfixturevalue("redis") if request.param == "with Redis" else None
    folder = tmp_path_factory.mktemp("platform")
    name = f"platform_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"create database {name}")
    address = urlsplit(postgres)._replace(path=f"/{name}").geturl()
    (folder / "node").mkdir()
    node = Node(binary, folder / "node", address, ATTACHED, redis)
    made = Platform(folder, django_database(address), node)
    made.run("python manage.py migrate --run-syncdb")
    node.run("attach")
    node.start()
    yield made
    node.stop()


@pytest.mark.parametrize(
    "scenario",
    [
        "a_saved_session_changes_day_and_week_at_once",
        "what_sends_no_signal_is_seen_all_the_same",
        "nothing_is_done_for_what_is_rolled_back",
        "one_hook_serves_a_transaction_and_stands_before_the_applications",
        "a_thousand_saves_warm_up_once",
        "two_learners_with_fifty_sessions_are_two_computations",
        "hooks_are_captured_in_a_test_case",
        "a_position_ends_with_its_request",
        "what_is_there_is_counted",
    ],
)
def test_scenario(platform: Platform, scenario: str) -> None:
    platform.run(f"python scenarios.py {scenario}")


def test_scenario_with_models_that_are_named(platform: Platform) -> None:
    platform.run("python scenarios.py watched_models_can_be_named", MODELS={"learning_plans.StudySession": "user"})


def test_scenario_without_a_node(platform: Platform, nowhere: str) -> None:
    platform.run("python scenarios.py a_commit_without_a_node_goes_through_and_is_logged", NODE=nowhere)


def test_the_system_check_says_whether_the_feed_is_attached(platform: Platform, nowhere: str, tmp_path: Path) -> None:
    assert "no issues" in platform.run("python manage.py check")
    assert "tierkeep.W001" in platform.run("python manage.py check", NODE=nowhere)
    folder = tmp_path / "reader"
    folder.mkdir()
    reader = Node(platform.node.binary, folder, platform.node.database, ATTACHED)
    reader_environment = reader.environment
    (folder / "tierkeep.toml").write_text(ATTACHED)
    process = subprocess.Popen(
        [reader.binary, "--read-only", "serve", "--listen", "127.0.0.1:0"],
        env=reader_environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = next(line for line in process.stdout if "listening on" in line)
        url = line.split("listening on ")[1].split(",")[0].split()[0]
        found = platform.run("python manage.py check", NODE=url)
    finally:
        process.kill()
        process.wait()
    assert "tierkeep.W002" in found and "tierkeep attach" in found


@pytest.mark.parametrize(
    "line",
    [
        "python manage.py cleanup_learning_data --dry-run",
        "python manage.py cleanup_learning_data --cleanup-invalid",
        "python manage.py cleanup_learning_data --archive-older-than=365 --delete-older-than=1095 --batch-size=1000",
        "python manage.py cleanup_learning_data --only invalid --only archive --max-seconds 60 --dry-run --force",
        "python manage.py precompute_cache",
        "python manage.py precompute_cache --precompute-cache",
        "python manage.py precompute_cache --active-users-only --days-active=7",
    ],
)
def test_a_line_of_the_guide_runs_and_ends_with_0(platform: Platform, line: str) -> None:
    platform.run(line)


def test_a_command_prints_what_the_program_does(platform: Platform) -> None:
    out = platform.run("python manage.py cleanup_learning_data --dry-run --json")

    report = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert report["dry_run"] is True and set(report["phases"]) >= {"invalid", "archive", "delete"}


CALL = """
import django; django.setup()
from django.core.management import CommandError, call_command
from django.db import transaction
{setup}
try:
    {call}
except CommandError as error:
    print("returncode", error.returncode, error)
"""


def test_an_exit_code_of_the_program_is_that_of_the_command(platform: Platform) -> None:
    wrong = CALL.format(setup="", call="call_command('cleanup_learning_data', batch_size=0)")
    assert "returncode 2" in platform.run(f"python -c {shlex.quote(wrong)}")
    assert "wrong usage" in platform.run("python manage.py cleanup_learning_data --archive-older-than=0", expected=2)
    assert "unrecognized" in platform.run("python manage.py cleanup_learning_data --drop", expected=2)


@pytest.fixture
def old(binary: str, tmp_path: Path) -> Callable[[int, int], Platform]:
    """Makes a site on a database with so many old sessions, one of so many invalid; 0: none."""

    def make(count: int, invalid: int) -> Platform:
        (tmp_path / "node").mkdir()
        node = Node(binary, tmp_path / "node", f"sqlite://{tmp_path}/learning.db")
        fill(node)
        lines = ["id,user_id,start_time,end_time,duration_minutes"]
        for number in range(count):
            minutes = -5 if invalid and number % invalid == 0 else 5
            lines.append(f"{uuid.UUID(int=number + (1 << 64))},{ANNA},2020-01-05T10:00:00Z,,{minutes}")
        (node.folder / "old.csv").write_text("\n".join(lines) + "\n")
        node.run("import", "--sessions", "old.csv")
        return Platform(tmp_path, {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{tmp_path}/learning.db"}, node)

    return make


GUIDE = {"PLATFORM_GUIDE": 'INSTALLED_APPS += ["tierkeep.learning"]'}


def test_what_a_guard_refuses_is_returncode_3(old: Callable[[int, int], Platform]) -> None:
    site = old(300, 3)
    refused = CALL.format(setup="", call="call_command('cleanup_learning_data', cleanup_invalid=True)")

    told = site.run(f"python -c {shlex.quote(refused)}", extra=GUIDE)

    assert "returncode 3 " in told and "refused by a guard" in told, told
    site.run("python manage.py cleanup_learning_data --cleanup-invalid", expected=3, extra=GUIDE)
    site.run("python manage.py cleanup_learning_data --cleanup-invalid --force", extra=GUIDE)


def test_a_run_that_stopped_early_is_returncode_4_and_goes_on(old: Callable[[int, int], Platform]) -> None:
    """Batches of one row: more of them than a second has room for."""
    site = old(20_000, 0)
    stopped = CALL.format(
        setup="", call="call_command('cleanup_learning_data', only=['archive'], batch_size=1, max_seconds=1, force=True)"
    )

    told = site.run(f"python -c {shlex.quote(stopped)}", extra=GUIDE)

    assert "returncode 4 " in told and "stopped early, and can be continued" in told, told
    out = site.run("python manage.py cleanup_learning_data --only archive --json --force", extra=GUIDE)
    report = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert report["ended"] == "done" and 0 < report["phases"]["archive"]["rows"] < 20_000


def test_what_another_program_could_not_see_is_refused(platform: Platform, tmp_path: Path) -> None:
    opened = CALL.format(
        setup="", call="with transaction.atomic(): call_command('cleanup_learning_data', dry_run=True)"
    )
    assert "transaction is open" in platform.run(f"python -c {shlex.quote(opened)}")
    memory = {"PLATFORM_DATABASE": json.dumps({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"})}
    assert "memory" in platform.run("python manage.py precompute_cache", expected=1, extra=memory)
    mysql = {"PLATFORM_DATABASE": json.dumps({"ENGINE": "django.db.backends.mysql", "NAME": "x"})}
    assert platform.run("python -c pass", extra=mysql) == ""
    missing = platform.run("python manage.py precompute_cache", expected=1, BINARY=str(tmp_path / "nothing"))
    assert "no program" in missing
    assert "has no 'other'" in platform.run("python manage.py precompute_cache --database other", expected=1)


def test_an_unknown_setting_stops_the_start(platform: Platform) -> None:
    assert "did you mean 'NODE'" in platform.run("python manage.py check", expected=1, NOED="http://a")
    assert "learning_plans.Nothing" in platform.run(
        "python manage.py check", expected=1, MODELS={"learning_plans.Nothing": "user"}
    )


def test_the_password_is_in_no_argument(platform: Platform, tmp_path: Path) -> None:
    spy = tmp_path / "tierkeep"
    spy.write_text('#!/bin/sh\necho "arguments: $*"\necho "address: $TIERKEEP_DATABASE_URL"\n')
    spy.chmod(0o755)
    database = {**platform.database, "PASSWORD": "p@ss/word"}

    out = platform.run(
        "python manage.py precompute_cache", extra={"PLATFORM_DATABASE": json.dumps(database)}, BINARY=str(spy)
    )

    assert "arguments: precompute-cache\n" in out and ":p%40ss%2Fword@" in out


def test_the_commands_work_on_sqlite(binary: str, tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    node = Node(binary, tmp_path / "node", f"sqlite://{tmp_path}/learning.db")
    fill(node)
    site = Platform(tmp_path, {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{tmp_path}/learning.db"}, node)
    guide = {"PLATFORM_GUIDE": 'INSTALLED_APPS += ["tierkeep.learning"]'}

    out = site.run("python manage.py precompute_cache --json", extra=guide)
    assert json.loads(next(line for line in out.splitlines() if line.startswith("{")))["learners"] >= 2
    site.run("python manage.py cleanup_learning_data --dry-run", extra=guide)
    node.start()
    stats = (
        "import django; django.setup(); from tierkeep.learning.cache_services import LearningStatsCacheService as S; "
        f"print(S.get_user_daily_stats('{ANNA}', '2026-01-05')['total_sessions'])"
    )
    assert site.run(f"python -c {shlex.quote(stats)}").strip() == "1"
    node.stop()
