"""What Django builds on a cache: sessions, the middleware, `cache_page`, template fragments; and the backend as an object."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.core.cache import cache, caches
from django.core.cache.utils import make_template_fragment_key
from django.template import engines
from django.test import Client, override_settings

from tierkeep.django import Cache

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def body(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_default_cache_is_ours() -> None:
    assert isinstance(caches["default"], Cache)


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_sessions(engine: str, database: None) -> None:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}", MIDDLEWARE=[SESSION]):
        one, other = Client(), Client()

        assert [body(one, "/session/") for _ in range(3)] == ["1", "2", "3"]
        assert body(other, "/session/") == "1"
        assert body(one, "/session/") == "4"

        cache.clear()
        assert body(one, "/session/") == ("5" if engine == "cached_db" else "1")


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_a_session_key_is_nobody_elses_and_goes_with_flush(engine: str, database: None) -> None:
    from importlib import import_module

    store = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
    session = store()
    session["who"] = "a"
    session.save(must_create=True)
    key = session.session_key

    again = store(session_key=key)
    assert again["who"] == "a" and again.exists(key)
    again.cycle_key()
    assert again.session_key != key and not store().exists(key)
    again.flush()
    assert store(session_key=key).get("who") is None


def test_the_middleware_caches_pages() -> None:
    middleware = [
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    with override_settings(MIDDLEWARE=middleware, CACHE_MIDDLEWARE_SECONDS=60):
        first = body(Client(), "/plain/")
        assert body(Client(), "/plain/") == first
        assert body(Client(), "/plain/?other") != first
        cache.clear()
        assert body(Client(), "/plain/") != first


def test_cache_page() -> None:
    with override_settings(MIDDLEWARE=[]):
        first = body(Client(), "/page/")
        assert body(Client(), "/page/") == first
        assert body(Client(), "/plain/") != body(Client(), "/plain/")
        assert Client().head("/page/").status_code == 200


def test_template_fragments() -> None:
    template = engines["django"].from_string("{% load cache %}{% cache 60 part user %}{{ text }}{% endcache %}")

    assert template.render({"user": 1, "text": "a"}) == "a"
    assert template.render({"user": 1, "text": "b"}) == "a"
    assert template.render({"user": 2, "text": "b"}) == "b"
    cache.delete(make_template_fragment_key("part", [1]))
    assert template.render({"user": 1, "text": "c"}) == "c"


def test_a_model_instance_comes_back(database: None) -> None:
    from django.contrib.auth.models import User

    user = User.objects.create(username="somebody")
    cache.set("user", user)
    cache.set("query", User.objects.filter(username="somebody"))

    assert cache.get("user") == user and cache.get("user").username == "somebody"
    assert list(cache.get("query")) == [user]


def test_what_asks_the_database_when_pickled_is_stored_from_an_event_loop(database: None) -> None:

    from django.contrib.auth.models import User

    # Pickling one of these asks the database, which a thread with an event loop may not.
    def lazy() -> Any:
        return User.objects.order_by("pk")

    async def run() -> None:
        await cache.aset("k", lazy())
        assert await cache.aadd("added", lazy())
        await cache.aset_many({"many": lazy()})
        await cache.aget_or_set("computed", lazy())

    asyncio.run(run())

    expected = list(lazy())
    assert all(list(cache.get(key)) == expected for key in ("k", "added", "many", "computed"))


def test_a_pickled_backend_is_the_same_cache() -> None:
    backend = caches["default"]
    backend.set("k", 1)
    backend.version = 4
    try:
        backend.set("k", 4)

        for again in (pickle.loads(pickle.dumps(backend)), copy.copy(backend), copy.deepcopy(backend)):
            assert again.get("k") == 4 and again.get("k", version=1) == 1
            again.set("new", 1)
            assert backend.get("new") == 1
    finally:
        backend.version = 1


def test_methods_can_be_patched_and_overridden() -> None:
    backend = caches["default"]
    with mock.patch.object(backend, "get", return_value="patched"):
        assert backend.get("k") == "patched"
    assert backend.get("k") is None
    with mock.patch.object(type(backend), "set", side_effect=OSError):
        with pytest.raises(OSError):
            backend.set("k", 1)
    assert backend.set("k", 1) and backend.get("k") == 1


def test_a_subclass_makes_keys_its_own_way() -> None:
    class Shouting(Cache):
        def make_key(self, key: Any, version: Any = None) -> str:
            return str(key).upper()

    backend = Shouting("shouting", {})
    backend.set("k", 1)

    assert backend.get("K", version=5) == 1
    assert backend._keys("*") == ["K"]


def test_equal_names_are_one_store_and_different_names_never_meet() -> None:
    one, same, other = Cache("a", {}), Cache("a", {}), Cache("b", {})
    one.set("k", 1)

    assert (same.get("k"), other.get("k")) == (1, None)
    other.clear()
    assert one.get("k") == 1


def test_key_warnings_can_be_off(recwarn: pytest.WarningsRecorder) -> None:
    backend = Cache("quiet", {"OPTIONS": {"KEY_WARNINGS": False}})

    backend.set("with space", 1)

    assert backend.get("with space") == 1
    assert not recwarn.list


def test_ten_megabytes_are_kept_and_more_than_the_bound_is_not() -> None:
    backend = Cache("large", {"OPTIONS": {"L1_BYTES": 20_000_000}})
    backend.set("large", b"x" * 10_000_000)
    assert len(backend.get("large")) == 10_000_000

    backend.set("large", b"x" * 21_000_000)

    assert backend.get("large") is None
    for number in range(40):
        backend.set(str(number), b"x" * 1_000_000)
        assert backend.stats()["bytes"] <= 20_000_000
    assert backend.get("39") is not None and backend.get("0") is None
