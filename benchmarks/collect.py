"""One table from many runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import EVALUATION_FILE
from memory_agents.benchmarks.tables import number

HEADINGS = ("environment", "agent", "seeds", "success rate, by seed", "normalised return, by seed", "steps", "seconds")

#: Arguments and evaluation of a run.
Run = tuple[TrainingConfig, dict[str, Any]]


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """
    :param folders: folders to look through
    :return: folders of finished runs in and below them
    :raises UsageError: when there is none
    """
    roots = list(folders)
    runs = sorted(
        path.parent for root in roots for path in root.rglob(EVALUATION_FILE) if (path.parent / CONFIG_FILE).is_file()
    )
    if not runs:
        raise UsageError(f"no finished run in {', '.join(map(str, roots))}; train with memory-bench train --out FOLDER")
    return runs


def collect(runs: Iterable[Path]) -> list[tuple[str, ...]]:
    """
    :param runs: folders of finished runs
    :return: one row, as :data:`HEADINGS` names it, for all runs whose arguments differ in nothing but the seed
    :raises UsageError: when a file is not what a run writes
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        config = load_config(run)
        key = json.dumps(asdict(replace(config, seed=0)), sort_keys=True)
        groups.setdefault(key, []).append((config, json.loads((run / EVALUATION_FILE).read_text())))
    return [_row(sorted(group, key=lambda run: run[0].seed)) for group in groups.values()]


def _row(group: list[Run]) -> tuple[str, ...]:
    config = group[0][0]
    evaluations = [evaluation for _, evaluation in group]
    memory = {} if config.memory_class is None else {"memory_class": config.memory_class}
    return (
        config.env + _arguments(config.env_kwargs),
        config.policy + _arguments({**memory, **config.memory_kwargs}),
        ", ".join(str(config.seed) for config, _ in group),
        ", ".join(number(evaluation["success_rate"], 2) for evaluation in evaluations),
        ", ".join(number(evaluation["normalized_return"], 2) for evaluation in evaluations),
        f"{max(evaluation['train_steps'] for evaluation in evaluations):,}",
        number(fmean(evaluation["train_seconds"] for evaluation in evaluations), 0),
    )


def _arguments(kwargs: dict[str, Any]) -> str:
    return f" ({', '.join(f'{name}={json.dumps(value)}' for name, value in kwargs.items())})" if kwargs else ""


def markdown(rows: list[tuple[str, ...]]) -> str:
    """
    :param rows: rows of :func:`collect`
    :return: a Markdown table
    """
    return "\n".join(f"| {' | '.join(line)} |" for line in (HEADINGS, ("---",) * len(HEADINGS), *rows))
