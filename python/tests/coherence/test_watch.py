"""How old a copy can get when the connection that hears of changes is killed, held up or cut, at any moment.

Two machines in one process: one writes, the other reads what it has copied. Every key is written once, so that nothing
hides what was missed.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from coherence_servers import Proxy, proxied

from tierkeep._core import SharedStore

#: Seconds after which a change that nobody told of is seen.
BOUND = 0.3
#: Of a round.
KEYS = 40
ROUNDS = 20


class Machines:
    def __init__(self, proxy: Proxy, directory: Path, sabotage: str | None) -> None:
        self.proxy = proxy
        self._chance = random.Random(5)
        self._rounds = count()

        def store(name: str, **options: object) -> SharedStore:
            return SharedStore(proxy.url, generations=str(directory / name), socket_timeout=20.0, **options)

        self._writer = store("writer")
        self._reader = store("reader", bound=BOUND, **({"_sabotage": sabotage} if sabotage else {}))

    def late(self, fault: Callable[[], object]) -> float:
        """A round: keys are copied, then written while a fault happens. By how many seconds the oldest value that was
        read was younger than its successor: 0 is none."""
        number = next(self._rounds)
        keys = [f"{number} {key}" for key in range(KEYS)]
        for key in keys:
            self._writer.set(key, 0)
        self._copy(keys)
        written: dict[str, float] = {}
        fault_at = self._chance.randrange(KEYS)
        faults = threading.Thread(target=fault)

        def write() -> None:
            for index, key in enumerate(keys):
                if index == fault_at:
                    faults.start()
                self._writer.set(key, 1)
                written[key] = time.monotonic()
                time.sleep(self._chance.uniform(0, 0.006))

        writing = threading.Thread(target=write)
        writing.start()
        oldest, is_over = 0.0, False
        while not is_over:
            # Once more after the last moment at which anything may be old.
            is_over = not writing.is_alive() and time.monotonic() > max(written.values()) + BOUND
            for key in keys:
                told = written.get(key)
                begin = time.monotonic()
                if told is not None and self._reader.get(key) == 0:
                    oldest = max(oldest, begin - told)
        faults.join()
        return oldest

    def _copy(self, keys: list[str]) -> None:
        """Reads until all are copied."""
        deadline = time.monotonic() + 30
        while True:
            before = self._reader.stats()["hits"]
            if self._reader.get_many(keys) == dict.fromkeys(keys, 0) and self._reader.stats()["hits"] == before + KEYS:
                return
            assert time.monotonic() < deadline, "nothing is copied"

    def cut(self) -> None:
        """From now on nothing is heard for longer than the bound."""
        self.proxy.holds_changes.set()
        time.sleep(BOUND * 2)
        self.proxy.holds_changes.clear()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Callable[..., Machines]]:
    with proxied(tmp_path) as proxy:
        yield lambda sabotage=None: Machines(proxy, tmp_path, sabotage)


def test_killed_watches_leave_nothing_older_than_the_bound(machines: Callable[..., Machines]) -> None:
    run = machines()
    killed: list[int] = []

    late = max(run.late(lambda: killed.append(run.proxy.kill_watches())) for _ in range(ROUNDS))

    assert late <= BOUND
    assert sum(killed) > ROUNDS, "writer and reader each have one"


def test_a_gap_that_is_not_taken_for_one_leaves_old_values(machines: Callable[..., Machines]) -> None:
    run = machines("gap")

    assert any(run.late(run.proxy.kill_watches) > BOUND for _ in range(ROUNDS * 4))


def test_a_slow_line_that_is_cut_leaves_nothing_older_than_the_bound(machines: Callable[..., Machines]) -> None:
    run = machines()
    run.proxy.delay = BOUND / 4

    assert max(run.late(run.cut) for _ in range(ROUNDS // 4)) <= BOUND


def test_counted_from_the_answer_a_slow_line_leaves_older_values(machines: Callable[..., Machines]) -> None:
    run = machines("answer")
    run.proxy.delay = BOUND / 4

    assert any(run.late(run.cut) > BOUND for _ in range(ROUNDS * 2))
