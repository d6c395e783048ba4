"""One run of a sweep, in whichever process it falls to."""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import EVALUATION_FILE
from memory_agents.benchmarks.output import check_run_folder, prepare_run
from memory_agents.benchmarks.run_lock import RunBusyError, hold
from memory_agents.benchmarks.training import note_failure, rehearse, train_in

#: What may become of a run: it was done, it had been done before, another process is at it, it ended by an error.
DONE, KEPT, BUSY, FAILED = "done", "kept", "busy", "failed"


@dataclass(frozen=True)
class Task:
    """
    A run as it is handed to another process.

    :param config: the run's arguments
    :param folder: where to write, an absolute path
    :param checkpoint_freq: environment steps between checkpoints; None: there are none
    :param search: where modules of the user's own are looked for, after all else
    """

    config: TrainingConfig
    folder: Path
    checkpoint_freq: int | None = None
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """
    :param folder: the run's folder
    :param status: what became of it
    :param message: the traceback where it failed, who is at it where it is busy
    """

    folder: Path
    status: str
    message: str = ""


def is_finished(folder: Path, config: TrainingConfig) -> bool:
    """
    :param folder: a run's folder, which may be missing
    :param config: the arguments that the run shall have
    :return: whether it holds this run, whole
    :raises UsageError: when it holds another one
    """
    # Files are written as a whole, the evaluation last, but may have been copied by halves.
    if "train_steps" not in _content(folder / EVALUATION_FILE) or "arguments" not in _content(folder / CONFIG_FILE):
        return False
    try:
        found = asdict(load_config(folder))
    except UsageError as error:
        raise UsageError(f"{error}; remove {folder} to have the run done anew, or choose another --out") from error
    # As text: a number that is none is not equal to itself.
    then, now = (
        {name: json.dumps(value, sort_keys=True) for name, value in run.items()} for run in (found, asdict(config))
    )
    other = [f"{name}={then[name]}, not {text}" for name, text in now.items() if then[name] != text]
    if other:
        raise UsageError(f"{folder} holds a run of other arguments ({other[0]}); choose another --out")
    return True


def _content(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty where there is none, or half of one."""
    try:
        content: Any = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def run_one(task: Task) -> Outcome:
    """
    Train and evaluate, unless the run is there already or another process is at it. A run that was begun and not
    finished starts anew: Stable-Baselines3's checkpoints keep neither the environments' states nor the generators', so
    that a run taken up from one would end elsewhere than an undisturbed run.

    :param task: the run
    :return: what became of it; whatever it raises is in there, too, and in its folder
    """
    for path in task.search:
        if path not in sys.path:
            sys.path.append(path)
    try:
        if is_finished(task.folder, task.config):
            return Outcome(task.folder, KEPT)
        check_run_folder(task.folder, overwrite=True)
        with hold(task.folder):
            # The one that held it until now may have finished it.
            if is_finished(task.folder, task.config):
                return Outcome(task.folder, KEPT)
            prepare_run(task.folder, overwrite=True)
            try:
                rehearse(task.config)
            except (Exception, SystemExit):
                note_failure(task.folder, task.config, traceback.format_exc())
                raise
            train_in(task.folder, task.config, checkpoint_freq=task.checkpoint_freq)
    except RunBusyError as error:
        return Outcome(task.folder, BUSY, str(error))
    # A run that wants to exit shall not take the worker along.
    except (Exception, SystemExit):
        return Outcome(task.folder, FAILED, traceback.format_exc())
    return Outcome(task.folder, DONE)


def lost(task: Task, reason: str) -> Outcome:
    """
    Write down, in the place of a process that cannot do it any more, that its run failed.

    :param task: the run
    :param reason: how the process ended
    :return: what became of the run
    """
    # The folder may be what the process was refused for, or another one may be at the run by now.
    with suppress(UsageError, OSError):
        check_run_folder(task.folder, overwrite=True)
        with hold(task.folder):
            if not is_finished(task.folder, task.config):
                note_failure(task.folder, task.config, reason)
    return Outcome(task.folder, FAILED, reason)
