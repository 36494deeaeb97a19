"""Private servers for these tests, and a proxy before Redis whose connections can be lost, held up and cut off."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import redis

ROOT = Path(__file__).resolve().parents[3]
TESTKIT = ROOT / "target" / "debug" / "tierkeep-testkit"


def free_ports(count: int) -> list[int]:
    """Ports of which each was free a moment ago."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports


class Server:
    """A server of the testkit; it ends with this process at the latest. Redis takes settings: names and values."""

    def __init__(self, kind: str, *settings: str) -> None:
        if not TESTKIT.exists():
            raise RuntimeError(f"{TESTKIT} is missing: run `cargo build -p tierkeep-testkit`")
        self._process = subprocess.Popen(
            [str(TESTKIT), kind, *settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline().strip() for _ in range(3)]
        if not all(lines):
            assert self._process.stderr is not None
            raise RuntimeError(f"{kind} did not start: {self._process.stderr.read()}")
        self.url, self.pid = lines[0], int(lines[1])

    @classmethod
    def redis_on_ports(cls, *names: str, settings: Sequence[str] = ()) -> tuple[Server, list[int]]:
        """A Redis with a port for each of these settings; somebody else may take one in between."""
        for _ in range(20):
            ports = free_ports(len(names))
            pairs = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
            try:
                return cls("redis", "bind", "127.0.0.1", *pairs, *settings), ports
            except RuntimeError as error:
                failed = error
        raise failed

    def kill(self) -> None:
        """Ends the server at once, as a crash does."""
        os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self.close()


class Psql:
    """The program of that name, in one session: a writer of rows that knows nothing of caches."""

    def __init__(self, url: str) -> None:
        # Beside the server, where packages put it, or on PATH.
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))
        program = found[-1] if found else shutil.which("psql")
        if program is None:
            raise RuntimeError("psql is missing: it comes with PostgreSQL's client, which scripts/setup installs")
        self._process = subprocess.Popen(
            [program, "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def one(self, statement: str) -> str:
        """The one value of the one row that it gives; committed by then."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(statement + ";\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"psql ended with {self._process.wait()}")
        return line.strip()

    def close(self) -> None:
        self._process.communicate(timeout=30)


class Proxy:
    """Stands before a Redis server at one address for good, whichever server is behind it.

    A connection that begins with HELLO is one that hears of changes. What the server says on those is delayed by
    `delay` seconds, or kept back while `holds_changes` is set.
    """

    def __init__(self, directory: Path) -> None:
        self.url = f"unix://{directory / 'redis.socket'}"
        self.delay = 0.0
        self.holds_changes = threading.Event()
        self._server: Server | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / "redis.socket"))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()
        self.start()

    def start(self) -> None:
        self._server = Server("redis")

    def crash(self) -> None:
        """Kills the server; everybody's connection breaks."""
        assert self._server is not None
        server, self._server = self._server, None
        server.kill()
        self._cut()

    def kill_watches(self) -> int:
        """Has the server end all connections that hear of changes, and tells how many there were."""
        assert self._server is not None
        with redis.Redis(unix_socket_path=self._server.url.removeprefix("redis+unix://")) as admin:
            watches = [client["id"] for client in admin.client_list() if "t" in client["flags"]]
            return sum(int(admin.client_kill_filter(_id=watch)) for watch in watches)

    def close(self) -> None:
        self._listener.close()
        if self._server is not None:
            self._server.close()
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = self._server
            behind = socket.socket(socket.AF_UNIX)
            try:
                if server is None:
                    raise OSError
                behind.connect(server.url.removeprefix("redis+unix://"))
            except OSError:
                client.close()
                behind.close()
                continue
            with self._lock:
                self._pairs.append((client, behind))
            threading.Thread(target=self._serve, args=(client, behind), daemon=True).start()

    def _serve(self, client: socket.socket, behind: socket.socket) -> None:
        try:
            first = client.recv(65536)
            behind.sendall(first)
            hears = b"HELLO" in first[:32]
            back = threading.Thread(target=self._copy, args=(behind, client, hears), daemon=True)
            back.start()
            self._copy(client, behind, False)
            back.join()
        except OSError:
            pass
        finally:
            client.close()
            behind.close()

    def _copy(self, source: socket.socket, sink: socket.socket, hears: bool) -> None:
        try:
            while data := source.recv(65536):
                if hears and self.delay:
                    # What is being tested is that this makes nothing wrong.
                    time.sleep(self.delay)
                if hears and self.holds_changes.is_set():
                    continue
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@contextmanager
def proxied(directory: Path) -> Iterator[Proxy]:
    proxy = Proxy(directory)
    try:
        yield proxy
    finally:
        proxy.close()
