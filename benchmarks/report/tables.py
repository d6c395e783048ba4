"""Tables of a report, each row with the runs that its numbers are of."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from memory_agents.benchmarks.collect import markdown
from memory_agents.benchmarks.report import measures, statistics
from memory_agents.benchmarks.report.statistics import Estimate, Scores
from memory_agents.benchmarks.report.study import Comparison, scores
from memory_agents.benchmarks.runs import Run

Values = dict[str, Any]
NONE = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Row:
    """
    :param values: its numbers by name, as a CSV file has them
    :param cells: the same as text, one for each heading
    :param runs: the runs that they are of
    """

    values: Values
    cells: tuple[str, ...]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Table:
    """
    :param name: name of its file
    :param title: heading
    :param note: how to read it
    :param headings: headings of the columns
    :param words: how many columns at the left are words, not numbers
    :param rows: the rows
    """

    name: str
    title: str
    note: str
    headings: tuple[str, ...]
    words: int
    rows: tuple[Row, ...]

    def markdown(self) -> str:
        """
        :return: the table as Markdown
        """
        lines = [tuple(cell.replace("|", "\\|") for cell in row.cells) for row in self.rows]
        return markdown([self.headings, *lines])

    def save(self, path: Path) -> None:
        """
        Write the table at full precision, with the folders of the runs of each row.

        :param path: a CSV file
        """
        rows = [{**row.values, "runs": shlex.join(str(run.folder) for run in row.runs)} for row in self.rows]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["runs"])
            writer.writeheader()
            writer.writerows(rows)


def shown(value: float | None, digits: int = 2) -> str:
    """
    :param value: a number, or None
    :param digits: digits after the point
    :return: it as text, a dash for None
    """
    return NONE if value is None else f"{value:,.{digits}f}"


def shown_estimate(estimate: Estimate | None) -> str:
    """
    :param estimate: a figure, or None
    :return: it with its interval
    """
    if estimate is None:
        return NONE
    between = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{between}"


def _flat(name: str, estimate: Estimate | None) -> Values:
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


AGGREGATES: dict[str, tuple[str, Callable[[Scores], Any]]] = {
    "iqm": ("interquartile mean", statistics.interquartile_mean),
    "median": ("median", statistics.median),
    "mean": ("mean", statistics.mean),
    "optimality_gap": ("optimality gap", statistics.optimality_gap),
}


def aggregate_table(comparison: Comparison, name: str) -> Table:
    """
    :param comparison: agents and tasks
    :param name: name of its file
    :return: aggregates of final scores over all tasks that have normalised ones
    """
    rows = []
    for agent in comparison.agents if comparison.scored_tasks else ():
        runs = tuple(run for run in comparison.runs(agent, comparison.scored_tasks) if len(scores([run])))
        figures = {
            key: statistics.interval(figure, comparison.scores(agent)) for key, (_, figure) in AGGREGATES.items()
        }
        values: Values = {"agent": agent, "tasks": len(comparison.scored_tasks), "n_runs": len(runs)}
        for key, estimate in figures.items():
            values.update(_flat(key, estimate))
        cells = (agent, *map(shown_estimate, figures.values()), str(len(comparison.scored_tasks)), str(len(runs)))
        rows.append(Row(values, cells, runs))
    return Table(
        name,
        "All tasks together",
        "Final normalised returns: 0 memoryless play, 1 optimal play, not clipped. In brackets 95 % intervals by the "
        "stratified bootstrap. The smaller the optimality gap the better.",
        ("agent", *(heading for heading, _ in AGGREGATES.values()), "tasks", "runs"),
        1,
        tuple(rows),
    )


def improvement_table(comparison: Comparison, name: str) -> Table:
    """
    :param comparison: agents and tasks
    :param name: name of its file
    :return: for each pair of agents the chance that a run of the first scores higher than one of the second
    """
    rows = []
    agents = comparison.agents if comparison.scored_tasks else ()
    for index, x in enumerate(agents):
        for y in agents[index + 1 :]:
            estimate = statistics.improvement_interval(comparison.scores(x), comparison.scores(y))
            runs = (*comparison.runs(x, comparison.scored_tasks), *comparison.runs(y, comparison.scored_tasks))
            rows.append(
                Row(
                    {"x": x, "y": y, **_flat("probability_of_improvement", estimate)},
                    (x, y, shown_estimate(estimate)),
                    tuple(run for run in runs if len(scores([run]))),
                )
            )
    return Table(
        name,
        "Probability of improvement",
        "The chance that a run of X scores higher than a run of Y on the same task, mean over tasks; 0.5 is no "
        "difference. It says how sure an improvement is, not how large.",
        ("X", "Y", "P(X > Y)"),
        2,
        tuple(rows),
    )


def _each_cell(comparison: Comparison) -> list[tuple[str, str, tuple[Run, ...]]]:
    return [
        (task.name, agent, runs)
        for task in comparison.tasks
        for agent in comparison.agents
        if (runs := comparison.cells[agent, task.name])
    ]


def score_table(comparison: Comparison, name: str) -> Table:
    """
    :param comparison: agents and tasks
    :param name: name of its file
    :return: what came out in the end, task by task
    """
    rows = []
    for task, agent, runs in _each_cell(comparison):
        final = scores(runs)
        estimate = statistics.interval(statistics.mean, [final]) if len(final) else None
        returns, successes, normalised = (
            [run.evaluation.get(key) for run in runs] for key in ("mean_return", "success_rate", "normalized_return")
        )
        broken = sum(bool(run.evaluation.get("train_broken_off")) for run in runs)
        values: Values = {
            "task": task,
            "agent": agent,
            "seeds": " ".join(str(run.config.seed) for run in runs),
            **_flat("normalized_return", estimate),
            "mean_return": _mean(returns),
            "success_rate": _mean(successes),
            "broken_off": broken,
            "normalized_return_by_seed": " ".join("" if value is None else str(value) for value in normalised),
        }
        told = normalised if len(final) else returns
        cells = (
            task,
            agent + (f" ({broken} of {len(runs)} broke off, not scored)" if broken else ""),
            shown_estimate(estimate),
            ", ".join(map(shown, told)),
            shown(_mean(returns)),
            shown(_mean(successes)),
        )
        rows.append(Row(values, cells, runs))
    return Table(
        name,
        "Task by task",
        "Means over seeds after training, most likely actions; by seed the normalised returns, or plain returns where "
        "the environment's known returns are not known.",
        ("task", "agent", "normalised return", "by seed", "return", "success"),
        2,
        tuple(rows),
    )


def speed_table(comparison: Comparison, name: str, threshold: float) -> Table:
    """
    :param comparison: agents and tasks
    :param name: name of its file
    :param threshold: normalised return that counts as learned
    :return: how soon that was reached, task by task
    """
    rows = []
    anchors = {task.name: task.anchors for task in comparison.tasks}
    for task, agent, runs in _each_cell(comparison):
        level = measures.threshold_return(anchors[task], threshold)
        if level is None or agent not in comparison.learners:
            continue
        found = [measures.reached(run, level) for run in runs]
        steps = [None if one is None else one.steps for one in found]
        seconds = [None if one is None else one.seconds for one in found]
        got_there = [one for one in found if one is not None]
        values: Values = {
            "task": task,
            "agent": agent,
            "seeds": " ".join(str(run.config.seed) for run in runs),
            "reached": len(got_there),
            "n_runs": len(runs),
            "median_steps": _median_of_all(steps),
            "median_seconds": _median_of_all(seconds),
            "steps_by_seed": " ".join("" if value is None else str(value) for value in steps),
            "seconds_by_seed": " ".join("" if value is None else str(value) for value in seconds),
        }
        cells = (
            task,
            agent,
            f"{len(got_there)} of {len(runs)}",
            shown(values["median_steps"], 0),
            ", ".join(NONE if value is None else f"{value / 1000:.0f}k" for value in steps),
            shown(values["median_seconds"], 0),
            ", ".join(shown(value, 0) for value in seconds),
        )
        rows.append(Row(values, cells, runs))
    return Table(
        name,
        f"Steps and seconds to {threshold:g}",
        f"When the mean of the last 100 training episodes first had a normalised return of {threshold:g}, looked at "
        "after every rollout. Medians count runs that never got there as later than all others, so half of the runs or "
        "more must have. Seconds are those on the clock, of a machine that may have had other work.",
        ("task", "agent", "reached by", "median steps", "steps by seed", "median seconds", "seconds by seed"),
        2,
        tuple(rows),
    )


def cost_table(comparison: Comparison, name: str) -> Table:
    """
    :param comparison: agents and tasks
    :param name: name of its file
    :return: speed, and sizes of networks and memories, task by task
    """
    rows = []
    for task, agent, runs in _each_cell(comparison):
        values: Values = {
            "task": task,
            "agent": agent,
            "train_steps": _mean([run.evaluation.get("train_steps") for run in runs]),
            "steps_per_second": _mean([measures.steps_per_second(run) for run in runs]),
            "train_seconds": _mean([run.evaluation.get("train_seconds") for run in runs]),
            "train_cpu_seconds": _mean([run.evaluation.get("train_cpu_seconds") for run in runs]),
            "parameters": _mean([run.evaluation.get("parameters") for run in runs]),
            "state_bytes_per_transition": _mean([measures.state_bytes(run) for run in runs]),
        }
        cells = (task, agent, *(shown(value, 0) for value in list(values.values())[2:]))
        rows.append(Row(values, cells, runs))
    return Table(
        name,
        "Speed and memory",
        "Means over seeds. Bytes per transition: memory state that the rollout buffer keeps, over its transitions. "
        f"{NONE} stands where not every run tells.",
        ("task", "agent", "steps", "steps per second", "seconds", "CPU seconds", "parameters", "bytes per transition"),
        2,
        tuple(rows),
    )


def run_table(numbered: Sequence[tuple[int, str, str, Run]]) -> Table:
    """
    :param numbered: number, task and agent of each run, and the run
    :return: all runs, one per row
    """
    rows = []
    for number, task, agent, run in numbered:
        evaluation = run.evaluation
        values: Values = {
            "run": number,
            "task": task,
            "agent": agent,
            "seed": run.config.seed,
            "normalized_return": evaluation.get("normalized_return"),
            "mean_return": evaluation.get("mean_return"),
            "success_rate": evaluation.get("success_rate"),
            "train_steps": evaluation.get("train_steps"),
            "train_seconds": evaluation.get("train_seconds"),
            "train_cpu_seconds": evaluation.get("train_cpu_seconds"),
            "command": run.config.command(),
        }
        cells = (
            f"{number}",
            task,
            agent,
            str(run.config.seed),
            *(shown(values[name]) for name in ("normalized_return", "mean_return", "success_rate")),
            shown(values["train_steps"], 0),
            shown(values["train_seconds"], 0),
        )
        rows.append(Row(values, cells, (run,)))
    return Table(
        "runs",
        "Runs",
        "Every run that a number is of, with its files.",
        ("run", "task", "agent", "seed", "normalised return", "return", "success", "steps", "seconds"),
        3,
        tuple(rows),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _median_of_all(values: Sequence[float | None]) -> float | None:
    """None where half of the runs or more have no value, being later than all that have."""
    middle = median(float("inf") if value is None else value for value in values)
    return None if middle == float("inf") else middle
