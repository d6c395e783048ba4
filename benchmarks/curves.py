"""Learning curves."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.evaluation import Anchors
from memory_agents.benchmarks.progress import read_curve

#: Characters of a name in the legend, beyond which it goes on in the next line, or does not fit between the curves.
LEGEND_WIDTH = 80
LONGEST_NAME_INSIDE = 30


def plot_curves(runs: Mapping[str, Sequence[Path]], anchors: Anchors | None, title: str, path: Path) -> None:
    """
    Draw the return over steps in one picture, normalised where the anchors are known. Of several seeds the mean is
    drawn, and a band from the lowest to the highest.

    :param runs: folders of one or several seeds by the name that the curve gets
    :param anchors: the environment's known returns, drawn as lines
    :param title: heading
    :param path: where to write, a PNG file
    :raises UsageError: when a run has no curve, because no episode ended while training
    """
    curves = {name: [_read(folder) for folder in folders] for name, folders in runs.items()}
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for name, seeds in curves.items():
        plot_seeds(axes, textwrap.fill(name, LEGEND_WIDTH), seeds, anchors)
    if anchors is not None:
        levels = [(1.0, "optimal"), (0.0, "memoryless"), (anchors.normalize(anchors.random), "random")]
        for level, names in groupby(levels, key=lambda pair: round(pair[0], 2)):
            name = ", ".join(name for _, name in names)
            axes.axhline(level, color="grey", linestyle="--", linewidth=1)
            axes.annotate(name, (1.0, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="grey")
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return, last 100 episodes" + ("" if anchors is None else " (0 memoryless, 1 optimal)"))
    if max(map(len, runs)) <= LONGEST_NAME_INSIDE:
        axes.legend(loc="best", fontsize="small")
    else:
        figure.legend(loc="outside lower center", fontsize="small")
    figure.savefig(path, dpi=150)


def _read(folder: Path) -> tuple[list[int], list[float]]:
    steps, returns = read_curve(folder)
    if not steps:
        raise UsageError(f"{folder} has no learning curve: no episode ended while training; leave this run out")
    return steps, returns


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
