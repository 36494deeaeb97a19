"""The wheel and the source distribution themselves; scripts/test-python names the wheel in `TIERKEEP_WHEEL`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import tierkeep

ROOT = Path(__file__).resolve().parents[3]

# Largest wheel, in bytes.
WHEEL_BYTES = 25_000_000


@pytest.fixture(scope="module")
def wheel() -> Path:
    return Path(os.environ["TIERKEEP_WHEEL"])


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_what_is_tested_is_what_was_installed_not_the_checkout() -> None:
    assert ROOT not in Path(tierkeep.__file__).resolve().parents


def test_wheel_is_small_enough(wheel: Path) -> None:
    assert wheel.stat().st_size < WHEEL_BYTES


def test_wheel_is_for_every_cpython_from_3_10(wheel: Path) -> None:
    assert "-cp310-abi3-" in wheel.name


def test_wheel_has_extension_types_and_command(names: set[str]) -> None:
    assert "tierkeep/_core.abi3.so" in names
    assert "tierkeep/py.typed" in names
    assert "tierkeep/_core.pyi" in names
    assert f"tierkeep-{tierkeep.__version__}.data/scripts/tierkeep" in names


def test_wheel_has_every_module_of_the_sources_and_nothing_else(names: set[str]) -> None:
    sources = subprocess.run(
        ["git", "ls-files", "python/tierkeep"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    packed = {name for name in names if name.startswith("tierkeep/") and not name.endswith(".so")}

    assert packed == {name.removeprefix("python/") for name in sources}


def test_every_module_of_the_wheel_is_installed_with_its_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(f"tierkeep-{tierkeep.__version__}.dist-info/entry_points.txt").decode()
        metadata = Parser().parsestr(archive.read(f"tierkeep-{tierkeep.__version__}.dist-info/METADATA").decode())

    assert "tierkeep.multilevel=tierkeep.dogpile:MultiLevelBackend" in entry_points.replace(" ", "")
    assert metadata["Requires-Python"] == ">=3.10"
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert needed == []


def test_command_of_the_wheel_asks_for_no_newer_glibc_than_the_archive_may(wheel: Path) -> None:
    newest = re.search(r"GLIBC: \(u32, u32\) = \((\d+), (\d+)\)", (ROOT / "xtask/src/dist.rs").read_text())
    assert newest is not None
    limit = (int(newest[1]), int(newest[2]))

    for name in (f"tierkeep-{tierkeep.__version__}.data/scripts/tierkeep", "tierkeep/_core.abi3.so"):
        with zipfile.ZipFile(wheel) as archive:
            asked = re.findall(rb"GLIBC_(\d+)\.(\d+)", archive.read(name))
        assert asked, name
        assert max((int(major), int(minor)) for major, minor in asked) <= limit, name


def test_command_is_on_the_path_of_the_environment() -> None:
    command = Path(sys.executable).parent / "tierkeep"

    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.split() == ["tierkeep", tierkeep.__version__]


def test_source_distribution_is_the_tree_of_git(tmp_path: Path) -> None:
    # A wheel made from it is then the wheel made from the tree, which the other tests are about.
    code = f"import backend; print(backend.build_sdist({str(tmp_path)!r}))"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "packaging"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        check=True,
        capture_output=True,
        timeout=120,
    )
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tree = set(tracked.stdout.splitlines())

    with tarfile.open(tmp_path / f"tierkeep-{tierkeep.__version__}.tar.gz") as archive:
        files = {member.name.split("/", 1)[1]: member for member in archive if member.isfile() or member.issym()}
        for name in ("Cargo.toml", "pyproject.toml", "crates/tierkeep/Cargo.toml"):
            member = archive.extractfile(files[name])
            assert member is not None
            assert member.read() == (ROOT / name).read_bytes(), name

    assert tree - set(files) == set()
    assert set(files) - tree == {"PKG-INFO"}
