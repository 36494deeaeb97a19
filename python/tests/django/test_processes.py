"""What one process of the machine writes, no other one reads the old value of."""

from __future__ import annotations

import itertools
import mmap
import os
import stat
from pathlib import Path

import pytest
from conftest import FOLDER, OURS
from processes import Process

from tierkeep.django import Cache

NUMBERS = itertools.count()

#: Runs each line it is given with `cache`, and prints what it gives.
WORKER = """
cache = make(sys.argv[1], sys.argv[2])
for line in sys.stdin:
    print(repr(eval(line)), flush=True)
"""

TABLE = str(OURS["OPTIONS"]["GENERATIONS"])  # type: ignore[index]


def name() -> str:
    return f"processes {next(NUMBERS)}"


@pytest.mark.parametrize(
    "write",
    [
        "cache.set('k', 2)",
        "cache.delete('k')",
        "cache.delete_many(['k'])",
        "cache.clear()",
        "cache.delete_pattern('k*')",
        "cache.invalidate_tag('t')",
        "cache.set('k', 5) and cache.incr('k')",
        "cache.set('k', 5) and cache.touch('k', 60)",
        "cache.set('k', 5) and cache.incr_version('k')",
        "cache.set('k', 5, version=2) and cache.decr_version('k', version=2)",
    ],
)
def test_a_write_is_seen_by_the_next_read_of_another_process(write: str) -> None:
    location = name()
    with Process(WORKER, location, TABLE) as one, Process(WORKER, location, TABLE) as other:
        assert one.ask("cache.set('k', 1, tags=['t'])") == "True"
        assert one.ask("cache.set('mine', 1)") == "True"
        assert one.ask("cache.get('k')") == "1"

        other.ask(write)

        assert one.ask("cache.get('k')") == "None"
        kept = "None" if "clear" in write or "pattern" in write else "1"
        assert one.ask("cache.get('mine')") == kept


def test_fills_of_several_processes_leave_each_other_alone() -> None:
    location = name()
    with Process(WORKER, location, TABLE) as one, Process(WORKER, location, TABLE) as other:
        for process in (one, other, one, other):
            assert process.ask("cache.get_or_set('k', lambda: os.getpid())") == str(process.process.pid)
        assert one.ask("cache.get('k')") == str(one.process.pid)


def test_locations_of_other_names_do_not_hear_of_it() -> None:
    with Process(WORKER, name(), TABLE) as one, Process(WORKER, name(), TABLE) as other:
        one.ask("cache.set('k', 1)")
        other.ask("cache.clear()")
        other.ask("cache.delete('k')")
        assert one.ask("cache.get('k')") == "1"


#: Shared counters of a writer: what it says was invalidated (word 0) and what it has written last (word 1).
WRITER = """
import mmap, struct
cache = make(sys.argv[1], sys.argv[2])
words = mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 16)
for number in range(1, 100_001):
    words[8:16] = struct.pack("q", number)
    (cache.delete if number % 2 else lambda key: cache.invalidate_tag("t"))("k")
    words[0:8] = struct.pack("q", number)
print("done", flush=True)
"""

#: Reads until the writer is done: a value has to be at least what was invalidated before the read began.
READER = """
import mmap, struct
cache = make(sys.argv[1], sys.argv[2])
words = mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 16)
word = lambda at: struct.unpack("q", words[at : at + 8])[0]
stale = reads = 0
print("ready", flush=True)
while True:
    invalidated = word(0)
    value = cache.get_or_set("k", lambda: word(8), tags=["t"])
    stale += value < invalidated
    reads += 1
    if invalidated == 100_000:
        break
print(stale, reads, cache.stats()["hits"], flush=True)
"""


def race(table_of_reader: str) -> list[int]:
    """Stale reads, reads and hits of a reader while a writer makes 10^5 invalidations."""
    location = name()
    words = Path(FOLDER.name) / location.replace(" ", "-")
    words.write_bytes(bytes(16))
    with Process(READER, location, table_of_reader, str(words)) as reader:
        assert reader.line() == "ready"
        with Process(WRITER, location, TABLE, str(words)) as writer:
            assert writer.line() == "done"
        return [int(number) for number in reader.line().split()]


def test_no_read_is_older_than_an_invalidation_that_had_returned() -> None:
    stale, reads, hits = race(TABLE)

    assert stale == 0
    assert reads > 100 and hits > 0


def test_without_the_shared_table_it_is() -> None:
    """The control of the test before: a reader with a table of its own reads old values for ever."""
    stale, _, _ = race(str(Path(FOLDER.name) / "another table"))

    assert stale > 0


def test_a_damaged_table_is_refused_with_a_warning_and_the_cache_works(recwarn: pytest.WarningsRecorder) -> None:
    path = Path(FOLDER.name) / "damaged"
    path.write_bytes(b"not a table")
    path.chmod(0o600)

    with pytest.warns(RuntimeWarning, match="not a table of generations"):
        cache = Cache(name(), {"OPTIONS": {"GENERATIONS": str(path)}})

    cache.set("k", 1)
    assert cache.get("k") == 1
    assert path.read_bytes() == b"not a table"


def test_the_table_is_its_owners_alone() -> None:
    Cache(name(), dict(OURS)).set("k", 1)

    assert stat.S_IMODE(os.stat(TABLE).st_mode) == 0o600


def test_garbage_in_the_counters_costs_misses_and_nothing_else() -> None:
    path = Path(FOLDER.name) / "overwritten"
    cache = Cache(name(), {"OPTIONS": {"GENERATIONS": str(path)}})
    cache.set("k", 1)

    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as words:
        words[64:] = b"\xa5" * (len(words) - 64)

    assert cache.get("k") is None
    cache.set("k", 2)
    assert cache.get("k") == 2


def test_the_default_table_is_in_shared_memory_and_off_under_test() -> None:
    script = """
    from tierkeep._core import shared_table_path
    from tierkeep.django.options import Options
    from django.test.utils import setup_test_environment, teardown_test_environment
    before = Options.of("", {}).generations
    setup_test_environment()
    during = Options.of("", {}).generations
    named = Options.of("", {"OPTIONS": {"GENERATIONS": "/a"}}).generations
    teardown_test_environment()
    print(before == str(shared_table_path()), during, named, flush=True)
    """
    with Process(script) as process:
        assert process.line() == "True None /a"
