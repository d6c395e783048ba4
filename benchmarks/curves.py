"""Learning curves."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.evaluation import Anchors
from memory_agents.benchmarks.progress import read_curve

#: Characters of a name in the legend, beyond which it goes on in the next line, or does not fit between the curves.
LEGEND_WIDTH = 80
LONGEST_NAME_INSIDE = 30
#: Inches that a line of the legend and its share of the gaps between names take below the curves.
LINE_HEIGHT = 0.2


#: Ends of a band, (points,) each, from the returns of all seeds, (seeds, points).
Band = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def lowest_to_highest(returns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    :param returns: returns of all seeds, (seeds, points)
    :return: the lowest and the highest at every point, (points,) each
    """
    return returns.min(axis=0), returns.max(axis=0)


def is_picture(path: Path) -> bool:
    """
    :param path: a file to write
    :return: whether Matplotlib writes files with this ending
    """
    return path.suffix[1:].lower() in FigureCanvasBase.get_supported_filetypes()


def check_picture(path: Path) -> None:
    """
    :param path: a picture to be written
    :raises UsageError: when it is a folder, or Matplotlib does not write files with this ending
    """
    if not is_picture(path) or path.is_dir():
        raise UsageError(f"--out {str(path)!r} is no picture that can be written; name a file that ends in .png")


def plot_curves(runs: Mapping[str, Sequence[Path]], anchors: Anchors | None, title: str, path: Path) -> None:
    """
    Draw the return over steps in one picture, normalised where the anchors are known. Of several seeds the mean is
    drawn, and a band from the lowest to the highest.

    :param runs: folders of one or several seeds by the name that the curve gets
    :param anchors: the environment's known returns, drawn as lines
    :param title: heading
    :param path: where to write, a PNG file or another of Matplotlib's
    :raises UsageError: when a run has no curve, because no episode ended while training, or the path is no picture's
    """
    check_picture(path)
    curves = {name: [_read(folder) for folder in folders] for name, folders in runs.items()}
    names = [textwrap.wrap(name, LEGEND_WIDTH) for name in curves]
    inside = max(map(len, curves)) <= LONGEST_NAME_INSIDE
    below = 0.0 if inside else LINE_HEIGHT * sum(map(len, names))
    figure = Figure(figsize=(8, 4.8 + below), layout="constrained")
    axes = figure.subplots()
    for lines, seeds in zip(names, curves.values(), strict=True):
        plot_seeds(axes, "\n".join(lines), seeds, anchors)
    if anchors is not None:
        plot_anchors(axes, anchors)
    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return, last 100 episodes" + ("" if anchors is None else " (0 memoryless, 1 optimal)"))
    if inside:
        axes.legend(loc="best", fontsize="small")
    else:
        figure.legend(loc="outside lower center", fontsize="small")
    figure.savefig(path, dpi=150)


def plot_anchors(axes: Axes, anchors: Anchors, color: str = "grey", **text: Any) -> None:
    """
    Draw the normalised known returns as lines with their names.

    :param axes: where to draw
    :param anchors: the environment's known returns
    :param color: of lines and names
    :param text: how the names look, as ``fontsize``
    """
    levels = [(1.0, "optimal"), (0.0, "memoryless"), (anchors.normalize(anchors.random), "random")]
    for level, names in groupby(levels, key=lambda pair: round(pair[0], 2)):
        name = ", ".join(name for _, name in names)
        axes.axhline(level, color=color, linestyle="--", linewidth=1)
        axes.annotate(
            name, (1.0, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=color, **text
        )


def _read(folder: Path) -> tuple[list[int], list[float]]:
    steps, returns = read_curve(folder)
    if not steps:
        raise UsageError(f"{folder} has no learning curve: no episode ended while training; leave this run out")
    return steps, returns


def common_grid(
    curves: Sequence[tuple[Sequence[int], Sequence[float]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    :param curves: of every seed what :func:`read_curve` returned
    :return: the steps of the longest curve from where all have begun, (points,), and the returns of all there, (curves,
        points); the last return of a curve that ends sooner stands for what would come
    """
    # Seeds may end their first episode in different rollouts: from the last of these on there is a mean over all.
    first = max(steps[0] for steps, _ in curves)
    # Neither may one that was broken off set the end.
    longest = max((steps for steps, _ in curves), key=lambda steps: (steps[-1], len(steps)))
    grid = np.array([step for step in longest if step >= first], np.float64)
    return grid, np.array([np.interp(grid, steps, values) for steps, values in curves])


def plot_seeds(
    axes: Axes,
    name: str,
    curves: Sequence[tuple[list[int], list[float]]],
    anchors: Anchors | None,
    band: Band = lowest_to_highest,
    **style: Any,
) -> list[Artist]:
    """
    Draw the mean of several curves, and a band around it.

    :param axes: where to draw
    :param name: the mean's name in the legend
    :param curves: of every seed what :func:`read_curve` returned
    :param anchors: the environment's known returns, to normalise by
    :param band: lower and upper end of the band, from the returns (curves, points)
    :param style: how the line looks, as ``color`` or ``linestyle``
    :return: the line, and the band where there are several curves
    """
    grid, returns = common_grid(curves)
    if anchors is not None:
        returns = anchors.normalize(returns)
    # A line needs two points to be seen.
    marker = {"marker": "o"} if len(grid) == 1 else {}
    (line,) = axes.plot(grid, returns.mean(axis=0), label=name, **{"linewidth": 2, **marker, **style})
    if len(curves) == 1:
        return [line]
    return [line, axes.fill_between(grid, *band(returns), color=line.get_color(), alpha=0.15, linewidth=0)]
