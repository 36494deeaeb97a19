"""A cache for any Python: `cached` for functions, levels, invalidation, warm-up and measurement."""

from __future__ import annotations

from tierkeep.cache._cached import Cached, CachedStats, cached, invalidate_tags

__all__ = ["Cached", "CachedStats", "cached", "invalidate_tags"]
