"""Learning curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.evaluation import Anchors

STEPS, MEAN_RETURN = "time/total_timesteps", "rollout/ep_rew_mean"


def read_curve(folder: Path) -> tuple[list[int], list[float]]:
    """
    :param folder: a run's folder
    :return: environment steps, and the mean return of the last 100 episodes up to then while training
    :raises UsageError: when no episode ended while training, so that there is no curve
    """
    with (folder / "progress.csv").open(newline="") as file:
        # Until the first episode ends there is no mean to write.
        rows = [row for row in csv.DictReader(file) if row.get(STEPS) and row.get(MEAN_RETURN)]
    if not rows:
        raise UsageError(f"{folder} has no learning curve: no episode ended while training; leave this run out")
    return [int(row[STEPS]) for row in rows], [float(row[MEAN_RETURN]) for row in rows]


def plot_curves(runs: Mapping[str, Sequence[Path]], anchors: Anchors | None, title: str, path: Path) -> None:
    """
    Draw the return over steps in one picture, normalised where the anchors are known. Of several seeds the mean is
    drawn, and a band from the lowest to the highest.

    :param runs: folders of one or several seeds by the name that the curve gets
    :param anchors: the environment's known returns, drawn as lines
    :param title: heading
    :param path: where to write, a PNG file
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for name, folders in runs.items():
        plot_seeds(axes, name, [read_curve(folder) for folder in folders], anchors)
    if anchors is not None:
        for name, level in (("optimal", 1.0), ("memoryless", 0.0), ("random", anchors.normalize(anchors.random))):
            axes.axhline(level, color="grey", linestyle="--", linewidth=1)
            axes.annotate(name, (1.0, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="grey")
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return, last 100 episodes" + ("" if anchors is None else " (0 memoryless, 1 optimal)"))
    axes.legend(loc="best", fontsize="small")
    figure.savefig(path, dpi=150)


def plot_seeds(axes: Axes, name: str, curves: Sequence[tuple[list[int], list[float]]], anchors: Anchors | None) -> None:
    """
    Draw the mean of several curves, and a band from the lowest to the highest.

    :param axes: where to draw
    :param name: the mean's name in the legend
    :param curves: of every seed what :func:`read_curve` returned
    :param anchors: the environment's known returns, to normalise by
    """
    # Seeds may end their first episode in different rollouts: from the last of these on there is a mean over all.
    first = max(steps[0] for steps, _ in curves)
    grid = [step for step in max((steps for steps, _ in curves), key=len) if step >= first]
    returns = np.array([np.interp(grid, steps, values) for steps, values in curves])
    if anchors is not None:
        returns = anchors.normalize(returns)
    (line,) = axes.plot(grid, returns.mean(axis=0), label=name, linewidth=2)
    if len(curves) > 1:
        axes.fill_between(
            grid, returns.min(axis=0), returns.max(axis=0), color=line.get_color(), alpha=0.15, linewidth=0
        )
