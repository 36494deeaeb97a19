"""`python -m tierkeep`: the command `tierkeep` of this installation, whatever `PATH` says."""

from __future__ import annotations

import os
import subprocess
import sys

from tierkeep._binary import BinaryNotFound, find


def main() -> int:
    """Becomes the binary, with the same arguments; returns only where a process cannot become another one."""
    try:
        binary = find()
    except BinaryNotFound as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    arguments = [str(binary), *sys.argv[1:]]
    if os.name == "nt":
        return subprocess.run(arguments, check=False).returncode
    os.execv(binary, arguments)


if __name__ == "__main__":
    sys.exit(main())
