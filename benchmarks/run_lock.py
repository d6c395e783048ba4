"""One process at a time in a run's folder."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import LOCK_FILE, OWNER_FILE, make_folder


class RunBusyError(UsageError):
    """Another process works in a run's folder."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """
    Keep all other processes out of a run's folder, also those of other machines that share it. It is the operating
    system that knows who holds the lock: one whose process has died, however it died, is free at once, and the file
    that is left behind means nothing. Who holds it stands in ``run.owner`` for others to read.

    :param folder: the run's folder, made where it is missing
    :raises RunBusyError: when another process holds it; the message says which
    :raises UsageError: when the folder cannot be made
    """
    make_folder(folder)
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    owner = folder / OWNER_FILE
    try:
        lock.acquire()
    except Timeout:
        raise RunBusyError(
            f"--out {str(folder)!r} is in use by {_read_owner(owner)}; wait for it, or stop it"
        ) from None
    try:
        write_whole(owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}) + "\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _read_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        # It was written a moment ago, or is about to be.
        return "another process"
