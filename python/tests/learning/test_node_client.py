"""The clients: against a real node, one that is killed, hangs or comes back, and what is no node."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest
from learning_nodes import ANNA, BORIS, CARLA, MONDAY, NOBODY, SECONDS, Node, Scripted, fill, wait_for

from tierkeep.learning import client as errors
from tierkeep.learning.client import AsyncClient, Client


def raw(node: Node, path: str) -> Any:
    """What the node says to anybody else."""
    connection = http.client.HTTPConnection(node.listen, timeout=SECONDS)
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def patient(node: Node, **options: Any) -> Client:
    return Client(node.url, timeout=SECONDS, connect_timeout=SECONDS, **options)


def test_an_answer_is_the_body_of_the_node_decoded(node: Node) -> None:
    asked = patient(node)
    paths: list[tuple[str, Callable[[], Any]]] = [
        (f"/v1/users/{ANNA}/stats/daily?date=2026-01-05", lambda: asked.daily(ANNA, MONDAY)),
        (f"/v1/users/{ANNA}/stats/weekly?week_start=2026-01-07", lambda: asked.weekly(ANNA, "2026-01-07")),
        (f"/v1/users/{ANNA}/stats/monthly?month=2026-01", lambda: asked.monthly(ANNA, MONDAY)),
        (
            f"/v1/users/{ANNA}/analytics?to=2026-01-10&days=14&lang=zh",
            lambda: asked.analytics(ANNA, days=14, to="2026-01-10", lang="zh"),
        ),
        (f"/v1/users/{ANNA}/streaks", lambda: asked.streaks(ANNA)),
        (f"/v1/users/{ANNA}/heatmap?year=2026", lambda: asked.heatmap(ANNA, 2026)),
        (f"/v1/users/{ANNA}/courses/summary", lambda: asked.courses(ANNA)),
        ("/v1/stats/global", lambda: asked.global_stats()),
    ]
    for path, ask in paths:
        value, again = ask(), ask()
        expected = raw(node, path)

        assert {**value, "as_of": None} == {**expected, "as_of": None}, path
        assert list(value) == list(expected), path
        assert again == value and again is not value, path
        assert repr(value["as_of"])[:5] == "'2026" or value["as_of"], path


def test_a_user_is_text_uuid_or_number_and_a_day_text_date_or_datetime(node: Node) -> None:
    asked = patient(node)
    expected = asked.daily(ANNA, "2026-01-05")

    for user in (ANNA.upper(), uuid.UUID(ANNA)):
        for day in (date(2026, 1, 5), datetime(2026, 1, 5, 23, 59, tzinfo=timezone.utc)):
            assert asked.daily(user, day) == expected

    with pytest.raises(errors.LearnerNotFound):
        asked.daily(7)
    with pytest.raises(TypeError):
        asked.daily(True)
    with pytest.raises(TypeError):
        asked.daily(ANNA, 20260105)  # type: ignore[arg-type]


def test_the_last_answer_tells_where_it_came_from(node: Node) -> None:
    asked = patient(node, bound=3600.0)
    assert asked.last is None

    value = asked.daily(ANNA, "2026-01-06")
    first = asked.last
    asked.daily(ANNA, "2026-01-06")
    second = asked.last

    assert first is not None and second is not None
    assert first.cache in {"miss", "l1", "l3"} and first.source == "fetched" and first.node == node.url
    assert (second.cache, second.source, second.as_of) == ("l1", "kept", value["as_of"])


def test_an_answer_past_the_bound_is_asked_after_and_sent_only_if_it_changed(node: Node) -> None:
    asked = patient(node, bound=0.0)

    first = asked.weekly(ANNA, MONDAY)
    second = asked.weekly(ANNA, MONDAY)

    assert asked.last is not None and asked.last.source == "unchanged" and first == second
    assert asked.counts["unchanged"] == 1 and asked.counts["fetched"] == 1


def test_changing_an_answer_changes_nobody_elses(node: Node) -> None:
    asked = patient(node, bound=3600.0)
    expected = raw(node, f"/v1/users/{ANNA}/stats/daily?date=2026-01-05")["devices"]

    asked.daily(ANNA, MONDAY)["devices"].clear()

    assert asked.daily(ANNA, MONDAY)["devices"] == expected


def test_a_write_is_seen_by_the_next_read_and_its_position_is_sent(node: Node) -> None:
    asked = patient(node, bound=3600.0)
    before = asked.daily(CARLA, "2026-02-02")["total_sessions"]

    session = asked.create_session(
        {"user_id": CARLA, "start_time": datetime(2026, 2, 2, 10, tzinfo=timezone.utc), "duration_minutes": 30}
    )

    assert asked.daily(CARLA, "2026-02-02")["total_sessions"] == before + 1
    assert asked.position > 0
    asked.update_session(session["id"], {"duration_minutes": 40})
    assert asked.daily(CARLA, "2026-02-02")["total_duration"] == 40
    asked.complete_session(session["id"])
    assert asked.daily(CARLA, "2026-02-02")["completed_sessions"] == before + 1
    asked.delete_session(session["id"])
    assert asked.daily(CARLA, "2026-02-02")["total_sessions"] == before


@pytest.fixture
def two_nodes(postgres: str, new_node: Callable[..., Node]) -> tuple[Node, Node]:
    """Of one database, with an address each."""
    import psycopg

    name = f"two_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"create database {name}")
    database = urlsplit(postgres)._replace(path=f"/{name}").geturl()
    first, second = new_node(database), new_node(database)
    fill(first)
    return first.start(), second.start()


def test_a_write_through_one_node_is_seen_by_the_next_read_of_another(two_nodes: tuple[Node, Node]) -> None:
    first, second = two_nodes
    writer, reader, stranger = patient(first), patient(second, bound=0.0), patient(second, bound=0.0)
    late = 0
    for number in range(1, 41):
        # Kept by the second node, which is told of the change in its own time.
        assert reader.daily(CARLA, "2026-02-05")["total_sessions"] == number - 1
        writer.create_session({"user_id": CARLA, "start_time": "2026-02-05T10:00:00Z", "duration_minutes": 1})
        # The control: who does not say what was written may read what was before.
        late += stranger.daily(CARLA, "2026-02-05")["total_sessions"] < number

        reader.position = writer.position

        assert reader.daily(CARLA, "2026-02-05")["total_sessions"] == number
    assert late > 0


def test_a_position_goes_along_to_the_next_node_when_the_first_dies(two_nodes: tuple[Node, Node]) -> None:
    first, second = two_nodes
    asked = Client([first.url, second.url], timeout=SECONDS, connect_timeout=SECONDS, bound=0.0)
    warm = patient(second)
    warm.daily(CARLA, "2026-02-06")

    asked.create_session({"user_id": CARLA, "start_time": "2026-02-06T10:00:00Z", "duration_minutes": 1})
    first.kill()

    assert asked.daily(CARLA, "2026-02-06")["total_sessions"] == 1
    assert asked.last is not None and asked.last.node == second.url


def test_the_position_belongs_to_a_thread_and_may_be_handed_over(node: Node) -> None:
    asked = patient(node)
    asked.create_session({"user_id": CARLA, "start_time": "2026-02-03T10:00:00Z", "duration_minutes": 1})
    position = asked.position
    seen: list[int] = []

    def other() -> None:
        seen.append(asked.position)
        asked.position = position
        seen.append(asked.position)
        assert asked.daily(CARLA, "2026-02-03")["total_sessions"] >= 1

    with ThreadPoolExecutor(1) as pool:
        pool.submit(other).result(SECONDS)

    assert seen == [0, position] and position > 0


def test_many_learners_are_asked_about_by_one_request(node: Node) -> None:
    asked = patient(node)

    answers = asked.many([BORIS, NOBODY, uuid.UUID(ANNA)], "daily", MONDAY)

    assert [answer["user_id"] for answer in answers] == [BORIS, NOBODY, ANNA]
    assert answers[1]["error"]["type"] == "urn:tierkeep:problem:unknown-learner"
    assert answers[2] == {**asked.daily(ANNA, MONDAY), "as_of": answers[2]["as_of"]}


def test_what_cannot_be_answered_is_an_exception_that_says_why(node: Node) -> None:
    asked = patient(node)
    table: list[tuple[type[Exception], Callable[[], Any], str]] = [
        (errors.LearnerNotFound, lambda: asked.daily(NOBODY), NOBODY),
        (errors.BadRequest, lambda: asked.daily("no such id"), "UUID"),
        (errors.BadRequest, lambda: asked.daily("../../admin/cache"), "UUID"),
        (errors.BadRequest, lambda: asked.daily(""), "cannot be read"),
        (errors.BadRequest, lambda: asked.daily(ANNA, "yesterday"), "yesterday"),
        (errors.BadRequest, lambda: asked.daily(ANNA, "2999-01-01"), "2999"),
        (errors.BadRequest, lambda: asked.analytics(ANNA, days=1), "365"),
        (errors.BadRequest, lambda: asked.many([ANNA] * 1001, "daily"), "1000"),
        (errors.BadRequest, lambda: asked.create_session({"user_id": ANNA}), "start_time"),
        (errors.NotFound, lambda: asked.delete_session(NOBODY), NOBODY),
    ]
    for kind, ask, says in table:
        with pytest.raises(kind) as raised:
            ask()
        assert says in str(raised.value), raised.value
        assert isinstance(raised.value, errors.TierkeepError)


def test_a_token_is_sent_and_its_lack_is_told(new_node: Callable[..., Node]) -> None:
    guarded = new_node()
    fill(guarded)
    token = json.loads(guarded.run("--json", "token", "create", "reader", "--scope", "read"))["token"]
    guarded.start()

    with pytest.raises(errors.NotPermitted):
        patient(guarded).daily(ANNA)
    reader = patient(guarded, token=token)
    assert reader.daily(ANNA)["user_id"] == ANNA
    with pytest.raises(errors.NotPermitted, match="scope"):
        reader.invalidate([ANNA])


def test_addresses_and_times_that_cannot_be_used_are_refused_at_once() -> None:
    for wrong in (["https://node"], ["node:1"], [], ["http://a b"]):
        with pytest.raises(ValueError):
            Client(wrong)
    for options in ({"timeout": 0.0}, {"timeout": -1.0}, {"bound": float("nan")}, {"token": "a\r\nb"}):
        with pytest.raises(ValueError):
            Client(**options)  # type: ignore[arg-type]


def test_without_a_node_the_answer_is_quick_and_says_what_to_do(nowhere: str) -> None:
    asked = Client(nowhere)
    begun = time.monotonic()

    for _ in range(50):
        with pytest.raises(errors.NodeUnavailable, match="tierkeep serve"):
            asked.daily(ANNA)

    assert time.monotonic() - begun < 10


def test_a_killed_node_leaves_stale_answers_and_a_restarted_one_ends_them(new_node: Callable[..., Node]) -> None:
    mortal = new_node()
    fill(mortal)
    mortal.start()
    asked = Client(mortal.url, bound=0.0, timeout=SECONDS)
    value = asked.daily(ANNA, MONDAY)

    mortal.kill()
    stale = asked.daily(ANNA, MONDAY)
    stale_last = asked.last
    with pytest.raises(errors.NodeUnavailable):
        asked.daily(ANNA, "2026-01-06")
    mortal.start()

    assert stale == value and stale_last is not None and stale_last.cache == "stale"

    def is_back() -> bool:
        asked.daily(ANNA, MONDAY)
        return asked.last is not None and asked.last.cache != "stale"

    wait_for(is_back, "the breaker lets a call through again")


def test_a_node_that_hangs_costs_the_time_limit(new_node: Callable[..., Node]) -> None:
    hanging = new_node()
    fill(hanging)
    hanging.start()
    asked = Client(hanging.url, timeout=0.2, bound=0.0)
    wait_for(lambda: answers(asked), "a first answer")

    hanging.pause()
    begun = time.monotonic()
    asked.daily(ANNA, MONDAY)
    is_stale = asked.last is not None and asked.last.cache == "stale"
    with pytest.raises(errors.NodeUnavailable, match="in time"):
        asked.daily(BORIS, MONDAY)

    assert is_stale and time.monotonic() - begun < 5
    hanging.resume()
    wait_for(lambda: answers(asked) and asked.last is not None and asked.last.cache != "stale", "it answers again")


def answers(asked: Client) -> bool:
    with contextlib.suppress(errors.NodeUnavailable):
        asked.daily(ANNA, MONDAY)
        return True
    return False


def test_the_next_node_answers_for_one_that_is_gone(node: Node, nowhere: str) -> None:
    asked = Client([nowhere, node.url], timeout=SECONDS)

    assert asked.daily(ANNA, MONDAY)["user_id"] == ANNA
    assert asked.last is not None and asked.last.node == node.url


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "<html>welcome</html>", "text/html"),
        (200, '{"total', "application/json"),
        (200, "[" * 100_000 + "]" * 100_000, "application/json"),
        (404, "<html>not found</html>", "text/html"),
        (
            404,
            json.dumps({"type": "urn:tierkeep:problem:unknown-path", "detail": "there is nothing here"}),
            "application/problem+json",
        ),
        (404, "{}", "application/json"),
        (302, "", "text/html"),
    ],
)
def test_what_is_no_node_or_one_of_another_version_is_told_apart(
    scripted: Callable[..., Scripted], status: int, body: str, kind: str
) -> None:
    asked = Client(scripted(status, body, kind).url, timeout=SECONDS)

    with pytest.raises(errors.UnexpectedAnswer):
        asked.daily(ANNA)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("[]", "of the type list where an object is due"),
        ("5", "of the type int where an object is due"),
        ("null", "empty where an object is due"),
    ],
)
def test_an_answer_of_another_kind_is_that_of_another_version(
    scripted: Callable[..., Scripted], body: str, says: str
) -> None:
    asked = Client(scripted(200, body).url, timeout=SECONDS)

    with pytest.raises(errors.UnexpectedAnswer, match=f"{says}; is the node of another version"):
        asked.daily(ANNA)


def test_what_an_older_version_does_not_say_is_not_made_up(
    scripted: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tierkeep.learning import configuration, tasks
    from tierkeep.learning.cache_services import LearningStatsCacheService

    older = {"date": "2026-01-05", "total_sessions": 1}
    monkeypatch.setenv("TIERKEEP_NODE", scripted(200, json.dumps(older)).url)
    configuration.reset()

    assert LearningStatsCacheService.get_user_daily_stats(ANNA) == older
    with pytest.raises(errors.UnexpectedAnswer, match="no 'completed_sessions'.*another version"):
        LearningStatsCacheService.get_user_daily_stats(ANNA, compat="guide")
    with pytest.raises(errors.UnexpectedAnswer, match="no 'run_id'.*another version"):
        tasks._run("update-analytics", 1.0)
    configuration.reset()


def test_fields_of_a_later_version_are_passed_on(scripted: Callable[..., Scripted]) -> None:
    later = {"user_id": ANNA, "mood": [1.5, 2**63, -(2**63), 0.1, 1e300, None, True, "\u00e9\U0001f600"]}

    assert Client(scripted(200, json.dumps(later)).url, timeout=SECONDS).daily(ANNA) == later


def test_numbers_are_those_of_json_to_the_last_bit(scripted: Callable[..., Scripted]) -> None:
    import random

    chance = random.Random(7)
    numbers = [chance.uniform(-1, 1) * 10 ** chance.randint(-300, 300) for _ in range(5000)]
    text = json.dumps({"numbers": numbers})

    assert Client(scripted(200, text).url, timeout=SECONDS).global_stats() == json.loads(text)


def test_a_hundred_threads_that_ask_together_cost_one_computation(new_node: Callable[..., Node]) -> None:
    crowded = new_node()
    fill(crowded)
    crowded.start()
    start = threading.Barrier(100)

    def ask() -> dict[str, Any]:
        asked = patient(crowded)
        start.wait(SECONDS)
        return asked.weekly(ANNA, MONDAY)

    with ThreadPoolExecutor(100) as pool:
        answers = [future.result(SECONDS) for future in [pool.submit(ask) for _ in range(100)]]

    assert all(answer == answers[0] for answer in answers)
    [weekly] = [s for s in patient(crowded).cache_standing()["statistics"] if s["statistic"] == "weekly"]
    assert weekly["loads"] == 1


def test_async_answers_are_those_of_the_blocking_client(node: Node) -> None:
    blocking = patient(node)

    async def ask() -> None:
        asked = AsyncClient(node.url, timeout=SECONDS)
        same = {**await asked.daily(ANNA, MONDAY), "as_of": None}
        assert same == {**blocking.daily(ANNA, MONDAY), "as_of": None}
        assert await asked.daily(ANNA, MONDAY) == await asked.daily(ANNA, MONDAY)
        assert asked.last is not None and asked.last.cache == "l1"
        with pytest.raises(errors.LearnerNotFound):
            await asked.daily(NOBODY)
        before = (await asked.daily(CARLA, "2026-02-04"))["total_sessions"]
        await asked.create_session({"user_id": CARLA, "start_time": "2026-02-04T10:00:00Z", "duration_minutes": 5})
        assert (await asked.daily(CARLA, "2026-02-04"))["total_sessions"] == before + 1

    asyncio.run(ask())


def test_the_event_loop_goes_on_while_a_node_hangs(scripted: Callable[..., Scripted]) -> None:
    hold = threading.Event()
    server = scripted(200, "{}", hold=hold)

    async def ask() -> int:
        asked = AsyncClient(server.url, timeout=SECONDS, connect_timeout=SECONDS)
        pending = [asyncio.create_task(asked.daily(ANNA, f"2026-01-{day:02}")) for day in range(1, 31)]
        ticks, deadline = 0, time.monotonic() + SECONDS
        while len(server.asked) < 16:  # as many threads as there are
            assert time.monotonic() < deadline, server.asked
            await asyncio.sleep(0)
            ticks += 1
        pending[0].cancel()
        hold.set()
        answers = await asyncio.gather(*pending, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [{}] * 29
        return ticks

    assert asyncio.run(ask()) > 10


def test_the_blocking_client_works_inside_a_running_loop(node: Node) -> None:
    async def ask() -> dict[str, Any]:
        return patient(node).daily(ANNA, MONDAY)

    assert asyncio.run(ask())["user_id"] == ANNA


def test_children_forked_in_the_middle_of_calls_can_ask(node: Node) -> None:
    asked = patient(node, bound=0.0)
    background = AsyncClient(node.url, timeout=SECONDS, bound=0.0)
    stop = threading.Event()

    def work() -> None:
        async def ask() -> None:
            while not stop.is_set():
                await background.daily(ANNA, MONDAY)

        asyncio.run(ask())

    def hammer() -> None:
        while not stop.is_set():
            asked.daily(ANNA, MONDAY)

    threads = [threading.Thread(target=work)] + [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        fork = multiprocessing.get_context("fork")
        for _ in range(20):
            child = fork.Process(target=_ask_in_child, args=(asked, background))
            child.start()
            child.join(SECONDS)
            hangs = child.exitcode is None
            child.kill()
            assert not hangs and child.exitcode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
    assert asked.daily(ANNA, MONDAY)["user_id"] == ANNA


def _ask_in_child(asked: Client, background: AsyncClient) -> None:
    assert asked.daily(ANNA, MONDAY)["user_id"] == ANNA
    assert asked.counts["fetched"] == 1, "a child begins with nothing"
    assert asyncio.run(background.daily(ANNA, MONDAY))["user_id"] == ANNA


SHUTDOWN = """
import asyncio, sys, threading
from tierkeep.learning.client import AsyncClient, Client
node, how = sys.argv[1:]
if how == "async":
    async def ask():
        client = AsyncClient(node, timeout=1.0)
        for _ in range(40):
            asyncio.ensure_future(client.daily("a"))
        await asyncio.sleep(0.05)
    asyncio.run(ask())
else:
    client = Client(node, timeout=1.0)
    for _ in range(8):
        threading.Thread(target=client.daily, args=("a",), daemon=how == "daemon").start()
"""


@pytest.mark.parametrize("how", ["async", "daemon", "thread"])
def test_an_interpreter_that_ends_with_calls_under_way_ends(scripted: Callable[..., Scripted], how: str) -> None:
    hold = threading.Event()
    server = scripted(200, "{}", hold=hold)

    done = subprocess.run(
        [sys.executable, "-c", SHUTDOWN, server.url, how], capture_output=True, text=True, timeout=SECONDS
    )
    hold.set()

    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert "Fatal" not in done.stderr and "panicked" not in done.stderr


def test_importing_the_client_imports_no_django() -> None:
    code = "import sys, tierkeep.learning.client, tierkeep.learning.cache_services; assert 'django' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=SECONDS, env={**os.environ, "PYTHONPATH": ""})


@pytest.mark.parametrize("node", [5, None, [5], object()])
def test_node_that_is_no_address_is_refused_with_what_is_accepted(node: Any) -> None:
    with pytest.raises(TypeError, match="node is an address http://host:port, or several"):
        Client(node)
