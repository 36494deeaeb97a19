"""Redis as it is deployed: with TLS, users, sockets, sentinels that choose another primary, and as a cluster."""

from __future__ import annotations

import logging
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import FOLDER
from contract import BEHAVIOURS
from django.core.exceptions import ImproperlyConfigured
from faces import FACES, Face

from tierkeep.django import Cache

sys.path.append(str(Path(__file__).parents[1] / "coherence"))
from coherence_servers import Server, free_ports

#: The server bounds what it holds; MAX_ENTRIES bounds copies.
CHECKS = [check for check in BEHAVIOURS if check.__name__ != "an_entry_bound_is_kept"]
contract = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
quiet = pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")


def until(holds: Callable[[], object]) -> None:
    """Looks until it is so."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def backend(location: str | list[str], machine: int = 1, **options: Any) -> Any:
    table = str(Path(FOLDER.name) / f"deployments-{machine}")
    return Cache(location, {"OPTIONS": {"GENERATIONS": table, "SOCKET_TIMEOUT": 20, **options}})


def agree(location: str, **options: Any) -> None:
    """What one machine has copied ends when another writes."""
    reader, writer = backend(location, 1, **options), backend(location, 2, **options)
    writer.set("agreed", 0)

    def is_copied() -> bool:
        before = reader.stats()["hits"]
        return reader.get("agreed") is not None and reader.stats()["hits"] > before

    for number in range(1, 6):
        until(is_copied)
        writer.set("agreed", number)
        until(lambda number=number: reader.get("agreed") == number)


# TLS


@dataclass
class Certificates:
    """An authority, what it has signed, and what nobody has."""

    folder: Path

    def __post_init__(self) -> None:
        signed = ["-days", "2", "-subj", "/CN=authority", "-out", self["authority.pem"]]
        self._run("req", "-x509", *self._key("authority"), *signed)
        self._sign("server", "DNS:localhost,IP:127.0.0.1")
        self._sign("elsewhere", "DNS:elsewhere.example")
        self._sign("client", "DNS:client.example")
        both = self.folder / "client-both.pem"
        both.write_text(Path(self["client.pem"]).read_text() + Path(self["client-key.pem"]).read_text())

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def _key(self, name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self[f"{name}-key.pem"]]

    def _sign(self, name: str, names: str) -> None:
        (self.folder / "names").write_text(f"subjectAltName={names}")
        self._run("req", *self._key(name), "-subj", f"/CN={name}", "-out", self["request"])
        authority = ["-CA", self["authority.pem"], "-CAkey", self["authority-key.pem"], "-CAcreateserial"]
        extensions = ["-extfile", self["names"], "-days", "2", "-out", self[f"{name}.pem"]]
        self._run("x509", "-req", "-in", self["request"], *authority, *extensions)

    @staticmethod
    def _run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def encrypted(certificates: Certificates, name: str, clients: str = "no") -> tuple[Server, str]:
    """A server that shows this certificate, and its address."""
    files = ["tls-cert-file", certificates[f"{name}.pem"], "tls-key-file", certificates[f"{name}-key.pem"]]
    files += ["tls-ca-cert-file", certificates["authority.pem"], "tls-auth-clients", clients]
    server, (port,) = Server.redis_on_ports("tls-port", settings=files)
    return server, f"rediss://localhost:{port}/0"


@pytest.fixture(scope="module")
def tls(certificates: Certificates) -> Iterator[str]:
    server, address = encrypted(certificates, "server")
    with server:
        yield address


@quiet
@contract
def test_contract_over_tls(tls: str, certificates: Certificates, check: Callable[[Face], None]) -> None:
    cache = backend(tls, CONNECTION_POOL_KWARGS={"ssl_ca_certs": certificates["authority.pem"]})
    cache.clear()
    check(FACES[0](cache))


def test_machines_agree_over_tls(tls: str, certificates: Certificates) -> None:
    agree(tls, CONNECTION_POOL_KWARGS={"ssl_ca_certs": certificates["authority.pem"]})


def refused(location: str, **kwargs: Any) -> str:
    """Why no connection is made."""
    with pytest.raises(ConnectionError) as refusal:
        backend(location, CONNECTION_POOL_KWARGS=kwargs).get("k")
    return str(refusal.value)


def works(location: str, **kwargs: Any) -> None:
    cache = backend(location, CONNECTION_POOL_KWARGS=kwargs)
    cache.set("k", "v")
    assert cache.get("k") == "v"


def test_a_certificate_of_an_unknown_authority_is_refused_unless_told(
    tls: str, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    assert "UnknownIssuer" in refused(tls)
    assert "UnknownIssuer" in refused(tls, ssl_cert_reqs="optional")
    assert "UnknownIssuer" in refused(tls, ssl_check_hostname=False)
    with caplog.at_level(logging.WARNING, logger="tierkeep.django"):
        for anything in (None, "none", "NONE", ssl.CERT_NONE):
            works(tls, ssl_cert_reqs=anything)
        works(f"{tls}?ssl_cert_reqs=none")
    assert len(caplog.records) == 5
    authority = certificates["authority.pem"]
    for required in ("required", ssl.CERT_REQUIRED, "optional", ssl.CERT_OPTIONAL):
        works(tls, ssl_cert_reqs=required, ssl_ca_certs=authority)
    works(tls, ssl_ca_data=Path(authority).read_text())
    works(f"{tls}?ssl_ca_certs={authority}")
    works(f"{tls}?ssl_ca_certs={authority}", ssl_ca_certs="/what/the/address/says/wins")


def test_a_certificate_for_another_name_is_refused_unless_told(certificates: Certificates) -> None:
    server, address = encrypted(certificates, "elsewhere")
    authority = certificates["authority.pem"]
    with server:
        assert "not valid for name" in refused(address, ssl_ca_certs=authority)
        works(address, ssl_ca_certs=authority, ssl_check_hostname=False)
        works(f"{address}?ssl_check_hostname=false&ssl_ca_certs={authority}")


def test_a_server_that_wants_the_clients_certificate_gets_it(certificates: Certificates) -> None:
    server, address = encrypted(certificates, "server", clients="yes")
    authority = {"ssl_ca_certs": certificates["authority.pem"]}
    with server:
        assert refused(address, **authority)
        works(address, **authority, ssl_certfile=certificates["client.pem"], ssl_keyfile=certificates["client-key.pem"])
        works(address, **authority, ssl_certfile=certificates["client-both.pem"])


@pytest.mark.parametrize(
    ("location", "kwargs", "sentence"),
    [
        ("redis://h/0", {"ssl_cert_reqs": "none"}, "has to begin with rediss://"),
        ("redis://h/0?ssl_cert_reqs=none", {}, "has to begin with rediss://"),
        ("redis+cluster://h", {"ssl_ca_certs": "/a"}, "has to begin with rediss://"),
        ("rediss+cluster://h", {}, "scheme is unknown; accepted: redis://"),
        ("rediss://h/0", {"ssl_cert_reqs": "perhaps"}, "'perhaps': accepted are 'required', 'optional' and 'none'"),
        ("rediss://h/0", {"ssl_cert_reqs": ["none"]}, "accepted are 'required'"),
        ("rediss://h/0", {"ssl_check_hostname": 2}, "True or False"),
        ("rediss://h/0", {"ssl_ca_certs": "/not/there.pem"}, "TLS cannot be used: /not/there.pem: "),
        ("rediss://h/0", {"ssl_ca_certs": __file__}, "has no certificate"),
        ("rediss://h/0", {"ssl_ca_data": "text"}, "has no certificate"),
        ("rediss://h/0", {"ssl_ca_certs": 5}, "has to be a str"),
        ("rediss://h/0", {"ssl_keyfile": "/a"}, "set 'ssl_certfile', too"),
        ("rediss://h/0", {"ssl_certfile": "/not/there.pem"}, "/not/there.pem"),
        ("rediss://h/0", {"ssl_ca_path": "/etc/ssl"}, "'ssl_ca_path', which .* cannot do.*ssl_ca_certs"),
        ("rediss://h/0", {"ssl_ciphers": "ALL"}, "'ssl_ciphers', which .* cannot do"),
        ("rediss://h/0?ssl_min_version=771", {}, "LOCATION has 'ssl_min_version', which .* cannot do"),
    ],
)
def test_what_cannot_be_done_with_tls_is_refused_at_start(location: str, kwargs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence):
        backend(location, CONNECTION_POOL_KWARGS=kwargs)


# Users and sockets


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """A server for whose user `app` the dangerous commands do not exist; nobody else is let in. Host and port."""
    server, (port,) = Server.redis_on_ports("port")
    with server:
        with redis.Redis(port=port) as admin:
            may = {"keys": "*", "channels": "*", "categories": ["+@all", "-@dangerous"]}
            admin.acl_setuser("app", enabled=True, passwords="+s3:cr@t", **may)
            admin.acl_setuser("default", enabled=False)
        yield f"127.0.0.1:{port}"


@quiet
@contract
def test_contract_as_a_user_without_dangerous_commands(guarded: str, check: Callable[[Face], None]) -> None:
    cache = backend(f"redis://app:s3%3Acr%40t@{guarded}/0")
    cache.clear()
    check(FACES[0](cache))


def test_a_user_stands_in_the_address_or_in_the_options(guarded: str) -> None:
    agree(f"redis://app:s3%3Acr%40t@{guarded}/0")
    agree(f"redis://{guarded}/0", USERNAME="app", PASSWORD="s3:cr@t")
    for location, options in (
        (f"redis://{guarded}/0", {}),
        (f"redis://app:hidden@{guarded}/0", {}),
        (f"redis://{guarded}/0", {"PASSWORD": "hidden"}),
        (f"redis://{guarded}/0", {"USERNAME": "nobody", "PASSWORD": "hidden"}),
    ):
        with pytest.raises(ConnectionError, match="redis refused: (NOAUTH|WRONGPASS|ERR: AUTH)") as refusal:
            backend(location, **options).get("k")
        assert "hidden" not in str(refusal.value)


def test_a_socket_is_named_as_django_redis_does() -> None:
    with Server("redis") as server:
        path = server.url.removeprefix("redis+unix://")
        agree(f"unix://{path}?db=3")
        agree(f"unix://{path}", DB=4)
        with redis.Redis(unix_socket_path=path) as admin:
            assert set(admin.info("keyspace")) == {"db3", "db4"}


# Sentinels


class Sentinel:
    """A primary, its replica, and one sentinel that is enough to choose."""

    def __init__(self, folder: Path) -> None:
        self._replicas_wait = ["repl-diskless-sync-delay", "0", "repl-ping-replica-period", "1"]
        self.primary, (primary,) = Server.redis_on_ports("port", settings=self._replicas_wait)
        self.replica, (replica,) = Server.redis_on_ports(
            "port", settings=[*self._replicas_wait, "replicaof", f"127.0.0.1 {primary}"]
        )
        self.port = free_ports(1)[0]
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor main 127.0.0.1 {primary} 1\n"
            "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n"
        )
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program is not None
        # It ends with this process, whatever happens to that.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program, str(configuration), "--sentinel"], stdout=subprocess.DEVNULL
        )
        with redis.Redis(port=self.port) as sentinel:

            def knows() -> bool:
                try:
                    return sentinel.sentinel_slaves("main")[0]["port"] == replica
                except (redis.RedisError, IndexError):
                    return False

            until(knows)
        with redis.Redis(port=replica) as other:
            until(lambda: other.info("replication")["master_link_status"] == "up")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for server in (self.primary, self.replica):
            server.__exit__(None, None, None)


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Sentinel]:
    made = Sentinel(tmp_path)
    yield made
    made.close()


@quiet
def test_contract_behind_a_sentinel(sentinel: Sentinel) -> None:
    for check in CHECKS:
        cache = backend("redis://main/0", SENTINELS=[("127.0.0.1", sentinel.port)])
        cache.clear()
        check(FACES[0](cache))


def test_work_goes_on_at_the_primary_that_sentinels_choose(sentinel: Sentinel) -> None:
    """Between the kill and the choice calls fail; after it what was kept is kept, and machines agree as before."""
    options: dict[str, Any] = {"SENTINELS": [("127.0.0.1", 1), ("127.0.0.1", sentinel.port)]}
    options |= {"CLIENT_CLASS": "django_redis.client.SentinelClient", "SOCKET_TIMEOUT": 1, "SOCKET_CONNECT_TIMEOUT": 1}
    cache, other = backend("redis://main/0", 1, **options), backend("redis://main/0", 2, **options)
    cache.set("kept", "from before")
    with redis.Redis(unix_socket_path=sentinel.primary.url.removeprefix("redis+unix://")) as primary:
        assert primary.wait(1, 20_000) == 1
    outcomes: list[bool] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                cache.set("number", len(outcomes))
                cache.get("kept")
                outcomes.append(True)
            except ConnectionError:
                outcomes.append(False)
                time.sleep(0.01)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        until(lambda: sum(outcomes) > 100)
        os.kill(sentinel.primary.pid, 9)
        until(lambda: not all(outcomes))
        failed = len(outcomes)
        until(lambda: sum(outcomes[failed:]) > 100)
    finally:
        over.set()
        for worker in workers:
            worker.join()

    assert cache.get("kept") == "from before" and other.get("kept") == "from before"
    agree("redis://main/0", **options)


def test_what_sentinels_cannot_be_told_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="SENTINEL_KWARGS'\\] has 'ssl', which .* without TLS"):
        backend("redis://main/0", SENTINELS=[("h", 1)], SENTINEL_KWARGS={"ssl": True})
    backend("redis://main/0", SENTINELS=[("h", 1)], SENTINEL_KWARGS={"password": "p", "socket_timeout": 1})


# Clusters


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Three masters, each with a third of the slots."""
    members = [Server.redis_on_ports("port", "cluster-port", settings=["cluster-enabled", "yes"]) for _ in range(3)]
    admins = [redis.Redis(port=ports[0]) for _, ports in members]
    try:
        for number, admin in enumerate(admins):
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", number * 16384 // 3, (number + 1) * 16384 // 3 - 1)
        for _, (port, bus) in members[1:]:
            admins[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)

        def are_one() -> bool:
            return all("cluster_state:ok" in str(admin.execute_command("CLUSTER", "INFO")) for admin in admins)

        def know_all() -> bool:
            return all(len(admin.execute_command("CLUSTER", "SLOTS")) == 3 for admin in admins)

        until(lambda: are_one() and know_all())
        yield f"redis+cluster://{','.join(f'127.0.0.1:{ports[0]}' for _, ports in members)}"
    finally:
        for admin in admins:
            admin.close()
        for server, _ in members:
            server.close()


@quiet
@contract
def test_contract_on_a_cluster(cluster: str, check: Callable[[Face], None]) -> None:
    cache = backend(cluster)
    cache.clear()
    check(FACES[0](cache))


def test_machines_agree_at_once_on_a_cluster(cluster: str) -> None:
    reader, writer = backend(cluster, 1), backend(cluster, 2)
    for number in range(200):
        writer.set(f"k{number % 20}", number, tags=["t"])
        assert reader.get(f"k{number % 20}") == number
    assert len(reader.get_many([f"k{number}" for number in range(20)])) == 20
    writer.invalidate_tag("t")
    assert reader.get_many([f"k{number}" for number in range(20)]) == {}


def test_a_cluster_has_no_numbered_databases() -> None:
    with pytest.raises(ImproperlyConfigured, match="no numbered databases"):
        backend("redis+cluster://h", DB=1)
