"""Pictures that the user names, whole whoever writes beside."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.curves import is_picture
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import check_file


def check_picture(option: str, path: Path) -> None:
    """
    :param option: name of the option, for the message
    :param path: a picture to write
    :raises UsageError: when it is a folder, or its name does not end as a picture's
    """
    check_file(option, path)
    if not is_picture(path):
        raise UsageError(f"{option} {str(path)!r} has no picture's ending; use {path.stem}.png")


def save_picture(figure: Figure, path: Path, dpi: int) -> None:
    """
    :param figure: what is drawn
    :param path: the file, in the format that its name ends with
    :param dpi: dots per inch
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format=path.suffix.lower().removeprefix("."))
    write_whole(path, buffer.getvalue())
