"""Figures of a report. Names of agents stand in legends, or in the page that a figure is put into."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from memory_agents.benchmarks.curves import common_grid, plot_anchors, plot_seeds
from memory_agents.benchmarks.report import measures, statistics
from memory_agents.benchmarks.report.palette import dash, light, series
from memory_agents.benchmarks.report.statistics import Estimate
from memory_agents.benchmarks.report.study import Comparison, Task

#: Inches; a figure this wide fits a phone without getting too small to read.
WIDTH, HEIGHT = 4.2, 2.9
FONT_SIZE = 8
#: Points of curves that many tasks share.
SHARED_POINTS = 60


@dataclass(frozen=True)
class Picture:
    """
    :param name: name of its files
    :param alt: what it shows, for those who cannot see it
    :param figure: the figure, with a legend where there are several names
    :param bare_height: its height in inches without the legend
    """

    name: str
    alt: str
    figure: Figure
    bare_height: float


def curve_picture(comparison: Comparison, task: Task, name: str) -> Picture | None:
    """
    Learning curves on one task: means over seeds, with bands from the bootstrap.

    :param comparison: the agents
    :param task: the task
    :param name: name of its files
    :return: the picture; None where no run has a curve
    """
    curves = {
        index: found
        for index, agent in enumerate(comparison.agents)
        if (found := [line for run in comparison.cells[agent, task.name] if (line := measures.curve(run))])
    }
    if not curves:
        return None

    figure, axes = _empty(task.name)
    for index, lines in curves.items():
        _mark(
            plot_seeds(axes, comparison.agents[index], lines, task.anchors, _interval_of_mean, **line_style(index)),
            index,
        )
    if task.anchors is not None:
        plot_anchors(axes, task.anchors, light("muted"), fontsize=FONT_SIZE - 1)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return" if task.anchors is None else "normalised return")
    axes.xaxis.set_major_formatter(FuncFormatter(_steps))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    finals = ", ".join(
        f"{comparison.agents[index]} ends at {_last(lines, task):.2f}" for index, lines in curves.items()
    )
    alt = f"Learning curves on {task.name}, mean of training returns over seeds: {finals}."
    return _with_legend(name, alt, figure, axes)


def _last(lines: Sequence[tuple[list[int], list[float]]], task: Task) -> float:
    value = float(np.mean([returns[-1] for _, returns in lines]))
    return value if task.anchors is None else task.anchors.normalize(value)


def efficiency_picture(comparison: Comparison, name: str) -> Picture | None:
    """
    One learning curve per agent over all tasks: the interquartile mean of normalised training returns at equal shares
    of each task's budget.

    :param comparison: the agents and tasks
    :param name: name of its files
    :return: the picture; None where there are fewer than two tasks with normalised curves of all agents
    """
    indices = [index for index, agent in enumerate(comparison.agents) if agent in comparison.learners]
    agents = [comparison.agents[index] for index in indices]
    tasks = [task for task in comparison.scored_tasks if _normalised_curves(comparison, agents, task)]
    if len(tasks) < 2:
        return None
    grids = [found for task in tasks if (found := _normalised_curves(comparison, agents, task))]
    begin = max(shares[0] for by_agent in grids for shares, _ in by_agent)
    at = np.linspace(begin, 1, SHARED_POINTS)
    estimates = []
    for position in range(len(agents)):
        shared = [
            np.array([np.interp(at, shares, line) for line in returns]).T
            for shares, returns in (by_agent[position] for by_agent in grids)
        ]
        estimates.append(statistics.bands(statistics.interquartile_mean, shared))

    figure, axes = _empty(f"All {len(tasks)} tasks: interquartile mean while training")
    for index, (value, low, high) in zip(indices, estimates, strict=True):
        (line,) = axes.plot(at, value, label=comparison.agents[index], **line_style(index))
        band = axes.fill_between(at, low, high, color=light(series(index)), alpha=0.15, linewidth=0)
        _mark([line, band], index)
    axes.set_xlabel("share of the training budget")
    axes.set_ylabel("normalised return")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    finals = ", ".join(
        f"{agent} ends at {value[-1]:.2f}" for agent, (value, _, _) in zip(agents, estimates, strict=True)
    )
    alt = f"Interquartile mean of normalised training returns over {len(tasks)} tasks by share of the budget: {finals}."
    return _with_legend(name, alt, figure, axes)


def _normalised_curves(
    comparison: Comparison, agents: Sequence[str], task: Task
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each agent shares of the budget, and its normalised returns there; nothing where one has none."""
    assert task.anchors is not None
    found = []
    for agent in agents:
        curves = [curve for run in comparison.cells[agent, task.name] if (curve := measures.curve(run))]
        if not curves:
            return []
        found.append(common_grid(curves))
    # All agents of a task have its budget; whoever was broken off has not used all of it.
    budget = max(grid[-1] for grid, _ in found)
    return [(grid / budget, task.anchors.normalize(returns)) for grid, returns in found]


def interval_picture(
    title: str, axis: str, rows: Sequence[tuple[int, str, Estimate]], name: str, guide: float | None = None
) -> Picture:
    """
    Figures with their intervals, one below the other, each under its name.

    :param title: heading
    :param axis: what the figures are
    :param rows: for each the number of the agent whose colour it has, its name, and the figure
    :param name: name of its files
    :param guide: where to draw a line
    :return: the picture
    """
    names = [textwrap.fill(label, 62) for _, label, _ in rows]
    heights = [0.9 + label.count("\n") * 0.42 for label in names]
    figure = Figure(figsize=(WIDTH, 0.75 + 0.36 * sum(heights)), layout="constrained")
    axes = figure.subplots()
    dress(axes, title)
    top = 0.0
    for (index, _, estimate), label, height in zip(rows, names, heights, strict=True):
        y = top - height + 0.28
        color = light(series(index))
        drawn: list[Artist] = []
        if estimate.low is not None and estimate.high is not None:
            drawn += axes.plot(
                [estimate.low, estimate.high], [y, y], color=color, linewidth=5, alpha=0.35, solid_capstyle="butt"
            )
        drawn += axes.plot([estimate.value], [y], color=color, marker="o", markersize=5)
        drawn.append(
            axes.text(0, y + 0.22, label, transform=axes.get_yaxis_transform(), fontsize=FONT_SIZE - 0.5,
                      color=light("ink"), va="bottom", linespacing=1.05)
        )  # fmt: skip
        _mark(drawn, index)
        top -= height
    if guide is not None:
        axes.axvline(guide, color=light("rule"), linewidth=2, zorder=0)
    axes.set_ylim(top - 0.1, 0.1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(axis)
    values = "; ".join(f"{label} {_told(estimate)}" for _, label, estimate in rows)
    return Picture(name, f"{title}, with 95 % intervals: {values}.", figure, figure.get_figheight())


def _told(estimate: Estimate) -> str:
    between = "" if estimate.low is None else f" ({estimate.low:.2f} to {estimate.high:.2f})"
    return f"{estimate.value:.2f}{between}"


def _interval_of_mean(returns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return statistics.bands(statistics.mean, [returns.T])[1:]


def _empty(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    dress(axes, title)
    return figure, axes


def dress(axes: Axes, title: str) -> None:
    """
    Give axes the look of all figures here.

    :param axes: the axes
    :param title: their heading
    """
    axes.set_title(textwrap.fill(title, 56), loc="left", fontsize=FONT_SIZE + 0.5, color=light("ink"))
    axes.patch.set_visible(False)
    axes.tick_params(labelsize=FONT_SIZE, color=light("rule"), labelcolor=light("muted"), length=3)
    axes.xaxis.label.set(fontsize=FONT_SIZE, color=light("muted"))
    axes.yaxis.label.set(fontsize=FONT_SIZE, color=light("muted"))
    axes.grid(True, color=light("rule"), linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(light("rule"))


def _with_legend(name: str, alt: str, figure: Figure, axes: Axes) -> Picture:
    handles, labels = axes.get_legend_handles_labels()
    entries = [textwrap.fill(label, 70) for label in labels]
    figure.set_figheight(HEIGHT + 0.16 * sum(entry.count("\n") + 1 for entry in entries))
    figure.legend(handles, entries, loc="outside lower left", fontsize=FONT_SIZE - 1, frameon=False)
    return Picture(name, alt, figure, HEIGHT)


def line_style(index: int) -> dict[str, Any]:
    """
    :param index: number of an agent
    :return: how its lines look
    """
    return dict(color=light(series(index)), linestyle=dash(index), linewidth=1.6)


def _mark(artists: Sequence[Artist], index: int) -> None:
    # A page hides an agent by this.
    for artist in artists:
        artist.set_gid(f"series-{index}")


def _steps(value: float, _: Any) -> str:
    return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1000:g}k" if value else "0"
