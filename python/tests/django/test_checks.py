"""What `manage.py check` says."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from tierkeep.django.checks import caches_fit_their_use, values_are_signed

OURS = {"BACKEND": "tierkeep.django.Cache"}
REDIS = {**OURS, "LOCATION": "redis://127.0.0.1:6379/1"}
CACHED = "django.contrib.sessions.backends.cache"


@pytest.mark.parametrize(
    ("cache", "engine", "expected"),
    [
        (OURS, CACHED, ["tierkeep.W011"]),
        (OURS, "django.contrib.sessions.backends.cached_db", []),
        (REDIS, CACHED, []),
        ({"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, CACHED, []),
        ({**OURS, "OPTIONS": {"NONSENSE": 1}}, CACHED, ["tierkeep.E001"]),
    ],
)
def test_sessions_need_values_that_all_processes_have(cache: Any, engine: str, expected: list[str]) -> None:
    with override_settings(CACHES={"default": cache}, SESSION_ENGINE=engine):
        assert [message.id for message in caches_fit_their_use()] == expected


def test_unsigned_values_are_warned_of() -> None:
    json = {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"}
    # What reads no pickle runs no code of others, signed or not.
    for options, expected in (({"SIGN": False}, ["tierkeep.W012"]), ({}, []), ({"SIGN": False, **json}, [])):
        with override_settings(CACHES={"default": {**REDIS, "OPTIONS": options}}):
            assert [message.id for message in values_are_signed()] == expected


def test_the_application_registers_its_checks() -> None:
    from django.core import checks
    from django.core.checks.registry import registry

    with override_settings(INSTALLED_APPS=["tierkeep.django"], CACHES={"default": OURS}, SESSION_ENGINE=CACHED):
        assert caches_fit_their_use in registry.get_checks()
        assert "tierkeep.W011" in [message.id for message in checks.run_checks(tags=[checks.Tags.caches])]


def test_an_address_without_a_scheme_is_no_server() -> None:
    for location, is_warned in (("127.0.0.1:6379", True), ("cache.example:6379/1", True), ("unique-snowflake", False)):
        with override_settings(CACHES={"default": {**OURS, "LOCATION": location}}):
            assert ("tierkeep.W013" in [message.id for message in caches_fit_their_use()]) is is_warned
