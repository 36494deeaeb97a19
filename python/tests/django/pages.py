"""Addresses for the tests of the middleware and of `cache_page`."""

from __future__ import annotations

from itertools import count

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.cache import cache_page

CALLS = count(1)


def counted(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"call {next(CALLS)}")


def remembered(request: HttpRequest) -> HttpResponse:
    visits = request.session.get("visits", 0) + 1
    request.session["visits"] = visits
    return HttpResponse(str(visits))


urlpatterns = [path("plain/", counted), path("page/", cache_page(60)(counted)), path("session/", remembered)]
