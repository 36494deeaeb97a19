"""Settings of the tests in this folder."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("tierkeep", deadline=None)
settings.load_profile("tierkeep")
