"""System checks: whether a node answers, and whether the database tells it what changes."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from tierkeep.learning.configuration import configuration

__all__ = ["check_node", "register"]

_SECONDS = 1.0
"""Longest wait for one node."""


def register() -> None:
    """Has ``manage.py check`` run them."""
    from django.core import checks

    checks.register(check_node, "tierkeep")


def check_node(app_configs: Any, **_: object) -> list[Any]:
    """W001: no node answers. W002: a node answers and the change feed is missing or behind. W003: a node is not
    ready."""
    from django.core.checks import Warning

    settings = configuration()
    nodes = [settings.node] if isinstance(settings.node, str) else settings.node
    silent: list[str] = []
    for node in nodes:
        try:
            readiness = _readiness(node)
        except (OSError, ValueError, http.client.HTTPException) as error:
            silent.append(f"{node}: {error or type(error).__name__}")
            continue
        found = readiness.get("checks") or {}
        feed = found.get("feed")
        if feed is None:
            text = f"The node {node} keeps no answers: nothing tells it what changes in the database."
            return [Warning(text, hint="Run `tierkeep attach` on the platform's database.", id="tierkeep.W002")]
        if feed.get("status") != "ok":
            why = feed.get("reason") or feed.get("status")
            text = f"The change feed of the node {node} is behind or incomplete: {why}."
            return [Warning(text, hint="Run `tierkeep attach` again; the node's log says more.", id="tierkeep.W002")]
        if readiness.get("status") not in ("ok", "warming"):
            failing = [name for name, check in found.items() if check.get("status") not in ("ok", "warming")]
            return [Warning(f"The node {node} is not ready: {', '.join(failing)}.", id="tierkeep.W003")]
        return []
    hint = "Start one with `tierkeep serve`, or name a running one in TIERKEEP['NODE']."
    return [Warning(f"No node of Tierkeep answers: {'; '.join(silent)}.", hint=hint, id="tierkeep.W001")]


def _readiness(node: str) -> dict[str, Any]:
    parts = urlsplit(node)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_SECONDS)
    try:
        connection.request("GET", parts.path.rstrip("/") + "/readyz")
        answer = json.loads(connection.getresponse().read(1 << 16))
    finally:
        connection.close()
    if not isinstance(answer, dict) or "checks" not in answer:
        raise ValueError("what answers is no node")
    return answer
