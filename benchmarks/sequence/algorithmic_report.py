"""Runs on the algorithmic tasks as one table, beside what was published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from memory_agents.benchmarks.collect import markdown
from memory_agents.benchmarks.curves import plot_seeds
from memory_agents.benchmarks.labels import in_brackets, told_besides
from memory_agents.benchmarks.sequence.algorithmic import AGENTS, RECURRENT, AlgorithmicConfig
from memory_agents.benchmarks.sequence.pictures import save_picture
from memory_agents.benchmarks.sequence.runs import CURVE_FILE, finished_runs, read_column
from memory_agents.benchmarks.tables import number
from memory_agents.sequence import task_registry

#: Layers and width there.
PUBLISHED_SIZES = {"copy": "4 x 128", "reverse": "4 x 128", "retrieval": "6 x 64", "quadratic": "6 x 128"}
#: Accuracies of Bulatov et al. 2022 (arXiv 2207.06881) by task, agent and segments: means over the authors' rows, after
#: up to 250,000 updates of 32 sequences (quadratic equations: 600,000).
PUBLISHED = {
    ("copy", "none"): {3: 0.118, 6: 0.102, 9: 0.102},
    ("copy", "xl"): {3: 1.0, 6: 0.967, 9: 0.278},
    ("copy", "rmt"): {3: 1.0, 6: 1.0, 9: 1.0},
    ("reverse", "xl"): {2: 0.783, 4: 0.861, 6: 0.666},
    ("reverse", "rmt"): {2: 1.0, 4: 1.0, 6: 0.901},
    ("retrieval", "xl"): {2: 1.0, 3: 1.0, 4: 0.849, 5: 0.988},
    ("retrieval", "rmt"): {2: 0.990, 3: 0.999, 4: 0.992, 5: 0.965},
    ("quadratic", "xl"): {6: 0.934},
    ("quadratic", "rmt"): {6: 0.998},
}

#: A run's arguments, score and folder.
Run = tuple[AlgorithmicConfig, dict[str, Any], Path]


def algorithmic_groups(folders: Iterable[Path]) -> list[list[Run]]:
    """
    :param folders: folders with runs in or below them
    :return: the finished ones in groups that differ in nothing but the seed: by task, segments and agent
    :raises UsageError: when there is none, or one of another kind
    """
    tasks, agents = list(task_registry), list(AGENTS)
    runs = finished_runs(folders, AlgorithmicConfig)
    runs.sort(key=lambda run: (tasks.index(run[0].task), run[0].n_segments, agents.index(run[0].agent), run[0].seed))
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps({**asdict(run[0]), "seed": None}, sort_keys=True), []).append(run)
    return list(groups.values())


def algorithmic_table(groups: Sequence[list[Run]]) -> str:
    """
    :param groups: groups of :func:`algorithmic_groups`
    :return: a Markdown table, one row per group; rows alike in all its columns tell what else makes them differ
    """
    headings = (
        "task", "segments", "memory", "layers x width", "seeds", "accuracy, by seed", "without a mistake, by seed",
        "published (layers x width)", "updates, by seed", "sequences per update", "learning rate", "CPU seconds",
        "seconds", "parameters",
    )  # fmt: skip
    shown, others = [], []
    for group in groups:
        arguments = asdict(replace(group[0][0], seed=0))
        shown.append(json.dumps({name: arguments.pop(name) for name in IN_COLUMNS}, sort_keys=True))
        others.append(arguments)
    return markdown([headings, *map(_row, groups, told_besides(shown, others))])


#: Arguments that a row tells in any case, or, like the seed, by run.
IN_COLUMNS = {
    "task", "task_kwargs", "n_segments", "agent", "memory_kwargs", "n_memory", "bptt", "n_layers", "d_model",
    "batch_size", "learning_rate", "seed",
}  # fmt: skip


def _row(group: list[Run], besides: dict[str, Any]) -> tuple[str, ...]:
    config, scores = group[0][0], [score for _, score, _ in group]
    published = PUBLISHED.get((config.task, config.agent), {}).get(config.n_segments)
    if config.task_kwargs:
        # Of another task.
        published = None
    memory = {} if config.agent in ("none", "xl", *RECURRENT) else {"n_memory": config.n_memory}
    seconds = [score["train_seconds"] for score in scores if "train_seconds" in score]
    bptt = {} if config.bptt is None else {"bptt": config.bptt}
    return (
        config.task + in_brackets(config.task_kwargs),
        str(config.n_segments),
        config.agent + in_brackets({**memory, **bptt, **config.memory_kwargs, **besides}),
        f"{config.n_layers} x {config.d_model}",
        ", ".join(str(run.seed) for run, _, _ in group),
        ", ".join(number(score["accuracy"], 3) for score in scores),
        ", ".join(number(score["exact"], 3) for score in scores),
        "-" if published is None else f"{number(published, 3)} ({PUBLISHED_SIZES[config.task]})",
        ", ".join(f"{score['updates']:,}" for score in scores),
        str(config.batch_size),
        f"{config.learning_rate:g}",
        number(fmean(score["train_cpu_seconds"] for score in scores), 0),
        # Runs of earlier versions do not tell.
        number(fmean(seconds) if len(seconds) == len(scores) else None, 0),
        f"{scores[0]['parameters']:,}",
    )


def plot_algorithmic(groups: list[list[Run]], path: Path) -> None:
    """
    Draw accuracy on the validation set over updates: tasks below, segments beside one another.

    :param groups: groups of :func:`algorithmic_groups`
    :param path: where to write, a PNG file
    """
    tasks = list(dict.fromkeys(group[0][0].task for group in groups))
    columns = {task: sorted({group[0][0].n_segments for group in groups if group[0][0].task == task}) for task in tasks}
    width = max(map(len, columns.values()))
    figure = Figure(figsize=(1 + 3.2 * width, 0.6 + 2.8 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), width, sharey=True, squeeze=False)
    for row, task in zip(grid, tasks, strict=True):
        for axes in row[len(columns[task]) :]:
            axes.set_visible(False)
        for axes, n_segments in zip(row, columns[task], strict=False):
            for group in groups:
                config = group[0][0]
                if (config.task, config.n_segments) == (task, n_segments):
                    # The same in all panels, whoever is missing.
                    color = f"C{list(AGENTS).index(config.agent)}"
                    plot_seeds(axes, config.agent, [_curve(folder) for _, _, folder in group], None, color=color)
            axes.set(title=f"{task}, {n_segments} segments", xlabel="updates", ylim=(0, 1.02))
            axes.legend(loc="center right", fontsize="small")
        row[0].set_ylabel("accuracy")
    save_picture(figure, path, 130)


def _curve(folder: Path) -> tuple[list[int], list[float]]:
    updates = [int(value) for value in read_column(folder / CURVE_FILE, "update")]
    return updates, [float(value) for value in read_column(folder / CURVE_FILE, "validation_accuracy")]
