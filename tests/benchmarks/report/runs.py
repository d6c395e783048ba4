"""Folders as runs leave them, without any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memory_agents.benchmarks.config import TrainingConfig, save_config
from memory_agents.benchmarks.progress import MEAN_RETURN, STEPS
from memory_agents.benchmarks.report.measures import ELAPSED, STATE_BYTES

ANCHORS = {"optimal": 1.0, "memoryless": 0.5, "random": 0.25}
TMAZE, REPEAT = "MemoryAgents/TMaze-v0", "MemoryAgents/RepeatFirst-v0"
ROLLOUT = 2_000


def begun(folder: Path, seed: int = 0, env: str = TMAZE, **arguments: Any) -> Path:
    """
    :param folder: where to write
    :param seed: the run's seed
    :param env: its environment
    :param arguments: its further arguments
    :return: the folder, with the run's arguments and nothing else
    """
    folder.mkdir(parents=True)
    save_config(TrainingConfig(env, seed=seed, **arguments), folder)
    return folder


def finished(
    folder: Path,
    score: float | None,
    seed: int = 0,
    env: str = TMAZE,
    curve: Sequence[float | None] | None = None,
    anchors: dict[str, float] | None = ANCHORS,
    evaluation: dict[str, Any] | None = None,
    **arguments: Any,
) -> Path:
    """
    :param folder: where to write
    :param score: normalised return; None of a run that broke off
    :param seed: the run's seed
    :param env: its environment
    :param curve: return of training episodes after each rollout; None before the first episode's end
    :param anchors: the environment's known returns
    :param evaluation: further figures
    :param arguments: further arguments
    :return: the folder of a finished run
    """
    begun(folder, seed, env, **arguments)
    returns = list(curve or [0.5, 0.5 if score is None else 0.5 + score / 2])
    figures = {
        "mean_return": None if score is None else 0.5 + score / 2,
        "normalized_return": None if anchors is None else score,
        "success_rate": score,
        "anchors": anchors,
        "train_steps": ROLLOUT * len(returns),
        "train_seconds": 4.0 * len(returns),
        "train_cpu_seconds": 3.0 * len(returns),
        "parameters": 1_234,
        **({"train_broken_off": True} if score is None else {}),
        **(evaluation or {}),
    }
    (folder / "evaluation.json").write_text(json.dumps(figures))
    rows = [
        f"{ROLLOUT * number},{'' if value is None else value},{4 * number},512.5"
        for number, value in enumerate(returns, start=1)
    ]
    (folder / "progress.csv").write_text("\n".join([f"{STEPS},{MEAN_RETURN},{ELAPSED},{STATE_BYTES}", *rows]))
    return folder


def sweep(folder: Path, seeds: int = 3) -> None:
    """
    Two agents on two tasks: one has learned, the other has not.

    :param folder: where to write
    :param seeds: how many of each
    """
    for env in (TMAZE, REPEAT):
        for seed in range(seeds):
            name = f"{env.rpartition('/')[2]}"
            rising = [None, *(0.5 + 0.05 * step + 0.004 * seed for step in range(11))]
            finished(folder / name / f"compressive-s{seed}", 0.96 + 0.01 * seed, seed, env, rising)
            flat = [0.5 + 0.01 * ((step + seed) % 3) for step in range(12)]
            finished(folder / name / f"memoryless-s{seed}", -0.02 * seed, seed, env, flat, policy="MlpPolicy")
