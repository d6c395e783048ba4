"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

#: How the names of files end that are not whole yet.
TEMPORARY = ".tmp"


def write_whole(path: Path, content: str | bytes) -> None:
    """
    Write a file that nobody ever finds half-written, whenever the process is killed.

    :param path: the file, replaced where it exists
    :param content: what it shall hold; text as UTF-8
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            # Otherwise a machine that crashes may keep the new name and lose what belongs under it.
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
