"""No process reads a value that is older than the bound: workers of two machines, psql as writer of the rows, and faults."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from coherence_history import Read, Violation, Written, violations
from coherence_servers import Proxy, Psql, Server, proxied

from tierkeep._core import SharedStore

KEYS = 20
#: Of a read in the history, about.
BYTES = 50
#: Seconds after which a change that nobody told of is seen.
BOUND = 0.4
#: The first machine is the writer's own: what it has invalidated is seen at once there.
BOUNDS = {1: 0.0, 2: BOUND}


class World:
    """Two machines, the rows, and everything that was read and written."""

    def __init__(self, directory: Path, proxy: Proxy, database: str, sabotage: str | None) -> None:
        self.directory = directory
        self.proxy = proxy
        self.writes: list[Written] = []
        self._sabotage = sabotage
        with psycopg.connect(database, autocommit=True) as rows:
            rows.execute("drop table if exists rows")
            rows.execute("create table rows (key int primary key, version int not null)")
            rows.execute("insert into rows select n, 0 from generate_series(0, %s) n", (KEYS,))
        self._psql = Psql(database)
        self._store = SharedStore(proxy.url, **self._options(1))
        self.machines = [self._machine(number, database) for number in (1, 2)]
        self.workers = [self._workers(machine) for machine in self.machines]

    def _options(self, machine: int) -> dict[str, Any]:
        options: dict[str, Any] = {
            "generations": str(self.directory / f"generations-{machine}"),
            "bound": BOUND,
            "socket_timeout": 5.0,
        }
        return options | ({"_sabotage": self._sabotage} if self._sabotage else {})

    def _machine(self, number: int, database: str) -> subprocess.Popen[str]:
        settings = {
            "machine": number,
            "location": self.proxy.url,
            "options": self._options(number),
            "database": database,
            "history": str(self.directory),
            "keys": KEYS,
            "workers": 2,
            "threads": 4,
        }
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("coherence_worker.py")), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def _workers(machine: subprocess.Popen[str]) -> list[int]:
        assert machine.stdout is not None
        return [int(machine.stdout.readline()) for _ in range(2)]

    def write(self, seconds: float) -> None:
        """Changes rows and invalidates them, for so long."""
        chance = random.Random(7)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            key = chance.randrange(KEYS)
            version = self._psql.one(f"update rows set version = version + 1 where key = {key} returning version")
            while True:
                try:
                    self._store.delete(f"row:{key}")
                    break
                except (ConnectionError, RuntimeError):
                    # Not invalidated: tried until it is.
                    if time.monotonic() > deadline + 30:
                        raise
            self.writes.append(Written(key, time.monotonic_ns(), int(version)))

    def reads(self) -> list[Read]:
        """Everything that was read so far; a line that its worker did not finish is left out."""
        reads = []
        for path in self.directory.iterdir():
            if path.name.startswith(("1-", "2-")):
                lines = path.read_text().split("\n")[:-1]
                reads.extend(Read(*json.loads(line)) for line in lines)
        return reads

    def until_read(self, count: int) -> None:
        """Awaits about as many more reads, of each machine."""
        paths = {number: f"{number}-*" for number in (1, 2)}

        def size(number: int) -> int:
            return sum(path.stat().st_size for path in self.directory.glob(paths[number]))

        wanted = {number: size(number) + count * BYTES for number in paths}
        deadline = time.monotonic() + 60
        while any(size(number) < wanted[number] for number in paths):
            assert time.monotonic() < deadline, "the workers stand still"
            time.sleep(0.01)

    def violations(self) -> list[Violation]:
        return violations(self.reads(), self.writes, BOUNDS)

    def check(self) -> None:
        """Fails with the worst of what was read too late."""
        found = sorted(self.violations(), key=lambda violation: -violation.late)
        if found:
            pytest.fail(f"{len(found)} reads were too old, the worst: {found[:5]}")

    def close(self) -> None:
        for machine in self.machines:
            assert machine.stdin is not None and machine.stdout is not None
            machine.stdin.close()
            machine.wait(30)
            machine.stdout.close()
        self._psql.close()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with Server("postgres") as server:
        yield server.url


@pytest.fixture
def world(tmp_path: Path, database: str) -> Iterator[Callable[[str | None], World]]:
    worlds: list[World] = []
    with proxied(tmp_path) as proxy:

        def make(sabotage: str | None = None) -> World:
            worlds.append(World(tmp_path, proxy, database, sabotage))
            return worlds[-1]

        yield make
        for one in worlds:
            one.close()


def test_nothing_older_than_the_bound_is_read_through_crashes_and_cuts(world: Callable[[], World]) -> None:
    run = world()
    run.until_read(2000)
    run.write(1.0)
    os.kill(run.workers[0][0], signal.SIGKILL)
    run.write(0.5)
    run.proxy.crash()
    run.until_read(2000)
    run.proxy.start()
    run.write(1.0)
    run.proxy.holds_changes.set()
    run.write(1.0)
    run.proxy.holds_changes.clear()
    run.write(0.5)
    os.kill(run.workers[1][0], signal.SIGKILL)
    run.write(0.5)
    run.until_read(2000)

    reads = run.reads()
    run.check()
    by_source = {source: sum(read.source == source for read in reads) for source in ("cache", "row", "row without cache")}
    assert all(by_source.values()), by_source
    assert by_source["cache"] > len(reads) / 2, by_source
    assert len(run.writes) > 200


def test_without_generations_the_writers_machine_reads_what_was_invalidated(world: Callable[[str], World]) -> None:
    run = world("generations")
    run.proxy.delay = 0.05
    run.until_read(2000)
    run.write(1.0)
    run.until_read(1000)

    assert any(violation.read.machine == 1 for violation in run.violations())


def test_without_tracking_the_other_machine_reads_what_was_invalidated(world: Callable[[str], World]) -> None:
    run = world("tracking")
    run.until_read(2000)
    run.write(1.5)
    run.until_read(1000)

    assert any(violation.read.machine == 2 for violation in run.violations())


def test_without_pings_a_cut_goes_unnoticed(world: Callable[[str], World]) -> None:
    run = world("ping")
    run.until_read(2000)
    run.proxy.holds_changes.set()
    run.write(1.5)
    run.until_read(1000)

    assert any(violation.read.machine == 2 for violation in run.violations())


def test_with_pings_a_cut_is_noticed(world: Callable[[], World]) -> None:
    run = world()
    run.until_read(2000)
    run.proxy.holds_changes.set()
    run.write(1.5)
    run.until_read(1000)

    run.check()


def test_the_checker_finds_what_is_too_old_and_nothing_else() -> None:
    second = 1_000_000_000
    writes = [Written(1, 10 * second, 1), Written(1, 20 * second, 2), Written(2, 5 * second, 1)]

    def read(machine: int, begin: float, version: int) -> Read:
        return Read(machine, 1, int(begin * second), int(begin * second) + 1, version, "cache")

    fine = [read(1, 9.9, 0), read(1, 10.1, 1), read(2, 10.3, 0), read(2, 20.3, 1), read(1, 15, 2)]
    bad = [read(1, 10.1, 0), read(2, 10.5, 0), read(1, 20.1, 1), read(2, 21, 0)]

    assert [violation.read for violation in violations(fine + bad, writes, BOUNDS)] == bad
    assert violations(bad[3:], writes, BOUNDS)[0].late == pytest.approx(11)
