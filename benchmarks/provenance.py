"""Which code a run was made by."""

from __future__ import annotations

import hashlib
import inspect
import subprocess
import sys
from functools import cache
from pathlib import Path


@cache
def commit() -> str | None:
    """
    :return: the commit of the checkout that this library runs from, with ``+changes`` where files differ from it; None
        where it was installed without one
    """
    file = Path(__file__).resolve()
    # The folder may lie in a repository of the user's that does not know it.
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    head = _git(file.parent, "rev-parse", "HEAD")
    changed = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
    return head if not changed else f"{head}+changes"


def _git(folder: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def source_hashes(*names: str) -> dict[str, str]:
    """
    :param names: what may be ``module:name``; the modules have been imported
    :return: of each module that was named its file's SHA-256, by the module
    """
    found = {}
    for name in names:
        module, colon, _ = name.partition(":")
        if colon and module in sys.modules:
            file = inspect.getsourcefile(sys.modules[module])
            if file is not None and Path(file).is_file():
                found[module] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return found
