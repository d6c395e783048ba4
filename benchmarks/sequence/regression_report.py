"""Runs of a regression as one table and one picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.curves import plot_seeds
from memory_agents.benchmarks.labels import in_brackets
from memory_agents.benchmarks.sequence.pictures import save_picture
from memory_agents.benchmarks.sequence.regression import (
    FIGURES_FILE,
    RegressionConfig,
)
from memory_agents.benchmarks.sequence.runs import CURVE_FILE, load_config, load_score, read_column
from memory_agents.benchmarks.sequence.sharing import check_folder
from memory_agents.benchmarks.tables import number
from memory_agents.memory import memory_registry

#: Of the columns after those of the task's sizes.
HEADINGS = (
    "core",
    "seeds",
    "test MSE, by seed",
    "of guessing",
    "last validation MSE, by seed",
    "gradient steps",
    "sequences",
    "CPU seconds",
    "parameters",
)


@dataclass(frozen=True)
class RegressionRun:
    """
    A finished run.

    :param folder: where its files are
    :param config: its arguments
    :param figures: the content of its ``regression.json``
    """

    folder: Path
    config: RegressionConfig
    figures: dict[str, Any]

    @property
    def sizes(self) -> dict[str, int]:
        """What the paper calls the task's arguments, with their values."""
        return self.config.make_task().sizes


def regression_groups(out: Path) -> list[list[RegressionRun]]:
    """
    :param out: folder of runs
    :return: its finished runs in groups that differ in nothing but the seed, by size, then in the registry's order
    :raises UsageError: when there is none, they are of several tasks, or one cannot be read
    """
    paths = sorted(out.glob(f"*/{FIGURES_FILE}"))
    if not paths:
        raise UsageError(f"no finished run in {out}; train with memory-bench sequence copy-first --out FOLDER")
    runs = [RegressionRun(path.parent, load_config(path.parent, RegressionConfig), load_score(path)) for path in paths]
    if len(tasks := sorted({run.config.task for run in runs})) > 1:
        raise UsageError(f"{out} has runs of {' and '.join(tasks)}, whose tables differ; give each a folder of its own")
    cores = list(memory_registry)
    runs.sort(key=lambda run: (*run.sizes.values(), cores.index(run.config.memory_class), run.config.seed))
    groups: dict[str, list[RegressionRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(asdict(replace(run.config, seed=0)), sort_keys=True), []).append(run)
    return list(groups.values())


def check_task(out: Path, task: str) -> None:
    """
    :param out: folder of runs, which need not exist
    :param task: name of the task to add runs of
    :raises UsageError: when its runs are of another task, or finished ones cannot be read
    """
    check_folder(out, task)
    if any(out.glob(f"*/{FIGURES_FILE}")):
        # What the table could not have is told now, and not once all has been trained.
        regression_groups(out)


def regression_table(groups: list[list[RegressionRun]]) -> str:
    """
    :param groups: groups of :func:`regression_groups`
    :return: a Markdown table, one row per group
    """
    headings = (*groups[0][0].sizes, *HEADINGS)
    lines = [headings, ("---",) * len(headings), *(_row(group) for group in groups)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(group: list[RegressionRun]) -> tuple[str, ...]:
    config, figures = group[0].config, group[0].figures
    return (
        *map(str, group[0].sizes.values()),
        config.memory_class + in_brackets(config.memory_kwargs),
        ", ".join(str(run.config.seed) for run in group),
        ", ".join(number(run.figures["test_mse"]) for run in group),
        # All runs of one size share the test set.
        number(figures["guessing_mse"]),
        ", ".join(number(run.figures["final_validation_mse"]) for run in group),
        f"{figures['gradient_steps']:,}",
        f"{figures['train_sequences']:,}",
        number(fmean(run.figures["train_cpu_seconds"] for run in group), 0),
        f"{figures['parameters']:,}",
    )


def plot_regressions(groups: list[list[RegressionRun]], path: Path) -> None:
    """
    Draw the validation error over gradient steps, one picture beside the other for every size of the task: the mean
    over seeds, and a band from the lowest to the highest.

    :param groups: groups of :func:`regression_groups`
    :param path: where to write, a PNG file
    """
    titles = [", ".join(f"{name} = {size}" for name, size in group[0].sizes.items()) for group in groups]
    guessing = groups[0][0].config.make_task().guessing_mse
    # In the order of the groups, which is by size.
    panels = list(dict.fromkeys(titles))
    figure = Figure(figsize=(1 + 3.2 * len(panels), 3.6), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        for title, group in zip(titles, groups, strict=True):
            if title == panel:
                plot_seeds(axes, group[0].config.memory_class, [_read_curve(run.folder) for run in group], None)
        axes.axhline(guessing, color="grey", linestyle="--", linewidth=1)
        axes.annotate(
            "guessing", (1.0, guessing), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="grey"
        )
        axes.set(title=panel, xlabel="gradient steps", yscale="log")
        axes.legend(loc="lower left", fontsize="small")
    figure.axes[0].set_ylabel("validation MSE")
    save_picture(figure, path, 150)


def _read_curve(folder: Path) -> tuple[list[int], list[float]]:
    steps = [int(value) for value in read_column(folder / CURVE_FILE, "gradient_step")]
    return steps, [float(value) for value in read_column(folder / CURVE_FILE, "validation_mse")]
