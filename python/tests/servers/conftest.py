"""Servers for the suite: those of the other suites, used here too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / suite) for suite in ("learning", "coherence"))

from learning_nodes import binary, new_node, redis  # noqa: F401
