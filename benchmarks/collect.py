"""Many runs as one table, one file, or groups of seeds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import EVALUATION_FILE
from memory_agents.benchmarks.tables import number

HEADINGS = (
    "environment",
    "agent",
    "seeds",
    "success rate, by seed",
    "return, by seed",
    "normalised return, by seed",
    "steps",
    "CPU seconds",
)


@dataclass(frozen=True)
class Run:
    """
    A finished run.

    :param folder: where its files are
    :param config: its arguments
    :param evaluation: the content of its ``evaluation.json``
    """

    folder: Path
    config: TrainingConfig
    evaluation: dict[str, Any]


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


def read_runs(runs: Iterable[Path]) -> list[Run]:
    """
    :param runs: folders of finished runs
    :return: what they were and what came out
    :raises UsageError: when a file is not what a run writes
    """
    return [Run(folder, load_config(folder), _read_evaluation(folder / EVALUATION_FILE)) for folder in runs]


def _read_evaluation(path: Path) -> dict[str, Any]:
    try:
        evaluation: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not the evaluation of a training run ({error})") from error
    return evaluation


def group_by_seed(runs: Iterable[Run]) -> list[list[Run]]:
    """
    :param runs: runs
    :return: groups of those whose arguments differ in nothing but the seed, each ordered by seed
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps(asdict(replace(run.config, seed=0)), sort_keys=True)
        groups.setdefault(key, []).append(run)
    return [sorted(group, key=lambda run: run.config.seed) for group in groups.values()]


def collect(runs: Iterable[Run]) -> list[tuple[str, ...]]:
    """
    :param runs: runs
    :return: one row, as :data:`HEADINGS` names it, for all runs whose arguments differ in nothing but the seed
    """
    return [_row(group) for group in group_by_seed(runs)]


def labels(groups: Iterable[list[Run]]) -> list[str]:
    """
    :param groups: groups of :func:`group_by_seed`
    :return: of each group those of its arguments in which the groups differ, or "default" where it sets none of them;
        "all" of a single group
    """
    flat = [_flatten({**asdict(group[0].config), "seed": None}) for group in groups]
    names = list(dict.fromkeys(name for arguments in flat for name in arguments))
    # What is left out is not null: that may be another value than the default.
    told = [name for name in names if len({json.dumps(arguments.get(name, "left out")) for arguments in flat}) > 1]
    return [
        ", ".join(f"{name.rpartition('.')[2]}={arguments[name]}" for name in told if name in arguments)
        or ("default" if told else "all")
        for arguments in flat
    ]


def _flatten(arguments: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        flat.update(_flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return flat


def save_csv(runs: Iterable[Run], path: Path) -> None:
    """
    Write one line per run: its arguments, then the summary of its evaluation.

    :param runs: runs
    :param path: where to write
    """
    rows = []
    for run in runs:
        arguments = {
            name: json.dumps(value) if isinstance(value, dict) else value for name, value in asdict(run.config).items()
        }
        figures = {name: value for name, value in run.evaluation.items() if not isinstance(value, dict)}
        rows.append({**arguments, **figures, **(run.evaluation.get("anchors") or {})})
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _row(group: list[Run]) -> tuple[str, ...]:
    config = group[0].config
    evaluations = [run.evaluation for run in group]
    memory = {} if config.memory_class is None else {"memory_class": config.memory_class}
    reward = {"normalize_reward": True} if config.normalize_reward else {}
    return (
        config.env + _arguments(config.env_kwargs),
        config.policy + _arguments({**memory, **config.memory_kwargs, **config.algorithm_kwargs, **reward}),
        ", ".join(str(run.config.seed) for run in group),
        *(_by_seed(evaluations, name) for name in ("success_rate", "mean_return", "normalized_return")),
        f"{max(evaluation['train_steps'] for evaluation in evaluations):,}",
        _mean_cpu_seconds(evaluations),
    )


def _mean_cpu_seconds(evaluations: list[dict[str, Any]]) -> str:
    # Runs of earlier versions do not tell.
    seconds = [evaluation["train_cpu_seconds"] for evaluation in evaluations if "train_cpu_seconds" in evaluation]
    return number(fmean(seconds) if len(seconds) == len(evaluations) else None, 0)


def _by_seed(evaluations: list[dict[str, Any]], name: str) -> str:
    values = [evaluation[name] for evaluation in evaluations]
    return "-" if values == [None] * len(values) else ", ".join(number(value, 2) for value in values)


def _arguments(kwargs: dict[str, Any]) -> str:
    return f" ({', '.join(f'{name}={json.dumps(value)}' for name, value in kwargs.items())})" if kwargs else ""


def markdown(rows: list[tuple[str, ...]]) -> str:
    """
    :param rows: rows of :func:`collect`
    :return: a Markdown table
    """
    return "\n".join(f"| {' | '.join(line)} |" for line in (HEADINGS, ("---",) * len(HEADINGS), *rows))
