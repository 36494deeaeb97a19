"""What was read, when, and whether it was too old."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class Read(NamedTuple):
    """A read; moments are nanoseconds of CLOCK_MONOTONIC, which all processes share."""

    machine: int
    key: int
    begin: int
    end: int
    version: int
    source: str


class Written(NamedTuple):
    """An invalidation that has returned: of the version of a key that was committed before it."""

    key: int
    returned: int
    version: int


class Violation(NamedTuple):
    read: Read
    #: The version that had to be seen.
    due: int
    #: How long that had been so when the read began, in seconds.
    late: float


def violations(reads: Iterable[Read], writes: Iterable[Written], bounds: dict[int, float]) -> list[Violation]:
    """Reads that gave a version from before an invalidation which had returned more than the machine's bound earlier.

    Bounds are in seconds. Versions of a key only grow, and so do the moments at which their invalidations returned.
    """
    moments: dict[int, list[int]] = {}
    versions: dict[int, list[int]] = {}
    for write in sorted(writes, key=lambda write: write.returned):
        moments.setdefault(write.key, []).append(write.returned)
        versions.setdefault(write.key, []).append(write.version)
    found = []
    for read in reads:
        latest = read.begin - int(bounds[read.machine] * 1e9)
        count = bisect_right(moments.get(read.key, []), latest)
        if count and versions[read.key][count - 1] > read.version:
            # The first one that this read should have seen and did not.
            first = bisect_right(versions[read.key], read.version)
            late = (read.begin - moments[read.key][first]) / 1e9
            found.append(Violation(read, versions[read.key][count - 1], late))
    return found
