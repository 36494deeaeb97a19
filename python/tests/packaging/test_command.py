"""The command that comes with the package, and what importing the package costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tierkeep
from tierkeep._binary import BinaryNotFound, find

# Longest import of `tierkeep` and `tierkeep.cache`, in milliseconds of CPU, beyond starting the interpreter.
IMPORT_MS = 50

# Rounds of which the best counts: other work on the machine only ever adds.
ROUNDS = 7


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def test_module_runs_the_command_of_the_same_version() -> None:
    done = run("-m", "tierkeep", "--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["tierkeep", tierkeep.__version__]


def test_exit_code_of_the_command_is_kept() -> None:
    done = run("-m", "tierkeep", "no-such-command")

    assert done.returncode == 2
    assert "no-such-command" in done.stderr


def test_binary_that_is_named_but_absent_is_an_error_that_names_it(tmp_path: Path) -> None:
    done = run("-m", "tierkeep", "--version", TIERKEEP_BIN=str(tmp_path / "absent"))

    assert done.returncode == 1
    assert str(tmp_path / "absent") in done.stderr


def test_binary_is_found_on_path_when_no_folder_of_scripts_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "tierkeep"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    monkeypatch.delenv("TIERKEEP_BIN", raising=False)
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find() == stand_in

    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(BinaryNotFound, match="TIERKEEP_BIN"):
        find()


def test_import_is_quick() -> None:
    code = "import time; a = time.process_time(); import tierkeep, tierkeep.cache; print(time.process_time() - a)"

    best = min(float(run("-c", code).stdout) for _ in range(ROUNDS))

    assert best * 1000 < IMPORT_MS


def test_import_brings_in_no_framework_and_no_event_loop() -> None:
    code = "import sys, tierkeep, tierkeep.cache; print(*sys.modules)"

    loaded = set(run("-c", code).stdout.split())

    assert "tierkeep.cache" in loaded
    assert loaded.isdisjoint({"django", "sqlalchemy", "dogpile", "redis", "celery", "asyncio"})
