"""Multi-level cache and learning statistics, with the work done in Rust."""

from tierkeep._core import __version__
from tierkeep.cache import cached

__all__ = ["__version__", "cached"]
