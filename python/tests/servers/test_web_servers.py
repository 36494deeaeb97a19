"""gunicorn and uvicorn as they are: workers agree after a write, survive forks and kills, and end when asked to."""

from __future__ import annotations

import os
import random
import signal
import threading
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from server_processes import SECONDS, WebServer, gunicorn, uvicorn, wait_for

SERVERS = {
    "gunicorn sync": (gunicorn("--preload"), ""),
    "gunicorn gthread": (gunicorn("--preload", "--worker-class", "gthread", "--threads", "4"), ""),
    "uvicorn": (uvicorn(), "a"),
}


@pytest.fixture(params=["alone", "with Redis"])
def location(request: pytest.FixtureRequest) -> str:
    """Where values are: in each process, or in Redis."""
    return "shop" if request.param == "alone" else str(request.getfixturevalue("redis"))


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, location: str, tmp_path: Path) -> Iterator[tuple[WebServer, str]]:
    """A server of two workers, and what its views' names begin with."""
    arguments, kind = SERVERS[request.param]
    with WebServer(arguments, tmp_path, location) as running:
        running.workers(2)
        yield running, kind


def stale(running: WebServer, kind: str, versions: int) -> tuple[int, set[int], int]:
    """Reads older than the write before them, the processes that read, and their hits."""
    old, hits = 0, dict[int, int]()
    with ThreadPoolExecutor(4) as readers:
        for version in range(1, versions + 1):
            running.get(f"/{kind}write?price={version}")
            for read in readers.map(lambda _: running.get(f"/{kind}read"), range(6)):
                old += read["price"] != version
                hits[read["pid"]] = max(hits.get(read["pid"], 0), read["hits"])
    return old, set(hits), sum(hits.values())


def test_no_worker_reads_what_another_has_replaced(server: tuple[WebServer, str]) -> None:
    old, workers, hits = stale(*server, 60)

    assert old == 0
    assert len(workers) == 2 and hits > 60


def test_without_the_shared_table_workers_do(tmp_path: Path) -> None:
    """The control: a table for each process."""
    with WebServer(gunicorn(), tmp_path, "shop", SHOP_SABOTAGE="yes") as running:
        running.workers(2)
        old, _, _ = stale(running, "", 60)

    assert old > 0


def test_workers_that_are_killed_while_they_write_leave_nothing_torn(
    server: tuple[WebServer, str], location: str
) -> None:
    running, _ = server
    chance = random.Random(3)
    found = 0
    for _ in range(4):
        before = running.workers(2)
        # Whoever gets it answers no more until it is killed: the process that is busy is the one that is silent.
        threading.Thread(target=_unanswered, args=(running, "/hammer"), daemon=True).start()
        victim = _busy(before)
        killed = threading.Timer(chance.uniform(0, 0.1), os.kill, (victim, signal.SIGKILL))
        killed.start()
        killed.join()
        wait_for(lambda victim=victim: not _lives(victim), "the end of the killed")
        after = running.workers(2)
        assert victim not in after
        for _ in range(10):
            read = running.get("/whole")
            assert read["whole"] and read["works"]
            found += read["found"]

    # In Redis what the killed has written stays; without, it was the killed one's own.
    assert (found > 0) == ("://" in location)


def _unanswered(running: WebServer, path: str) -> None:
    try:
        running.get(path)
    except (OSError, urllib.error.URLError):
        pass


def _processor(pid: int) -> int:
    """Ticks of the processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _busy(pids: set[int]) -> int:
    """The first of these that works for a tenth of a second."""
    begin = {pid: _processor(pid) for pid in pids}
    busy: list[int] = []

    def is_found() -> bool:
        busy[:] = [pid for pid in pids if _processor(pid) > begin[pid] + 10]
        return bool(busy)

    wait_for(is_found, "a worker that writes")
    return busy[0]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_request_is_answered_while_the_server_ends_in_order(server: tuple[WebServer, str]) -> None:
    running, kind = server
    with ThreadPoolExecutor(1) as asking:
        answered = asking.submit(running.get, f"/{kind}slow?seconds=1")
        wait_for((running.folder / "slow").exists, "a request under way")

        code, seconds = running.stop()

        assert answered.result()["pid"] > 0
    assert code in (0, -signal.SIGTERM)
    assert seconds < 10, running.said
    assert "Traceback" not in running.said and "FATAL" not in running.said


def test_workers_are_forked_from_a_parent_whose_threads_are_in_the_cache(location: str, tmp_path: Path) -> None:
    """Each is killed, so that another is forked, at any moment of the parent's threads."""
    seen: set[int] = set()
    with WebServer(gunicorn("--preload"), tmp_path, location, SHOP_BUSY="yes") as running:
        for _ in range(8):
            workers = running.workers(2)
            seen |= workers
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            for worker in workers:
                wait_for(lambda worker=worker: not _lives(worker), "the end of the killed")
        for _ in range(20):
            read: dict[str, Any] = running.get("/whole", SECONDS)
            assert read["works"] and read["pid"] not in seen
        code, seconds = running.stop()

    assert code == 0 and seconds < 10, running.said
    assert len(seen) == 16
