"""The folder of a run: never mixed up with the user's other files."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE
from memory_agents.benchmarks.files import TEMPORARY

#: The traceback of a run that failed.
FAILURE_FILE = "failure.txt"
#: Agents saved during training.
CHECKPOINT_FOLDER = "checkpoints"
#: Who works in the folder: the lock, and the words that the others read.
LOCK_FILE, OWNER_FILE = "run.lock", "run.owner"
#: In the order in which an earlier run is deleted: whenever that is interrupted, what is left does not pass for a
#: finished run, and can be told to be of one.
RUN_FILES = (
    "evaluation.json",
    FAILURE_FILE,
    CHECKPOINT_FOLDER,
    "agent.zip",
    "episode.gif",
    "evaluation.csv",
    "inspector.html",
    "judger.npz",
    "judger.png",
    "monitor.csv",
    "pretraining-monitor.csv",
    "progress.csv",
    "events.out.tfevents.*",
    f"*{TEMPORARY}",
    CONFIG_FILE,
)


def check_run_folder(folder: Path, overwrite: bool) -> None:
    """
    :param folder: where a run shall be written; it may be missing
    :param overwrite: whether an earlier run may be replaced
    :raises UsageError: when it has foreign files, or has a run that may not be replaced
    """
    if not folder.is_dir():
        return
    # A run that was killed at once has left no more than these.
    found = [path for path in folder.iterdir() if path.name not in (LOCK_FILE, OWNER_FILE)]
    if all(path.suffix == TEMPORARY for path in found):
        return
    is_run = all(any(path.match(pattern) for pattern in RUN_FILES) for path in found)
    if not is_run and not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"--out {str(folder)!r} has other files in it; choose a new or empty folder")
    if not overwrite:
        raise UsageError(f"--out {str(folder)!r} holds an earlier run; choose a new folder, or add --overwrite")


def prepare_run(folder: Path, overwrite: bool) -> None:
    """
    Make a folder ready for a run. Of an earlier run the known files are deleted, so that no logs get mixed.

    :param folder: the folder, made where it is missing
    :param overwrite: whether an earlier run may be replaced
    :raises UsageError: when it is a file, cannot be written, has foreign files, or has a run that may not be replaced
    """
    check_run_folder(folder, overwrite)
    make_folder(folder)
    for pattern in RUN_FILES:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def check_file(option: str, path: Path) -> None:
    """
    :param option: name of the option, for the message
    :param path: a file to write
    :raises UsageError: when it is a folder
    """
    if path.is_dir():
        raise UsageError(f"{option} {str(path)!r} is a folder; name a file in it")


def check_free(file: Path) -> None:
    """
    :param file: where figures shall be written
    :raises UsageError: when it is a folder, or one of the files that a run itself has written
    """
    check_file("--out", file)
    if (file.parent / CONFIG_FILE).is_file() and any(fnmatch(file.name, pattern) for pattern in RUN_FILES):
        raise UsageError(
            f"--out {str(file)!r} is a file of the run itself, which would be lost; choose another name, as later.json"
        )


def make_folder(folder: Path) -> None:
    """
    :param folder: the folder, made where it is missing
    :raises UsageError: when it is a file or cannot be made
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {str(folder)!r} cannot be made ({error.strerror}); choose another folder") from error
