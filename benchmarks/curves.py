"""Learning curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from memory_agents.benchmarks.evaluation import Anchors

STEPS, MEAN_RETURN = "time/total_timesteps", "rollout/ep_rew_mean"


def read_curve(folder: Path) -> tuple[list[int], list[float]]:
    """
    :param folder: a run's folder
    :return: environment steps, and the mean return of the last 100 episodes up to then while training
    """
    with (folder / "progress.csv").open(newline="") as file:
        # Until the first episode ends there is no mean to write.
        rows = [row for row in csv.DictReader(file) if row.get(STEPS) and row.get(MEAN_RETURN)]
    return [int(row[STEPS]) for row in rows], [float(row[MEAN_RETURN]) for row in rows]


def plot_curves(runs: Mapping[str, Path], anchors: Anchors | None, title: str, path: Path) -> None:
    """
    Draw the return over steps of several runs in one picture, normalised where the anchors are known.

    :param runs: folders by the name that the curve gets
    :param anchors: the environment's known returns, drawn as lines
    :param title: heading
    :param path: where to write, a PNG file
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for name, folder in runs.items():
        steps, returns = read_curve(folder)
        axes.plot(steps, [r if anchors is None else anchors.normalize(r) for r in returns], label=name, linewidth=2)
    if anchors is not None:
        for name, level in (("optimal", 1.0), ("memoryless", 0.0), ("random", anchors.normalize(anchors.random))):
            axes.axhline(level, color="grey", linestyle="--", linewidth=1)
            axes.annotate(name, (1.0, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="grey")
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return, last 100 episodes" + ("" if anchors is None else " (0 memoryless, 1 optimal)"))
    axes.legend(loc="center right")
    figure.savefig(path, dpi=150)
