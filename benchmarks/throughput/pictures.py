"""How speed scales, as pictures."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from memory_agents.benchmarks.report.figures import FONT_SIZE, HEIGHT, WIDTH, Picture, dress, line_style
from memory_agents.benchmarks.throughput.measurement import Measurement, written
from memory_agents.benchmarks.throughput.results import Measured


@dataclass(frozen=True)
class Panel:
    """
    :param title: what is drawn
    :param unit: of what
    :param value: where it is found
    """

    title: str
    unit: str
    value: Callable[[Measurement], float]


LEGEND_COLUMNS = 4
_LEGEND: dict[str, Any] = dict(loc="outside lower left", fontsize=FONT_SIZE - 1, frameon=False, ncols=LEGEND_COLUMNS)
PANELS = (
    Panel("Acting, all environments", "ms/step", lambda each: statistics.median(each.acting_ms)),
    Panel("Learning", "µs/transition", lambda each: each.learning_us),
    Panel("End to end", "steps/s", lambda each: each.steps_per_second),
)


def scaling_picture(group: Measured, name: str) -> Picture:
    """
    :param group: what was measured along an axis
    :param name: name of the picture's files
    :return: what acting, learning and both cost along it, one line for each agent and variant, on logarithmic axes;
        agents that have not what grows along it are level lines
    """
    lines: dict[str, list[tuple[float | None, Measurement]]] = {}
    for at, each, label in zip(group.at, group.agents, _labels(group.agents), strict=True):
        lines.setdefault(label, []).append((at, each))
    height = HEIGHT + 0.16 * ceil(len(lines) / LEGEND_COLUMNS)
    figure = Figure(figsize=(len(PANELS) * 0.75 * WIDTH, height), layout="constrained")
    panels = figure.subplots(1, len(PANELS), squeeze=False)[0]
    told = []
    for axes, panel in zip(panels, PANELS, strict=True):
        dress(axes, f"{panel.title} ({panel.unit})")
        for index, (agent, points) in enumerate(lines.items()):
            points.sort(key=lambda point: point[0] or 0)
            places = [at for at, _ in points if at is not None]
            values = [panel.value(each) for _, each in points]
            if not places:
                axes.axhline(values[0], label=agent, **line_style(index))
            else:
                axes.plot(places, values, label=agent, marker="o", markersize=3, **line_style(index))
            told.append(f"{panel.title} of {agent}: {', '.join(f'{value:.3g}' for value in values)} {panel.unit}")
        _scale(axes, sorted({at for at in group.at if at is not None}), group.axis or "")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, **_LEGEND)
    return Picture(name, f"{group.title}. {'; '.join(told)}.", figure, HEIGHT)


def _labels(agents: Sequence[Measurement]) -> list[str]:
    """Their names, with the arguments of the policy where an agent has come with several."""
    told = [(each.agent, written(each.arguments.get("policy_kwargs", {}))) for each in agents]
    variants = Counter(name for name, _ in set(told))
    return [f"{name}, {policy or 'as it is'}" if variants[name] > 1 else name for name, policy in told]


def _scale(axes: Axes, at: list[float], label: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(at, [f"{value:g}" for value in at])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
