"""A machine with web workers: forks them after the cache was used, starts another for each that dies, ends with stdin.

Run as a program with one argument, its settings as JSON. Each worker writes its reads to a file of its own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any

import psycopg

from tierkeep._core import SharedStore


def read(store: SharedStore, database: psycopg.Connection[Any], key: int) -> tuple[int, str]:
    """What a view does: the cache, else the row, which is then cached."""
    try:
        found, value = store.look(f"row:{key}")
    except (ConnectionError, RuntimeError):
        return row(database, key), "row without cache"
    if found:
        return int(value), "cache"
    version = row(database, key)
    try:
        store.fill(f"row:{key}", version, value, 60.0)
    except (ConnectionError, RuntimeError):
        pass
    return version, "row"


def row(database: psycopg.Connection[Any], key: int) -> int:
    found = database.execute("select version from rows where key = %s", (key,)).fetchone()
    assert found is not None
    return int(found[0])


def thread(settings: dict[str, Any], store: SharedStore, out: Any, lock: threading.Lock) -> None:
    chance = random.Random()
    with psycopg.connect(settings["database"], autocommit=True) as database:
        while True:
            lines = []
            for _ in range(200):
                key = chance.randrange(settings["keys"])
                begin = time.monotonic_ns()
                version, source = read(store, database, key)
                end = time.monotonic_ns()
                lines.append(json.dumps([settings["machine"], key, begin, end, version, source]))
            with lock:
                os.write(out, ("\n".join(lines) + "\n").encode())
            # Leaves the processor to the others.
            time.sleep(0.02)


def work(settings: dict[str, Any], store: SharedStore) -> None:
    path = f"{settings['history']}/{settings['machine']}-{os.getpid()}"
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    lock = threading.Lock()
    threads = [threading.Thread(target=thread, args=(settings, store, out, lock)) for _ in range(settings["threads"])]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def main() -> None:
    settings = json.loads(sys.argv[1])
    store = SharedStore(settings["location"], **settings["options"])
    # Preloaded: what the children inherit has been used.
    store.get("preloaded")
    workers: set[int] = set()
    over = threading.Event()
    starting = threading.Lock()

    def wait() -> None:
        sys.stdin.read()
        with starting:
            over.set()
            for worker in workers:
                os.kill(worker, signal.SIGKILL)

    def start() -> None:
        sys.stdout.flush()
        worker = os.fork()
        if worker == 0:
            try:
                work(settings, store)
            finally:
                os._exit(1)
        workers.add(worker)
        sys.stdout.write(f"{worker}\n")
        sys.stdout.flush()

    for _ in range(settings["workers"]):
        start()
    threading.Thread(target=wait, daemon=True).start()
    while workers:
        worker, _ = os.wait()
        with starting:
            workers.discard(worker)
            if not over.is_set():
                start()


if __name__ == "__main__":
    main()
