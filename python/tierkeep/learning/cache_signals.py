"""What a Django model's change does to kept answers: after the commit they are forgotten, and later warmed up.

The change feed tells nodes of every write, whoever made it. What is here makes a request that follows in this process
see
its own, at once, and brings the answers back before somebody asks.
"""

from __future__ import annotations

import logging
from typing import Any

from tierkeep.learning.client import TierkeepError
from tierkeep.learning.configuration import async_client, client, configuration
from tierkeep.learning.questions import User
from tierkeep.learning.warmup_queue import WarmupQueue

__all__ = ["CacheWarmupService", "connect", "disconnect"]

_TABLES = frozenset({"study_sessions", "course_progress"})
_UID = "tierkeep.learning"
_queue: WarmupQueue | None = None


class CacheWarmupService:
    """Has answers computed before somebody asks. Needs a token with the scope ``admin``, if any."""

    @classmethod
    def warmup_user_cache(cls, user_id: User, force: bool = False) -> dict[str, Any]:
        """All statistics of a learner, as of today. ``force`` has them forgotten before. The report:
        ``{"learners": 1, "computed": 7, "fresh": 0, "failed": 0}``."""
        if force:
            async_client().forget(user_id)
        return client().warmup([user_id], force=force)

    @classmethod
    async def awarmup_user_cache(cls, user_id: User, force: bool = False) -> dict[str, Any]:
        """As ``warmup_user_cache``."""
        if force:
            client().forget(user_id)
        return await async_client().warmup([user_id], force=force)

    @classmethod
    def warmup_global_cache(cls) -> dict[str, Any]:
        """What all learners did. The report as that of ``warmup_user_cache``."""
        return client().warmup(global_stats=True)

    @classmethod
    async def awarmup_global_cache(cls) -> dict[str, Any]:
        """As ``warmup_global_cache``."""
        return await async_client().warmup(global_stats=True)


def connect() -> None:
    """Listens to the models of ``TIERKEEP["MODELS"]``; by default to those whose tables the platform's are."""
    from django.db.models.signals import post_delete, post_save

    for model, attribute in _watched():
        listener = _Listener(attribute)
        post_save.connect(listener, sender=model, weak=False, dispatch_uid=(_UID, "save", model))
        post_delete.connect(listener, sender=model, weak=False, dispatch_uid=(_UID, "delete", model))


def disconnect() -> None:
    """Listens no longer."""
    from django.db.models.signals import post_delete, post_save

    for model, _ in _watched():
        post_save.disconnect(sender=model, dispatch_uid=(_UID, "save", model))
        post_delete.disconnect(sender=model, dispatch_uid=(_UID, "delete", model))


def _watched() -> list[tuple[Any, str]]:
    """The models, and which of their attributes has the learner's id."""
    from django.apps import apps
    from django.contrib.auth import get_user_model
    from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured

    named = configuration().models
    if named is None:
        tables = [model for model in apps.get_models() if model._meta.db_table in _TABLES]
        try:
            user_model: Any = get_user_model() if tables else None
        except ImproperlyConfigured:  # a project without Django's users
            user_model = None
        found: list[tuple[Any, str]] = []
        for model in tables:
            keys = [
                field.attname
                for field in model._meta.concrete_fields
                if (user_model is not None and field.related_model is user_model)
                or field.column in ("user_id", "user_uuid_id")
            ]
            found.extend((model, key) for key in keys[:1])
        return found
    watched = []
    for label, attribute in named.items():
        try:
            model = apps.get_model(label)
            names = {field.attname for field in model._meta.concrete_fields}
            names |= {field.name for field in model._meta.concrete_fields}
            if attribute.split("__")[0] not in names:
                raise FieldDoesNotExist(f"{label} has no field {attribute!r}")
        except (LookupError, ValueError, AttributeError, FieldDoesNotExist) as error:
            raise ImproperlyConfigured(f"TIERKEEP['MODELS']: {label!r}: {error}") from None
        watched.append((model, attribute))
    return watched


class _Listener:
    """Notes whom a saved or deleted row is about."""

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def __call__(self, instance: Any, using: str, raw: bool = False, **_: object) -> None:
        learner = getattr(instance, self._attribute, None)
        if learner is not None:
            # a related object where its field was named instead of its id
            _note(str(getattr(learner, "pk", learner)), using)


class _Committed:
    """The hook of one transaction, or of one savepoint in it: rolled back together with what it knows."""

    def __init__(self) -> None:
        self.learners: set[str] = set()

    def __call__(self) -> None:
        _changed(self.learners)


def _note(learner: str, using: str) -> None:
    from django.db import transaction

    connection: Any = transaction.get_connection(using)
    if not connection.in_atomic_block:
        _changed({learner})
        return
    savepoints = set(connection.savepoint_ids)
    hooks = connection.run_on_commit
    for held, hook, *_rest in hooks:
        if isinstance(hook, _Committed) and held == savepoints:
            hook.learners.add(learner)
            return
        if not isinstance(hook, _Committed) and not _is_in_test(connection):
            break  # ours stand in front
    hook = _Committed()
    hook.learners.add(learner)
    transaction.on_commit(hook, using=using, robust=True)
    # the application's own hooks are to read new values; a test counts hooks from where it began, so there the order
    # stays
    if not _is_in_test(connection) and hooks and hooks[-1][1] is hook:
        hooks.insert(0, hooks.pop())


def _is_in_test(connection: Any) -> bool:
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _changed(learners: set[str]) -> None:
    """After the commit. Nothing is raised: the write has been made, and the change feed tells the node in any case."""
    global _queue
    settings = configuration()
    logger = logging.getLogger(f"{settings.logger_prefix}.cache_signals")
    asked = client()
    for learner in learners:
        asked.forget(learner)
        async_client().forget(learner)
    ordered = sorted(learners)
    try:
        for start in range(0, len(ordered), 1000):
            asked.invalidate(ordered[start : start + 1000])
    except TierkeepError as error:
        logger.warning("%d learners changed, and the node learns it from its feed only: %s", len(learners), error)
    if settings.warmup_delay >= 0:
        if _queue is None:
            _queue = WarmupQueue(logger)
        _queue.add(learners, settings.warmup_delay, asked)
