"""The end of the interpreter while daemon threads are in the library: no crash, no hang, not a word on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FOLDER

sys.path.extend(str(Path(__file__).parents[1] / suite) for suite in ("coherence", "learning"))
from coherence_servers import Server
from learning_nodes import Scripted

TABLE = str(Path(FOLDER.name) / "ending-table")

#: Imports once, then forks a child for each round: its threads work, and it ends as every interpreter does.
ROUNDS = """
import asyncio, atexit, json, os, random, signal, sys, threading, time
from django.conf import settings
settings.configure(SECRET_KEY="s")
from tierkeep.django import Cache
from tierkeep.learning.client import Client

location, node, table, kinds, rounds, control = json.loads(sys.argv[1])

class Slow:
    "Gives the interpreter to others while it is pickled and unpickled."
    def __reduce__(self):
        time.sleep(0.001)
        return made, ()

def made():
    time.sleep(0.0005)
    return Slow()

def slowly(items):
    for item in items:
        time.sleep(0.0005)
        yield item

def slow_key(key, prefix, version):
    time.sleep(0.0005)
    return f"{prefix}:{version}:{key}"

class Number(int):
    def __add__(self, other):
        time.sleep(0.0005)
        return Number(int(self) + other)

def plain(cache, n):
    cache.set(f"k{n % 50}", {"a": [n]}, tags=["t"])
    cache.get(f"k{n % 50}")
    cache.get_or_set(f"c{n % 7}", lambda: time.sleep(0.0005) or n, 0.001)

def pickled(cache, n):
    cache.set(f"p{n % 50}", Slow())
    cache.get(f"p{n % 50}")

def keyed(cache, n):
    keyed_cache = Cache(location, {"KEY_FUNCTION": slow_key, "OPTIONS": {"GENERATIONS": table}})
    keyed_cache.set(f"k{n % 9}", n)
    keyed_cache.get(f"k{n % 9}")

def iterated(cache, n):
    cache.set_many({f"m{i}": n for i in range(3)}, tags=slowly(["t"]))
    cache.get_many(slowly(["m0", "m1"]))
    cache.delete_many(slowly(["m0", "m1"]))

def added(cache, n):
    cache.set("n", Number(1))
    cache.incr("n", 1)

def locked(cache, n):
    with cache.lock(f"l{n % 3}", timeout=5):
        pass

def looped(cache, n):
    async def one(i):
        while True:
            await cache.aset(f"a{i}", Slow())
            await cache.aget(f"a{i}")
            await cache.aget_or_set(f"g{i}", Slow, 0.001)
    async def all():
        await asyncio.gather(*(one(i) for i in range(5)))
    asyncio.run(all())

client = Client(node, bound=0.0)

def asked(cache, n):
    try:
        client.daily("00000000-0000-4000-8000-00000000000a")
    except Exception:
        pass

def forever(work, cache):
    n = 0
    while True:
        n += 1
        work(cache, n)

def child(seed):
    if control:
        # The control: nobody waits for those who are inside, and nobody is kept out.
        atexit._clear()
        # A crash is what is looked for, not a file of it.
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cache = Cache(location, {"OPTIONS": {"GENERATIONS": table}})
    for kind in kinds:
        for _ in range(2):
            threading.Thread(target=forever, args=(globals()[kind], cache), daemon=True).start()
    time.sleep(random.Random(seed).uniform(0.005, 0.06))
    # More than the end may take; whoever hangs is ended by it.
    signal.alarm(20)

ends = {}
for seed in range(rounds):
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        child(seed)
        break
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    ends[code] = ends.get(code, 0) + 1
else:
    print(json.dumps(ends))
"""

KINDS = ["plain", "pickled", "keyed", "iterated", "added", "asked"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server("redis") as server:
        yield server.url


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    def answer(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Type", "application/json")  # type: ignore[attr-defined]
        handler.send_header("Content-Length", "2")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        handler.wfile.write(b"{}")  # type: ignore[attr-defined]

    server = Scripted(answer)
    yield server.url
    server.close()


def ends(location: str, node: str, kinds: list[str], rounds: int, control: bool = False) -> tuple[dict[int, int], str]:
    """How often the children ended with which code, and all that was said on stderr."""
    settings = json.dumps([location, node, TABLE, kinds, rounds, control])
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(ROUNDS), settings],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return {int(code): count for code, count in json.loads(done.stdout).items()}, done.stderr


def test_no_thread_in_a_store_of_this_process_is_ended_in_the_midst(node: str) -> None:
    assert ends("ending", node, KINDS, 100) == ({0: 100}, "")


def test_no_thread_that_asks_a_server_is_ended_in_the_midst(url: str, node: str) -> None:
    assert ends(url, node, [*KINDS, "locked", "looped"], 100) == ({0: 100}, "")


def test_without_the_gate_the_end_is_a_crash(node: str) -> None:
    """The control: CPython before 3.14 ends threads from within, later ones let them hang."""
    codes, _ = ends("ending", node, ["pickled", "keyed"], 20, control=True)

    assert set(codes) != {0} or sys.version_info >= (3, 14), codes
