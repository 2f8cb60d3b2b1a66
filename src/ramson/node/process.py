"""What this process uses of the machine: processor time, memory, files, room on the disk.

It asks the operating system and keeps nothing.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_FILES: Final = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """Use of the machine by this process since its start; sizes in bytes.

    `resident` and `open_files` are 0 where the system does not tell (they come from /proc).
    """

    cpu_seconds: float
    resident: int
    open_files: int
    max_files: int
    disk_free: int


def figures(directory: Path) -> ProcessFigures:
    """Look at this process, and at the disk that holds `directory`."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = files = free = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        resident = int(_STATM.read_text().split()[1]) * resource.getpagesize()
    with contextlib.suppress(OSError):
        files = len(os.listdir(_FILES))  # noqa: PTH208 - an iterator of paths would open a file more
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(directory).free
    max_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ProcessFigures(used.ru_utime + used.ru_stime, resident, files, max_files, free)
