"""Which runs may share a folder: those that one table can have."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE
from memory_agents.benchmarks.sequence.regression_tasks import TASKS as REGRESSIONS
from memory_agents.benchmarks.sequence.runs import SCORE_FILE
from memory_agents.sequence import task_registry

CHARACTERS = "characters"


def task_of(folder: Path) -> str | None:
    """
    :param folder: of a run
    :return: the command of ``memory-bench sequence`` that has begun it; None where it was none of these
    """
    try:
        words = shlex.split(json.loads((folder / CONFIG_FILE).read_text())["command"])[1:]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    # Results from before there was more than one task do not say "sequence".
    (task, *_) = [*(words[1:] if words[:1] == ["sequence"] else words), ""]
    return task if task in (CHARACTERS, *task_registry, *REGRESSIONS) else None


def check_folder(out: Path, task: str) -> None:
    """
    :param out: folder of runs, which need not exist
    :param task: the command of ``memory-bench sequence`` to add runs of
    :raises UsageError: when it has runs, finished or not, that its table cannot have
    """
    folders = {path.parent for path in out.glob(f"*/{CONFIG_FILE}")}
    if task not in REGRESSIONS:
        # Their tables look further down.
        folders |= {path.parent for path in out.rglob(SCORE_FILE)}
    together = {*task_registry} if task in task_registry else {task}
    if others := sorted({found for folder in folders if (found := task_of(folder))} - together):
        raise UsageError(
            f"--out {str(out)!r} has runs of {' and '.join(others)}, whose table is another; choose another folder"
        )
