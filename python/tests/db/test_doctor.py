"""The command `tierkeep doctor` as functions, on a database of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tierkeep.db import DatabaseMonitoring, DoctorError, IndexOptimization, address_of


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "learning.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table sessions (id integer primary key, learner int, minutes int);"
            "create index by_minutes on sessions (minutes);"
            "create index by_minutes_again on sessions (minutes);"
        )
        rows = [(number % 500, number) for number in range(5000)]
        connection.executemany("insert into sessions (learner, minutes) values (?, ?)", rows)
    return path


def test_tables_and_indexes_are_told(database: Path) -> None:
    # The seed asked for columns that do not exist.
    monitoring = DatabaseMonitoring(f"sqlite://{database}")

    (table,) = monitoring.get_table_stats()
    usage = monitoring.get_index_usage()

    assert table["table"] == "sessions" and table["table_bytes"] > 0
    assert [finding["command"] for finding in usage["findings"]] == ['drop index "by_minutes_again"']
    assert [task["command"] for task in monitoring.summary()["tasks"]] == [
        "pragma analysis_limit = 1000; analyze",
        'drop index "by_minutes_again"',
    ]


def test_what_was_not_examined_says_why(database: Path) -> None:
    answer = DatabaseMonitoring(f"sqlite://{database}").get_slow_queries()

    assert answer["examined"] is False or "statements" in answer
    assert answer["examined"] or answer["reason"]


def test_plan_is_told_and_what_writes_is_refused_and_not_run(database: Path) -> None:
    # The seed ran EXPLAIN ANALYZE of whatever text it was given.
    optimization = IndexOptimization(create_engine(f"sqlite:///{database}"))

    plan = optimization.analyze_query_performance("select * from sessions where learner = 7")
    for query in ("delete from sessions", "select 1; delete from sessions", "--help"):
        with pytest.raises(DoctorError):
            optimization.analyze_query_performance(query)

    assert "sessions" in str(plan["plan"])
    assert sqlite3.connect(database).execute("select count(*) from sessions").fetchone() == (5000,)


def test_index_is_suggested_and_made(database: Path) -> None:
    queries = ["select * from sessions where learner = 7;", "select minutes from sessions where learner = 8"]
    with Session(create_engine(f"sqlite:///{database}")) as session:
        optimization = IndexOptimization(session)

        suggested = optimization.suggest_indexes(queries)
        before = sqlite3.connect(database).execute("select count(*) from sqlite_master where type = 'index'").fetchone()
        optimization.create_optimized_indexes(queries)

    assert "learner" in str(suggested)
    assert before == (2,)
    made = sqlite3.connect(database).execute("select sql from sqlite_master where type = 'index'").fetchall()
    assert any("learner" in str(row) for row in made)
    with pytest.raises(TypeError, match="collection of str"):
        IndexOptimization(f"sqlite://{database}").suggest_indexes("select 1")


def test_failure_of_the_command_is_an_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(DoctorError, match="does not exist") as raised:
        DatabaseMonitoring(f"sqlite://{tmp_path}/absent.db").get_table_stats()

    assert raised.value.returncode not in (0, None)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgres://u:p@h:5/d", "postgres://u:p@h:5/d"),
        ("postgresql+psycopg://u:p@h/d?sslmode=require", "postgres://u:p@h/d?sslmode=require"),
        ("sqlite+pysqlite:////var/a.db", "sqlite:///var/a.db"),
        ("sqlite:///relative.db", "sqlite://relative.db"),
        ("sqlite:////var/a.db", "sqlite:///var/a.db"),
        ("sqlite://relative.db", "sqlite://relative.db"),
    ],
)
def test_addresses_are_those_of_sqlalchemy_or_of_the_command(given: str, taken: str) -> None:
    assert address_of(given) == taken


def test_password_of_an_engine_is_kept(database: Path) -> None:
    engine = create_engine("postgresql+psycopg://user:se%40cret@host/name")

    assert address_of(engine) == "postgres://user:se%40cret@host/name"


@pytest.mark.parametrize("wrong", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "plain", 3, None])
def test_what_is_no_database_of_another_program_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError):
        address_of(wrong)
