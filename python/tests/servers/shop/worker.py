"""For Celery: tasks that use the cache, and those of tierkeep.learning."""

import os
import time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

import django
from celery import Celery
from celery.signals import worker_init
from django.core.cache import cache

django.setup()
app = Celery("shop")
app.conf.update(
    broker_url=os.environ["SHOP_BROKER"],
    result_backend=os.environ["SHOP_BROKER"],
    worker_concurrency=2,
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_hijack_root_logger=False,
)

from tierkeep.learning import tasks  # noqa: E402, F401
from tierkeep.learning.cache_services import LearningStatsCacheService  # noqa: E402


@worker_init.connect
def used_before_the_fork(**_: Any) -> None:
    """What the pool's processes inherit has been used."""
    cache.set("before the fork", {"object": complex(1)})
    cache.get("before the fork")


@app.task
def count() -> int:
    while True:
        cache.add("count", 0)
        try:
            cache.incr("count")
            break
        except ValueError:
            # Without a server, what the other process counted in between has ended what this one has.
            continue
    # Leaves some for the other process.
    time.sleep(0.01)
    return os.getpid()


@app.task
def counted() -> int | None:
    return cache.get("count")


@app.task
def inherited() -> bool:
    return cache.get("before the fork") == {"object": complex(1)}


@app.task
def read(default: int) -> tuple[int, int]:
    time.sleep(0.005)
    return os.getpid(), cache.get_or_set("value", lambda: default)


@app.task
def forget() -> int:
    cache.delete("value")
    return os.getpid()


@app.task(bind=True)
def killed_once(self: Any, marker: str) -> str:
    """In the midst of writing when its process is killed; done when it is given out again."""
    if os.path.exists(marker):
        cache.set("killed", {"object": complex(2)})
        return str(cache.get("killed"))
    with open(marker, "w") as file:
        file.write(str(os.getpid()))
    while True:
        cache.set("killed", {"object": complex(1), "body": "x" * 1_000_000})


@app.task
def daily(user: str) -> dict[str, Any]:
    return dict(LearningStatsCacheService.get_user_daily_stats(user))
