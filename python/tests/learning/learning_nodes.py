"""Nodes, databases and servers for these tests: real ones, private, on ports that the system chooses."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 30.0
"""Longest wait for anything that has to happen."""

ANNA = "00000000-0000-4000-8000-00000000000a"
"""In Shanghai, with sessions."""
BORIS = "00000000-0000-4000-8000-00000000000b"
"""In the default zone, with sessions without a rating."""
CARLA = "00000000-0000-4000-8000-00000000000c"
"""Without a session."""
NOBODY = "00000000-0000-4000-8000-0000000000ff"
"""Unknown."""
MONDAY = datetime.date(2026, 1, 5)


def wait_for(what: Callable[[], bool], why: str, seconds: float = SECONDS) -> None:
    """Looks until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s: {why}"
        time.sleep(0.01)


def _program(name: str, variable: str) -> str:
    candidates = [os.environ.get(variable), shutil.which(name, path=sysconfig.get_path("scripts"))]
    candidates.append(str(ROOT / "target" / "debug" / name))
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    pytest.fail(f"there is no program {name}: `cargo build -p {name}`, or name it in {variable}")


@pytest.fixture(scope="session")
def binary() -> str:
    """The program tierkeep."""
    return _program("tierkeep", "TIERKEEP_BIN")


@dataclass
class Node:
    """A node on a database; can be killed and started again on the same port."""

    binary: str
    folder: Path
    database: str
    config: str = ""
    redis: str | None = None
    listen: str = "127.0.0.1:0"
    process: subprocess.Popen[str] | None = None
    url: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        environment = {**os.environ, "TIERKEEP_DATABASE_URL": self.database, "TIERKEEP_LOG": "warn"}
        environment["TIERKEEP_CONFIG"] = str(self.folder / "tierkeep.toml")
        if self.redis:
            environment["TIERKEEP_REDIS_URL"] = self.redis
        return environment

    def run(self, *arguments: str) -> str:
        """A command of the program on the same database."""
        (self.folder / "tierkeep.toml").write_text(self.config)
        done = subprocess.run(
            [self.binary, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> Node:
        """Returns once it listens."""
        (self.folder / "tierkeep.toml").write_text(self.config)
        self.process = subprocess.Popen(
            [self.binary, "serve", "--listen", self.listen],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if "listening on http://" in line:
                self.url = "http://" + line.split("listening on http://")[1].split(",")[0].split()[0]
                self.listen = self.url.removeprefix("http://")
                break
        else:
            pytest.fail("the node did not start: " + "".join(self.lines))
        threading.Thread(target=self._hear, args=(self.process,), daemon=True).start()
        return self

    def _hear(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.lines.extend(process.stdout)

    def kill(self) -> None:
        """At once, as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=SECONDS)

    def pause(self) -> None:
        """It hangs, and its sockets stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)  # every thread of it stands still

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=SECONDS)


def fill(node: Node) -> None:
    """Three learners, as many courses, and sessions of the week of MONDAY and of today."""
    users = ["id,email,username,is_active,last_login,created_at,time_zone"]
    for user, name, zone in ((ANNA, "anna", "Asia/Shanghai"), (BORIS, "boris", ""), (CARLA, "carla", "")):
        users.append(f"{user},{name}@example.org,{name},true,,2025-01-01T00:00:00Z,{zone}")
    courses = [
        "id,user_id,content_id,subject_name,proficiency_level,learning_hour_week,learning_hour_total,"
        "est_finish_hour,difficulty,created_at,updated_at"
    ]
    for number, (subject, total, finish) in enumerate((("maths", 10, 10), ("art", 5, 20), ("maths", 3, ""))):
        identifier = f"10000000-0000-4000-8000-{number:012}"
        courses.append(
            f"{identifier},{ANNA},{identifier},{subject},40,2,{total},{finish},3,"
            "2026-01-01T00:00:00Z,2026-01-01T00:00:00Z"
        )
    sessions = [
        "id,user_id,start_time,end_time,duration_minutes,effectiveness_rating,focus_score,break_count,is_active,"
        "learning_environment,device_type,subject_category"
    ]

    def session(user: str, start: str, minutes: int, rating: str, focus: str) -> None:
        begun = datetime.datetime.fromisoformat(start)
        end = (begun + datetime.timedelta(minutes=minutes)).isoformat()
        identifier = f"20000000-0000-4000-8000-{len(sessions):012}"
        sessions.append(f"{identifier},{user},{start},{end},{minutes},{rating},{focus},1,false,home,laptop,maths")

    # 23:30Z on Sunday is 07:30 on Monday in Shanghai
    session(ANNA, "2026-01-04T23:30:00+00:00", 60, "4", "0.85")
    session(ANNA, "2026-01-06T10:00:00+00:00", 30, "5", "")
    session(ANNA, "2026-01-08T10:00:00+00:00", 20, "2", "0.50")
    session(BORIS, "2026-01-05T10:00:00+00:00", 45, "", "")
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    session(BORIS, today.isoformat(), 25, "", "")
    for name, lines in (("users", users), ("progress", courses), ("sessions", sessions)):
        (node.folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    node.run("import", "--users", "users.csv", "--progress", "progress.csv", "--sessions", "sessions.csv")


@contextlib.contextmanager
def scratch(server: str) -> Iterator[str]:
    """A PostgreSQL or Redis of our own; its address."""
    process = subprocess.Popen(
        [_program("tierkeep-testkit", "TIERKEEP_TESTKIT"), server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, f"{server} did not start"
        yield address
    finally:
        process.stdin.close()
        process.wait(timeout=SECONDS)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with scratch("postgres") as address:
        yield address


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    with scratch("redis") as address:
        yield address


@pytest.fixture
def new_node(binary: str, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Makes nodes on SQLite databases of their own; not started."""
    nodes: list[Node] = []

    def make(database: str | None = None, config: str = "", redis: str | None = None) -> Node:
        folder = tmp_path / f"node{len(nodes)}"
        folder.mkdir()
        node = Node(binary, folder, database or f"sqlite://{folder}/learning.db", config, redis)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.resume() if node.process is not None and node.process.poll() is None else None
        node.stop()


@pytest.fixture(scope="module")
def node(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A filled node on SQLite, for all tests of a module: they change nobody but CARLA."""
    folder = tmp_path_factory.mktemp("node")
    made = Node(binary, folder, f"sqlite://{folder}/learning.db")
    fill(made)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def configured(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """``tierkeep.learning`` asks that node."""
    from tierkeep.learning import configuration

    monkeypatch.setenv("TIERKEEP_NODE", node.url)
    configuration.reset()
    yield node
    configuration.reset()


class Scripted:
    """A server that answers what it is told to; it counts who asks."""

    def __init__(self, answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> None:
        outer = self
        self.asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                outer.asked.append(self.path)
                answer(self)

            do_GET = do_POST = handle_any

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    servers: list[Scripted] = []

    def make(status: int, body: str, kind: str = "application/json", hold: threading.Event | None = None) -> Scripted:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            if hold is not None:
                hold.wait(SECONDS)
            data = body.encode()
            with contextlib.suppress(OSError):
                handler.send_response(status)
                handler.send_header("Content-Type", kind)
                handler.send_header("Content-Length", str(len(data)))
                handler.end_headers()
                handler.wfile.write(data)

        servers.append(Scripted(answer))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
