"""Bytes of memory that this process has, and has had."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def memory_now() -> float:
    """
    :return: bytes in memory; where the system tells the most only, as that of macOS, that
    :raises OSError: where the system tells neither, as Windows
    """
    return _told("VmRSS")


def most_memory() -> float:
    """
    :return: the most bytes in memory since the program began
    :raises OSError: where the system does not tell, as Windows
    """
    return _told("VmHWM")


def _told(name: str) -> float:
    # Not getrusage() first, whose peak on Linux begins with that of the process that started this one.
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    for line in lines:
        if line.startswith(f"{name}:"):
            return 1024 * float(line.split()[1])
    if sys.platform == "win32":
        raise OSError("Windows does not tell a process's memory in a way that Python knows")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
