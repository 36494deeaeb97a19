"""A prefork pool of Celery: tasks that use the cache, and those of `tierkeep.learning`, through a real broker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from learning_nodes import BORIS, NOBODY, Node, fill
from server_processes import Running, wait_for


class Pool(Running):
    """A worker with two processes, and a client that gives it work."""

    def __init__(self, folder: Path, location: str, broker: str, node: str) -> None:
        # One database for each worker: another's messages are not its own.
        self.broker = f"{broker.replace('redis+unix://', 'redis+socket://')}?virtual_host=1"
        environment = {"SHOP_BROKER": self.broker, "SHOP_NODE": node}
        arguments = [
            "celery",
            "--app",
            "shop.worker",
            "worker",
            "--pool",
            "prefork",
            "--without-gossip",
            "--loglevel",
            "INFO",
        ]
        super().__init__(arguments, folder, location, **environment)
        self.said_once(r"celery@\S+ ready")

    def give(self, name: str, *arguments: Any) -> Any:
        client = self._app()
        given = client.send_task(name if "." in name else f"shop.worker.{name}", arguments)
        self._given.append(given)
        return given

    def do(self, name: str, *arguments: Any) -> Any:
        return self.give(name, *arguments).get(timeout=60)

    def _app(self) -> Any:
        from celery import Celery

        if not hasattr(self, "_client"):
            self._client = Celery("client", broker=self.broker, backend=self.broker)
            self._given: list[Any] = []
        return self._client

    def close(self) -> None:
        if hasattr(self, "_client"):
            # While the broker is there: results speak to it when they are dropped.
            while self._given:
                self._given.pop().forget()
            self._client.control.purge()
            self._client.close()
        super().close()


@pytest.fixture(params=["alone", "with Redis"])
def pool(request: pytest.FixtureRequest, redis: str, new_node: Callable[..., Node], tmp_path: Path) -> Iterator[Pool]:
    node = new_node()
    fill(node)
    node.start()
    location = "shop" if request.param == "alone" else redis
    folder = tmp_path / "pool"
    folder.mkdir()
    with Pool(folder, location, redis, node.url) as running:
        yield running


def test_tasks_share_what_the_place_of_the_values_allows(pool: Pool, request: pytest.FixtureRequest) -> None:
    is_shared = "with Redis" in request.node.name
    counted = [pool.give("count") for _ in range(60)]
    pids = [task.get(timeout=60) for task in counted]

    assert len(set(pids)) == 2
    assert all(pool.do("inherited") for _ in range(6))
    total = pool.do("counted")
    # Alone, what one process counts ends what the other has counted.
    assert (total == 60) == is_shared, total


def test_no_process_of_the_pool_reads_what_another_has_removed(pool: Pool) -> None:
    readers: set[int] = set()
    for round in range(12):
        for pid, value in (task.get(timeout=60) for task in [pool.give("read", round) for _ in range(6)]):
            readers.add(pid)
            assert value == round
        pool.do("forget")

    assert len(readers) == 2


def test_a_process_that_is_killed_in_the_midst_of_a_set_is_replaced_and_its_task_done(
    pool: Pool, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    task = pool.give("killed_once", str(marker))
    wait_for(lambda: marker.exists() and marker.read_text() != "", "the process that writes")
    time.sleep(0.05)

    os.kill(int(marker.read_text()), signal.SIGKILL)

    assert "2" in task.get(timeout=60)
    assert all(pool.do("inherited") for _ in range(6))


def test_the_tasks_of_learning_are_done_by_a_node(pool: Pool) -> None:
    report = pool.do("tierkeep.learning.tasks.precompute_user_cache_task", BORIS)
    assert report and "error" not in report
    assert pool.do("tierkeep.learning.tasks.precompute_active_users_cache")["state"] == "done"
    # Each process of the pool has a connection of its own.
    for _ in range(6):
        assert pool.do("daily", BORIS)["total_sessions"] == 1
    with pytest.raises(Exception, match="learner"):
        pool.do("daily", NOBODY)


def test_a_pool_ends_in_order_while_a_task_is_under_way(pool: Pool) -> None:
    tasks = [pool.give("count") for _ in range(40)]
    wait_for(lambda: any(task.ready() for task in tasks), "the first of the tasks")

    code, seconds = pool.stop()

    # Processes of billiard's wait for up to 30 s until their parent has read what they said, and it may have stopped.
    assert code == 0 and seconds < 45, pool.said
    assert "FATAL" not in pool.said and "Traceback" not in pool.said, pool.said


def test_a_pool_that_has_used_the_cache_and_is_idle_ends_at_once(pool: Pool) -> None:
    for task in [pool.give("count") for _ in range(20)] + [pool.give("daily", BORIS) for _ in range(20)]:
        task.get(timeout=60)

    code, seconds = pool.stop()

    assert code == 0 and seconds < 10, pool.said
    assert "FATAL" not in pool.said and "Traceback" not in pool.said, pool.said
