"""Where the command `tierkeep` lies that came with this package."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

__all__ = ["BinaryNotFound", "find"]


class BinaryNotFound(FileNotFoundError):
    """No binary `tierkeep` lies where one is looked for; the message names the places."""


def find() -> Path:
    """Returns the binary: what `TIERKEEP_BIN` names, else the wheel's, which lies in the interpreter's folder of
    scripts (also of an installation with `--user`), else the first on `PATH`.

    Raises:
        BinaryNotFound: if there is none, or `TIERKEEP_BIN` names no file.
    """
    named = os.environ.get("TIERKEEP_BIN")
    if named:
        if not os.path.isfile(named):
            raise BinaryNotFound(f"TIERKEEP_BIN names {named}, which is no file")
        return Path(named)
    name = "tierkeep" + (sysconfig.get_config_var("EXE") or "")
    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user")]
    for folder in folders:
        if os.path.isfile(os.path.join(folder, name)):
            return Path(folder, name)
    found = shutil.which(name)
    if found is None:
        raise BinaryNotFound(
            f"no binary `{name}` in {' or '.join(folders)}, nor on PATH; install the wheel, or set TIERKEEP_BIN"
        )
    return Path(found)
