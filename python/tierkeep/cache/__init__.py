"""A cache for any Python: `cached` for functions, levels, invalidation, warm-up and measurement.

Only `cached` is loaded at once; the other names are when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tierkeep.cache._cached import Cached, CachedStats, cached, invalidate_tags

if TYPE_CHECKING:
    from tierkeep.cache._decorators import CacheDecorator, QueryCache
    from tierkeep.cache._invalidation import CacheEntry, CacheInvalidationManager, InvalidationStrategy
    from tierkeep.cache._levels import CacheBackend, CacheLevel, CacheStrategy, Found, MemoryCache, MultiLevelCache
    from tierkeep.cache._performance import (
        BenchmarkResult,
        CallTimes,
        PerformanceBenchmark,
        call_times,
        performance_monitor,
    )
    from tierkeep.cache._redis import RedisCache
    from tierkeep.cache._warmup import CacheWarmup, WarmupReport

__all__ = [
    "BenchmarkResult",
    "CacheBackend",
    "CacheDecorator",
    "CacheEntry",
    "CacheInvalidationManager",
    "CacheLevel",
    "CacheStrategy",
    "CacheWarmup",
    "Cached",
    "CachedStats",
    "CallTimes",
    "Found",
    "InvalidationStrategy",
    "MemoryCache",
    "MultiLevelCache",
    "PerformanceBenchmark",
    "QueryCache",
    "RedisCache",
    "WarmupReport",
    "cached",
    "call_times",
    "invalidate_tags",
    "performance_monitor",
]

_LATER = {
    "_decorators": ("CacheDecorator", "QueryCache"),
    "_invalidation": ("CacheEntry", "CacheInvalidationManager", "InvalidationStrategy"),
    "_levels": ("CacheBackend", "CacheLevel", "CacheStrategy", "Found", "MemoryCache", "MultiLevelCache"),
    "_performance": ("BenchmarkResult", "CallTimes", "PerformanceBenchmark", "call_times", "performance_monitor"),
    "_redis": ("RedisCache",),
    "_warmup": ("CacheWarmup", "WarmupReport"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            found = getattr(import_module(f"tierkeep.cache.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
