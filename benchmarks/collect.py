"""One table from many runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, load_config
from memory_agents.benchmarks.tables import number

EVALUATION_FILE = "evaluation.json"
HEADINGS = ("environment", "agent", "seeds", "success rate, by seed", "normalised return, by seed", "steps", "seconds")


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


def collect(runs: Iterable[Path]) -> list[dict[str, Any]]:
    """
    :param runs: folders of finished runs
    :return: one row for each environment, agent and their arguments, over all seeds
    :raises UsageError: when a file is not what a run writes
    """
    groups: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
    for run in runs:
        config = load_config(run)
        env = config.env + _arguments(config.env_kwargs)
        agent = config.policy + _arguments(config.memory_kwargs)
        groups.setdefault((env, agent), []).append((config.seed, json.loads((run / EVALUATION_FILE).read_text())))
    return [_row(env, agent, sorted(found, key=lambda run: run[0])) for (env, agent), found in groups.items()]


def _arguments(kwargs: dict[str, Any]) -> str:
    return f" ({', '.join(f'{name}={json.dumps(value)}' for name, value in kwargs.items())})" if kwargs else ""


def _row(env: str, agent: str, found: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    evaluations = [evaluation for _, evaluation in found]
    return dict(
        zip(
            HEADINGS,
            (
                env,
                agent,
                ", ".join(str(seed) for seed, _ in found),
                ", ".join(number(evaluation["success_rate"], 2) for evaluation in evaluations),
                ", ".join(number(evaluation["normalized_return"], 2) for evaluation in evaluations),
                f"{max(evaluation['train_steps'] for evaluation in evaluations):,}",
                number(fmean(evaluation["train_seconds"] for evaluation in evaluations), 0),
            ),
            strict=True,
        )
    )


def markdown(rows: list[dict[str, Any]]) -> str:
    """
    :param rows: rows with equal keys
    :return: a Markdown table
    """
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
