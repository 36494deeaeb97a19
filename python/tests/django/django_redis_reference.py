"""Asks the real django-redis what it gives back of values, and writes it down for `test_serializers.py`.

It is not in the environment of the tests, as it wants one version of Django. To make the record again, from this folder:

    pip install django-redis==7.0.0 msgpack hypothesis
    python django_redis_reference.py redis://127.0.0.1:6379/9

Values stand as Python source, results too; "refused" is an error at `set`, "unreadable" one at `get`.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import sys
import uuid
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("django_redis_answers.json")

#: Values made by chance, for each serializer.
MADE = 300

Pair = namedtuple("Pair", "a b")

#: What the source of a value may name.
NAMES = {
    "datetime": datetime, "Decimal": decimal.Decimal, "UUID": uuid.UUID, "OrderedDict": OrderedDict, "Pair": Pair,
    "nan": math.nan, "inf": math.inf,
}  # fmt: skip

#: Each for something that a format has its own mind about.
CHOSEN = """
None | True | False | 0 | -1 | 2**63 | 2**64 | -(10**30) | 1.5 | -0.0 | 1e308 | inf | -inf | nan | 1e16 | 5.0 | 0.1
"" | "text" | "12" | " 5 " | "true" | "null" | "日本" | "\\ud800" | "\\ud83d\\ude00" | "\\U0001f600" | "a\\x00b" | b"" | b"ab"
b"\\xff" | bytearray(b"ab") | [] | () | (1, (2, "a")) | [1, [2, [3]]] | {} | {"a": {"b": [1, None]}} | {1: "a"} | {None: 1}
{True: 1, "true": 2} | {1.5: 1} | {(1, 2): 3} | {b"k": 1} | {"a": (1,)} | set() | {1} | frozenset([1]) | [2**63] | [2**64]
[-(2**63) - 1] | {"n": 10**30} | Decimal("1.10") | UUID(int=7) | datetime.date(2026, 1, 2) | datetime.timedelta(hours=1)
datetime.datetime(2026, 1, 2, 3, 4, 5, 678901) | datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
datetime.time(1, 2, 3) | datetime.time(1, tzinfo=datetime.timezone.utc) | [Decimal("1"), UUID(int=1)]
{"at": datetime.datetime(2026, 1, 2)} | {datetime.date(2026, 1, 2): 1} | OrderedDict([("b", 1), ("a", 2)]) | Pair(1, [2])
complex(1, 2) | range(3) | object() | [nan, inf] | {"a": "\\ud800"} | [b"a", "a"] | "x" * 5000 | list(range(500))
"""


def sources(chosen: str = CHOSEN) -> list[str]:
    """The chosen values, as source."""
    return [part.strip() for line in chosen.strip().splitlines() for part in line.split("|")]


def values() -> Any:
    """A hypothesis strategy of values that the formats hold, or do not."""
    from hypothesis import strategies as st

    text = st.text(st.characters(codec=None, exclude_categories=[]), max_size=8)
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(), text, st.binary(max_size=8),
        st.decimals(allow_nan=False, places=2), st.uuids(), st.dates(), st.datetimes(), st.timedeltas(), st.times(),
    )  # fmt: skip
    keys = st.one_of(text, st.integers(-9, 9), st.none(), st.booleans(), st.binary(max_size=3))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(keys, inner, max_size=4),
        ),
        max_leaves=12,
    )


def main(address: str) -> None:
    import warnings

    from django.conf import settings
    from hypothesis import HealthCheck, given, seed
    from hypothesis import settings as limits

    path = "django_redis.serializers."
    serializers = {"json": path + "json.JSONSerializer", "msgpack": path + "msgpack.MSGPackSerializer"}
    caches = {
        name: {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": address,
            "KEY_PREFIX": name,
            "OPTIONS": {"SERIALIZER": one},
        }
        for name, one in serializers.items()
    }
    settings.configure(CACHES={"default": next(iter(caches.values())), **caches}, USE_TZ=True)
    from django.core.cache import caches as handles

    warnings.simplefilter("ignore")
    made: list[str] = []

    @seed(20261123)
    @limits(max_examples=MADE, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values())
    def collect(value: Any) -> None:
        made.append(repr(value))

    collect()

    def answer(name: str, source: str) -> str:
        cache = handles[name]
        cache.delete("k")
        try:
            cache.set("k", eval(source, dict(NAMES)))
        except Exception:
            return "refused"
        try:
            return repr(cache.get("k"))
        except Exception:
            return "unreadable"

    rows = {source: {name: answer(name, source) for name in serializers} for source in dict.fromkeys(sources() + made)}
    RECORD.write_text(
        "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items()) + "\n}\n"
    )


if __name__ == "__main__":
    main(sys.argv[1])
