"""Builds the distribution: maturin's extension, and beside it the binary `tierkeep`.

maturin packs either an extension or binaries, so this PEP 517 backend is maturin's with one step before a wheel is
made: the binary is built by Cargo and laid where maturin takes files from that are installed on `PATH`.

`TIERKEEP_BUILD_PROFILE` names another Cargo profile than `dist`, for both parts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import maturin
from maturin import (
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent

# Where maturin looks for what belongs to the module `tierkeep._core` but is no module.
DATA = ROOT / "tierkeep._core.data"


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Builds the binary, then the wheel that carries it, and returns the wheel's file name."""
    profile = os.environ.get("TIERKEEP_BUILD_PROFILE", "dist")
    settings = dict(config_settings or {})
    settings.setdefault("maturin.build-args", f"--profile {profile} --locked")
    with _packed(_binary(profile)):
        name: str = maturin.build_wheel(wheel_directory, settings, metadata_directory)
        return name


def _binary(profile: str) -> Path:
    """Builds the binary with a Cargo profile. Cargo itself tells where it lies: targets and folders can be set."""
    command = ["cargo", "build", "--locked", "--profile", profile, "--package", "tierkeep", "--bin", "tierkeep"]
    command.append("--message-format=json-render-diagnostics")
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "tierkeep":
            return Path(message["executable"])
    raise RuntimeError("cargo built no binary `tierkeep`")


@contextmanager
def _packed(binary: Path) -> Iterator[None]:
    """Lays the binary where maturin packs it, and takes it away again: `maturin develop` would install an old one."""
    scripts = DATA / "scripts"
    shutil.rmtree(DATA, ignore_errors=True)
    scripts.mkdir(parents=True)
    try:
        shutil.copy2(binary, scripts / binary.name)
        yield
    finally:
        shutil.rmtree(DATA, ignore_errors=True)
