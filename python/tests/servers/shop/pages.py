"""Views, in both kinds: what is read comes from the cache if it is there, else from the file."""

import asyncio
import hashlib
import os
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

#: Of a value that takes a while to be written.
LARGE = 2_000_000


def price() -> int:
    return int(settings.PRICES.read_text())


def put(text: str) -> None:
    """Whole or not at all."""
    new = settings.PRICES.with_suffix(f".{os.getpid()}")
    new.write_text(text)
    new.replace(settings.PRICES)


def answer(**said: Any) -> JsonResponse:
    return JsonResponse({"pid": os.getpid(), "hits": cache.stats()["hits"], **said})


def read(request: HttpRequest) -> HttpResponse:
    return answer(price=cache.get_or_set("price", price))


def write(request: HttpRequest) -> HttpResponse:
    put(request.GET["price"])
    cache.delete("price")
    return answer()


async def aread(request: HttpRequest) -> HttpResponse:
    return answer(price=await cache.aget_or_set("price", price))


async def awrite(request: HttpRequest) -> HttpResponse:
    put(request.GET["price"])
    await cache.adelete("price")
    return answer()


def large(number: int) -> dict[str, Any]:
    """A value that tells whether it is whole."""
    body = bytes([number % 251]) * LARGE
    return {"body": body, "digest": hashlib.sha256(body).hexdigest(), "object": complex(number)}


def hammer(request: HttpRequest) -> HttpResponse:
    """Writes until somebody kills this process."""
    number = 0
    while True:
        number += 1
        cache.set("large", large(number))
        cache.set(f"large{number % 20}", number, tags=["hammered"])
        cache.get("large")


def whole(request: HttpRequest) -> HttpResponse:
    """What is there of what `hammer` writes: nothing, or all of a value."""
    found = cache.get("large")
    is_whole = found is None or hashlib.sha256(found["body"]).hexdigest() == found["digest"]
    cache.set("mine", {os.getpid()})
    return answer(whole=is_whole, found=found is not None, works=cache.get("mine") == {os.getpid()})


def slow(request: HttpRequest) -> HttpResponse:
    (settings.PRICES.parent / "slow").touch()
    time.sleep(float(request.GET["seconds"]))
    return answer()


async def aslow(request: HttpRequest) -> HttpResponse:
    (settings.PRICES.parent / "slow").touch()
    await asyncio.sleep(float(request.GET["seconds"]))
    return answer()


urlpatterns = [
    path("read", read),
    path("write", write),
    path("aread", aread),
    path("awrite", awrite),
    path("hammer", hammer),
    path("whole", whole),
    path("slow", slow),
    path("aslow", aslow),
]
