"""The folder of a run: never mixed up with the user's other files."""

from __future__ import annotations

from pathlib import Path

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE

RUN_FILES = (
    CONFIG_FILE,
    "agent.zip",
    "evaluation.csv",
    "evaluation.json",
    "judger.npz",
    "judger.png",
    "monitor.csv",
    "progress.csv",
    "events.out.tfevents.*",
)


def prepare_run(folder: Path, overwrite: bool) -> None:
    """
    Make a folder ready for a run. Of an earlier run the known files are deleted, so that no logs get mixed.

    :param folder: the folder, made where it is missing
    :param overwrite: whether an earlier run may be replaced
    :raises UsageError: when it is a file, cannot be written, has foreign files, or has a run that may not be replaced
    """
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / CONFIG_FILE).is_file():
            raise UsageError(f"--out {str(folder)!r} has other files in it; choose a new or empty folder")
        if not overwrite:
            raise UsageError(f"--out {str(folder)!r} holds an earlier run; choose a new folder, or add --overwrite")
        for pattern in RUN_FILES:
            for path in folder.glob(pattern):
                path.unlink()
    make_folder(folder)


def make_folder(folder: Path) -> None:
    """
    :param folder: the folder, made where it is missing
    :raises UsageError: when it is a file or cannot be made
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {str(folder)!r} cannot be made ({error.strerror}); choose another folder") from error
