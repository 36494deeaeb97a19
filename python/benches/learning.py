"""A daily statistic through `tierkeep.learning`, beside django-redis and a bare HTTP client, in one process and one
run.

``python python/benches/learning.py NODE REDIS USER [ROUNDS]``: a running node, a Redis, a learner of the node. Needs
Django,
django-redis and hiredis. Prints, for each way, the least time and the least CPU of a call over all rounds, in
microseconds,
and their ratios to django-redis. Ways take turns, so that a busy machine troubles all of them alike.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings

CALLS = 300
"""Calls of one round."""


def measure(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """The least microseconds of a call, by the wall and of this thread's CPU, over rounds in which all ways take
    turns."""
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, call in ways.items():
            wall, cpu = time.perf_counter(), time.thread_time()
            for _ in range(CALLS):
                call()
            spent = (time.perf_counter() - wall) / CALLS * 1e6, (time.thread_time() - cpu) / CALLS * 1e6
            best[name] = min(best[name][0], spent[0]), min(best[name][1], spent[1])
    return best


def main(node: str, redis: str, user: str, rounds: int = 25) -> None:
    """Measures and prints."""
    # as redis-py writes the address of a socket
    redis = redis.replace("redis+unix:", "unix:")
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis}
    json_cache = {**cache, "OPTIONS": {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"}}
    settings.configure(CACHES={"default": cache, "json": json_cache}, TIERKEEP={"NODE": node})
    django.setup()
    from django.core.cache import caches

    from tierkeep.learning.cache_services import LearningStatsCacheService
    from tierkeep.learning.client import Client

    day = "2026-01-05"
    kept, unchanged = Client(node, bound=1e6), Client(node, bound=0.0)
    fetched = Client(node, bound=0.0, kept_bytes=0)
    value = kept.daily(user, day)
    pickled, as_json = caches["default"], caches["json"]
    pickled.set("daily", value, 3600)
    as_json.set("daily as JSON", value, 3600)
    plain = http.client.HTTPConnection(urlsplit(node).netloc)
    path = f"/v1/users/{user}/stats/daily?date={day}"

    def by_http_client() -> Any:
        plain.request("GET", path)
        return json.loads(plain.getresponse().read())

    ways: dict[str, Callable[[], Any]] = {
        "django-redis, pickle": lambda: pickled.get("daily"),
        "django-redis, JSON": lambda: as_json.get("daily as JSON"),
        "http.client and json.loads": by_http_client,
        "tierkeep: kept by the process": lambda: kept.daily(user, day),
        "tierkeep: node says unchanged": lambda: unchanged.daily(user, day),
        "tierkeep: node sends it": lambda: fetched.daily(user, day),
        "LearningStatsCacheService, kept up to 1 s": lambda: LearningStatsCacheService.get_user_daily_stats(user, day),
        "the same, compat guide": lambda: LearningStatsCacheService.get_user_daily_stats(user, day, compat="guide"),
    }
    for name, call in ways.items():
        found = call()
        if "compat" not in name:
            assert {**found, "as_of": 0} == {**value, "as_of": 0}, name
    assert unchanged.last is not None
    best = measure(ways, rounds)
    wall, cpu = best["django-redis, pickle"]
    print(f"{'way':<44}{'wall us':>9}{'CPU us':>9}{'wall ratio':>12}{'CPU ratio':>11}")
    for name, (spent, used) in best.items():
        print(f"{name:<44}{spent:>9.1f}{used:>9.1f}{spent / wall:>12.3f}{used / cpu:>11.3f}")
    print(
        "of the clients:",
        kept.counts["kept"],
        "kept,",
        unchanged.counts["unchanged"],
        "unchanged,",
        fetched.counts["fetched"],
        "fetched",
    )


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:5]))
