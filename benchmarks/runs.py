"""Finished runs, read from their folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, SCRIPTED, TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import EVALUATION_FILE


@dataclass(frozen=True)
class Run:
    """
    A finished run.

    :param folder: where its files are
    :param config: its arguments; of an evaluation after the run those of the evaluation
    :param evaluation: the content of its ``evaluation.json``; of an evaluation after the run that of its file, and of
        ``evaluation.json`` what that does not tell
    :param training: the run as it was trained, where the evaluation came after it (None: it is this one)
    """

    folder: Path
    config: TrainingConfig
    evaluation: dict[str, Any]
    training: Run | None = None

    @property
    def trained(self) -> Run:
        """The run with the arguments and the evaluation of its training, which ``progress.csv`` goes with."""
        return self.training or self


def find_runs(folders: Iterable[Path], evaluation: str = EVALUATION_FILE) -> list[Path]:
    """
    :param folders: folders to look through; one may lie in another
    :param evaluation: name of the file with the evaluation
    :return: folders of finished runs in and below them, each of them once
    :raises UsageError: when there is none
    """
    roots = list(folders)
    found = sorted(
        path.parent for root in roots for path in root.rglob(evaluation) if (path.parent / CONFIG_FILE).is_file()
    )
    if not found:
        mend = "train --out FOLDER" if evaluation == EVALUATION_FILE else f"evaluate RUN --out RUN/{evaluation}"
        where = ", ".join(map(str, roots))
        raise UsageError(f"no finished run with {evaluation} in {where}; use memory-bench {mend}")
    runs: dict[Path, Path] = {}
    for folder in found:
        runs.setdefault(folder.resolve(), folder)
    return list(runs.values())


def read_runs(runs: Iterable[Path], evaluation: str = EVALUATION_FILE) -> list[Run]:
    """
    :param runs: folders of finished runs
    :param evaluation: name of the file with the evaluation, which may be one of ``memory-bench evaluate``
    :return: what they were and what came out
    :raises UsageError: when a file is not what a run writes
    """
    return [_read_run(folder, folder / evaluation) for folder in runs]


def _read_run(folder: Path, file: Path) -> Run:
    evaluation = read_evaluation(file)
    if file.name == EVALUATION_FILE:
        if "train_steps" not in evaluation:
            raise UsageError(
                f"{file} is not the evaluation of a training run (it has no train_steps); leave this run out, or train "
                "it anew"
            )
        return Run(folder, load_config(folder), evaluation)
    # Evaluations after the run tell where they took place, and nothing of the training.
    try:
        config = TrainingConfig(**evaluation["arguments"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"{file} is not of memory-bench evaluate ({error})") from error
    training = _read_run(folder, folder / EVALUATION_FILE)
    return Run(folder, config, {**training.evaluation, **evaluation}, training)


def read_evaluation(path: Path) -> dict[str, Any]:
    """
    :param path: ``evaluation.json``, or the file of an evaluation after the run
    :return: its content
    :raises UsageError: when it is another file
    """
    try:
        evaluation: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not the evaluation of a training run ({error})") from error
    if not isinstance(evaluation, dict):
        raise UsageError(f"{path} is not the evaluation of a training run (it holds no JSON object)")
    return evaluation


def learners(runs: Iterable[Run]) -> list[Run]:
    """
    :param runs: runs
    :return: those of agents that learn, which have learning curves
    :raises UsageError: when all are of scripted players
    """
    found = [run for run in runs if run.config.algorithm != SCRIPTED]
    if not found:
        raise UsageError("all of the runs are of scripted players, who learn nothing; choose folders with other runs")
    return found


def group_by_seed(runs: Iterable[Run]) -> list[list[Run]]:
    """
    :param runs: runs
    :return: groups of those whose arguments, of training and of evaluation, differ in nothing but the seed, each
        ordered by seed
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        arguments = [asdict(replace(each.config, seed=0)) for each in (run, run.trained)]
        groups.setdefault(json.dumps(arguments, sort_keys=True), []).append(run)
    return [sorted(group, key=lambda run: run.config.seed) for group in groups.values()]
