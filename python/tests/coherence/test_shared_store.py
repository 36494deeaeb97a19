"""`_core.SharedStore`: values in Redis, copies in the process."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from coherence_servers import Proxy, Server, proxied

from tierkeep._core import SharedStore

#: What an answer may come late by: machines are busy.
MARGIN = 20.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server("redis") as server:
        yield server.url


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with proxied(tmp_path) as one:
        yield one


class Spaces:
    """Each a namespace nobody else has, in one server."""

    def __init__(self, url: str, directory: Path, name: str) -> None:
        self.url, self.directory, self.name = url, directory, name

    def store(self, **options: Any) -> SharedStore:
        """Another process of the first machine, as far as anybody can tell; `machine` names another machine."""
        machine = options.pop("machine", 1)
        options.setdefault("generations", str(self.directory / f"generations-{machine}"))
        # Not equal to any other, or it would be the same store.
        options.setdefault("lease", 60.0 + next(COUNTER) / 1000)
        return SharedStore(self.url, **{"namespace": self.name, "secrets": [b"secret"], "socket_timeout": MARGIN, **options})


COUNTER = iter(range(10**9))


@pytest.fixture
def spaces(url: str, tmp_path: Path) -> Spaces:
    return Spaces(url, tmp_path, f"n{next(COUNTER)}")


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MARGIN
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def trusted(store: SharedStore) -> SharedStore:
    store.get("first")
    eventually(lambda: store.is_trusted)
    return store


def hits(store: SharedStore) -> int:
    return store.stats()["hits"]


SHARED: list[int] = [1]
CYCLE: list[Any] = []
CYCLE.append(CYCLE)

VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63 - 1, 2**63, -(2**200), 10**5000, 1.5, -0.0, float("inf"), "", "text", "\ud800", "日本",
    b"", b"\xff", [], [1, [2, {"a": (3, {4})}]], {}, {1: "a", "b": None, (1, 2): [True]}, set(), {1, "x"}, (), ((),),
    Decimal("1.50"), UUID(int=7), datetime(2026, 1, 2, 3, tzinfo=timezone.utc), [SHARED, SHARED], frozenset({1}),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20] if value != 10**5000 else "long")
@pytest.mark.parametrize("compressor", ["identity", "zlib", "gzip", "lz4", "zstd", "lzma"])
def test_a_value_comes_back_equal_in_value_and_type(spaces: Spaces, value: Any, compressor: str) -> None:
    writer = spaces.store(compressor=compressor, compressed_from=0)
    # How it was compressed stands beside the value.
    reader = spaces.store(machine=2)

    writer.set("k", value)

    for _ in range(2):
        found, read = reader.look("k")
        assert found and read == value and type(read) is type(value)
        assert not isinstance(value, float) or repr(read) == repr(value)


def test_what_is_one_object_stays_one_and_a_cycle_a_cycle(spaces: Spaces) -> None:
    store = spaces.store()
    store.set("shared", [SHARED, SHARED])
    store.set("cycle", CYCLE)

    read, cycle = store.get("shared"), store.get("cycle")

    assert read[0] is read[1]
    assert cycle[0] is cycle


def test_a_reader_gets_a_copy(spaces: Spaces) -> None:
    store = trusted(spaces.store())
    store.set("k", {"a": [1]})
    for _ in range(3):
        read = store.get("k")
        assert read == {"a": [1]}
        read["a"].append(2)


def test_copies_are_made_and_end_with_every_change_of_others(spaces: Spaces) -> None:
    reader = trusted(spaces.store())
    neighbour, stranger = spaces.store(), spaces.store(machine=2)

    def is_copied(wanted: Any) -> bool:
        before = hits(reader)
        return reader.get("k") == wanted and hits(reader) > before

    for writer, is_at_once in [(neighbour, True), (stranger, False)]:
        changes: list[tuple[Callable[[], Any], Any]] = [
            (lambda: writer.set("k", 1), 1),
            (lambda: writer.incr("k", 2), 3),
            (lambda: writer.incr("k", 0.5), 3.5),
            (lambda: writer.delete("k"), None),
            (lambda: writer.add("k", "added", tags=["t"]), "added"),
            (lambda: writer.invalidate_tags(["t"]), None),
            (lambda: writer.set("k", "again"), "again"),
            (lambda: writer.delete_matching("k*"), None),
            (lambda: writer.set("k", "last"), "last"),
            (lambda: writer.clear(), None),
        ]
        for change, wanted in changes:
            change()
            if is_at_once:
                assert reader.get("k") == wanted
            eventually(lambda: reader.get("k") == wanted)
            if wanted is not None:
                eventually(lambda: is_copied(wanted))


def test_many_are_one_request_and_are_copied(spaces: Spaces) -> None:
    reader = trusted(spaces.store())
    for number in range(30):
        spaces.store().set(f"k{number}", [number])
    wanted = {f"k{number}": [number] for number in range(30)}

    assert reader.get_many([*wanted, "none"]) == wanted
    eventually(lambda: (before := hits(reader)) >= 0 and reader.get_many(wanted) == wanted and hits(reader) == before + 30)


def test_what_was_computed_before_a_change_is_not_stored(spaces: Spaces) -> None:
    one, other = spaces.store(), spaces.store(machine=2)
    found, lease = one.look("k")
    assert not found
    other.delete("k")

    assert not one.fill("k", "old", lease)
    assert one.get("k") is None
    found, lease = one.look("k")
    assert one.fill("k", "new", lease) and other.get("k") == "new"


def test_adding(spaces: Spaces) -> None:
    store = spaces.store()
    store.set("k", 5, 100.0)
    assert store.incr("k", -7) == -2
    assert store.incr("k", 2**70) == 2**70 - 2
    assert store.incr("k", 0.5) == float(2**70)
    assert type(store.get("k")) is float
    assert 0 < (store.remaining("k") or 0) <= 100
    with pytest.raises(KeyError):
        store.incr("none", 1)
    store.set("k", "text")
    with pytest.raises(TypeError):
        store.incr("k", 1)
    assert store.get("k") == "text"


class Bomb:
    went_off = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return Bomb.go_off, ()

    @staticmethod
    def go_off() -> None:
        Bomb.went_off = True


def test_a_foreign_pickle_is_a_logged_miss_and_is_never_read(
    spaces: Spaces, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = spaces.store(secrets=[b"another"])
    without = spaces.store(secrets=[])
    store = spaces.store()
    with caplog.at_level(logging.WARNING, logger="tierkeep.cache"):
        for writer in (stranger, without):
            writer.set("k", Bomb())
            Bomb.went_off = False
            assert store.get("k", "default") == "default"
            assert not Bomb.went_off
    assert len(caplog.records) == 2
    # Whoever has the secret is believed: this is what the signature keeps out.
    store.set("k", Bomb())
    store.get("k")
    assert Bomb.went_off
    assert pickle.loads(pickle.dumps(1)) == 1


def test_secrets_can_be_exchanged(spaces: Spaces) -> None:
    spaces.store(secrets=[b"old"]).set("k", "v")

    assert spaces.store(secrets=[b"new", b"old"]).get("k") == "v"
    assert spaces.store(secrets=[b"new"]).get("k") is None


def test_settings_that_cannot_work_are_refused(url: str) -> None:
    for location, options in [
        ("memcached://h", {}),
        ([], {}),
        (url, {"compressor": "brotli"}),
        (url, {"serializer": "yaml"}),
        (url, {"stale_if_error": -1}),
        (url, {"bound": 0}),
        (url, {"max_connections": 0}),
        (url, {"namespace": "a b"}),
    ]:
        with pytest.raises(ValueError, match="accepted|more than 0|at least one|no address"):
            SharedStore(location, **options)
    with pytest.raises(TypeError, match="accepted: username"):
        SharedStore(url, unknown=1)


def test_a_server_that_is_away_is_an_error_and_copies_do_not_count(proxy: Proxy, tmp_path: Path) -> None:
    store = Spaces(proxy.url, tmp_path, "n").store(bound=0.3)
    trusted(store).set("k", "v")
    eventually(lambda: store.get("k") == "v" and hits(store) > 0)

    proxy.crash()
    eventually(lambda: not store.is_trusted)
    with pytest.raises(ConnectionError):
        store.get("k")
    proxy.start()

    eventually(lambda: store.is_trusted)
    assert store.get("k") is None


def test_locks(spaces: Spaces) -> None:
    one, other = spaces.store(), spaces.store(machine=2)
    token = one.lock("k", 100.0)
    assert token is not None and other.lock("k", 100.0) is None
    assert one.extend_lock("k", token, 200.0)
    assert not other.unlock("k", b"0" * 16)
    assert one.unlock("k", token) and not one.unlock("k", token)
    assert other.lock("k") is not None


def test_children_go_on_with_connections_of_their_own(spaces: Spaces) -> None:
    store = trusted(spaces.store(bound=0.3))
    store.set("k", "v")
    eventually(lambda: store.get("k") == "v" and hits(store) > 0)
    over = threading.Event()

    def busy() -> None:
        number = 0
        while not over.is_set():
            number += 1
            store.set(f"busy{number % 7}", number)
            store.get(f"busy{number % 5}")

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                try:
                    fine = store.get("k") == "v"
                    store.set("child", os.getpid())
                    fine = fine and store.get("child") == os.getpid()
                    deadline = time.monotonic() + MARGIN
                    while not store.is_trusted and time.monotonic() < deadline:
                        store.get("none")
                    os._exit(0 if fine and store.is_trusted else 1)
                finally:
                    os._exit(2)
            deadline = time.monotonic() + MARGIN
            while True:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    break
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    pytest.fail("a child hangs")
                time.sleep(0.001)
            assert os.waitstatus_to_exitcode(status) == 0
            assert store.get("child") == child
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_store_takes_memory_for_what_it_hears_of_and_not_for_what_it_might(tmp_path: Path) -> None:
    script = f"""
from tierkeep._core import SharedStore

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

def opened(number):
    return SharedStore(f"redis://127.0.0.1:1/{{number}}", generations={str(tmp_path / "generations")!r})

first = opened(0)
before = resident()
stores = [opened(number) for number in range(1, 9)]
print((resident() - before) // 8)
"""
    kibibytes = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    # Each could tell a million keys apart, by 8 MiB of counters.
    assert kibibytes < 1024
