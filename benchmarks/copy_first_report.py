"""Runs of the copy-first-input regression as one table and one picture."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.copy_first import CURVE_FILE, FIGURES_FILE, RegressionConfig, load_regression_config
from memory_agents.benchmarks.curves import plot_seeds
from memory_agents.benchmarks.tables import number
from memory_agents.memory import memory_registry

HEADINGS = (
    "T",
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


def regression_groups(out: Path) -> list[list[RegressionRun]]:
    """
    :param out: folder of runs
    :return: its finished runs in groups that differ in nothing but the seed, by length, then in the registry's order
    :raises UsageError: when there is none
    """
    paths = sorted(out.glob(f"*/{FIGURES_FILE}"))
    if not paths:
        raise UsageError(f"no finished run in {out}; train with memory-bench copy-first --out FOLDER")
    runs = [
        RegressionRun(path.parent, load_regression_config(path.parent), json.loads(path.read_text())) for path in paths
    ]
    cores = list(memory_registry)
    runs.sort(key=lambda run: (run.config.length, cores.index(run.config.memory_class), run.config.seed))
    groups: dict[str, list[RegressionRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(asdict(replace(run.config, seed=0)), sort_keys=True), []).append(run)
    return list(groups.values())


def regression_table(groups: list[list[RegressionRun]]) -> str:
    """
    :param groups: groups of :func:`regression_groups`
    :return: a Markdown table, one row per group
    """
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(_row(group) for group in groups)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(group: list[RegressionRun]) -> tuple[str, ...]:
    config, figures = group[0].config, group[0].figures
    kwargs = ", ".join(f"{name}={json.dumps(value)}" for name, value in config.memory_kwargs.items())
    return (
        str(config.length),
        config.memory_class + (f" ({kwargs})" if kwargs else ""),
        ", ".join(str(run.config.seed) for run in group),
        ", ".join(number(run.figures["test_mse"]) for run in group),
        # All runs of one length share the test set.
        number(figures["guessing_mse"]),
        ", ".join(number(run.figures["final_validation_mse"]) for run in group),
        f"{figures['gradient_steps']:,}",
        f"{figures['train_sequences']:,}",
        number(fmean(run.figures["train_cpu_seconds"] for run in group), 0),
        f"{figures['parameters']:,}",
    )


def plot_regressions(groups: list[list[RegressionRun]], path: Path) -> None:
    """
    Draw the validation error over gradient steps, one picture beside the other for every length: the mean over seeds,
    and a band from the lowest to the highest.

    :param groups: groups of :func:`regression_groups`
    :param path: where to write, a PNG file
    """
    lengths = sorted({group[0].config.length for group in groups})
    figure = Figure(figsize=(1 + 3.2 * len(lengths), 3.6), layout="constrained")
    for axes, length in zip(figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0], lengths, strict=True):
        for group in groups:
            if group[0].config.length == length:
                plot_seeds(axes, group[0].config.memory_class, [_read_curve(run.folder) for run in group], None)
        axes.axhline(1.0, color="grey", linestyle="--", linewidth=1)
        axes.annotate("guessing", (1.0, 1.0), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="grey")
        axes.set(title=f"T = {length}", xlabel="gradient steps", yscale="log")
        axes.legend(loc="lower left", fontsize="small")
    figure.axes[0].set_ylabel("validation MSE")
    figure.savefig(path, dpi=150)


def _read_curve(folder: Path) -> tuple[list[int], list[float]]:
    with (folder / CURVE_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [int(row["gradient_step"]) for row in rows], [float(row["validation_mse"]) for row in rows]
