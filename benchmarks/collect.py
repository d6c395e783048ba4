"""Many runs as one table, or one file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.evaluation import Anchors
from memory_agents.benchmarks.labels import arguments_of, in_brackets, told_besides
from memory_agents.benchmarks.progress import has_collapsed, read_learning, steps_to
from memory_agents.benchmarks.runs import Run, group_by_seed
from memory_agents.benchmarks.tables import number

#: The normalised return that counts as learned: nine tenths of what memory is worth.
THRESHOLD = 0.9


def collect(runs: Iterable[Run], table: str = "results", threshold: float = THRESHOLD) -> list[tuple[str, ...]]:
    """
    :param runs: runs
    :param table: one of :data:`TABLES`
    :param threshold: normalised return that the steps to threshold are counted to
    :return: the headings, and one row for all runs whose arguments differ in nothing but the seed; where environment
        and agent of several are called the same, the agent's name goes on with the arguments in which they differ
    """
    columns = {name.format(threshold=threshold): column for name, column in TABLES[table].items()}
    groups = group_by_seed(runs)
    rows = [
        (environment, agent, _seeds(group), *(column(group, threshold) for column in columns.values()))
        for group, (environment, agent) in zip(groups, _names(groups), strict=True)
    ]
    return [("environment", "agent", "seeds", *columns), *rows]


def save_csv(runs: Iterable[Run], path: Path) -> None:
    """
    Write one line per run: its arguments, then the summary of its evaluation.

    :param runs: runs
    :param path: where to write
    """
    rows = []
    for run in runs:
        arguments = {
            name: json.dumps(value) if isinstance(value, dict) else value for name, value in asdict(run.config).items()
        }
        rows.append({**arguments, **_figures(run.evaluation)})
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _figures(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation as one line: what was drawn, and what was judged, under names of its own."""
    figures = {name: value for name, value in evaluation.items() if not isinstance(value, dict)}
    figures.update(evaluation.get("anchors") or {})
    for group in ("judger", "sampled"):
        if group in evaluation:
            figures.update({f"{group}_{name}": value for name, value in _figures(evaluation[group]).items()})
    return figures


Column = Callable[[list[Run], float], str]


def _names(groups: Sequence[list[Run]]) -> list[tuple[str, str]]:
    """What environment and agent of each group are called, the two together as of no other group."""
    configs = [group[0].config for group in groups]
    plain = [(_environment(config), _agent(config)) for config in configs]
    besides = told_besides(plain, [arguments_of(group) for group in groups])
    return [(name[0], _agent(config, told)) for name, config, told in zip(plain, configs, besides, strict=True)]


def _environment(config: TrainingConfig) -> str:
    return config.env + in_brackets(config.env_kwargs)


def _agent(config: TrainingConfig, besides: dict[str, Any] | None = None) -> str:
    memory = {} if config.memory_class is None else {"memory_class": config.memory_class}
    policy = {**({"n_stack": config.n_stack} if config.n_stack > 1 else {}), **config.policy_kwargs}
    reward = {"normalize_reward": True} if config.normalize_reward else {}
    judger = {"judger_kwargs": config.judger_kwargs} if config.judger_kwargs else {}
    # The default goes without saying.
    name = config.policy if config.algorithm == TrainingConfig.algorithm else f"{config.policy}, {config.algorithm}"
    return name + in_brackets(
        {
            **policy,
            **memory,
            **config.memory_kwargs,
            **judger,
            **config.algorithm_kwargs,
            **reward,
            **(besides or {}),
        }
    )


def _seeds(group: list[Run]) -> str:
    return ", ".join(str(run.config.seed) for run in group)


def _by_seed(name: str) -> Column:
    def column(group: list[Run], threshold: float) -> str:
        # Agents whose memory nobody judges have no figures of a judger.
        values = [_figures(run.evaluation).get(name) for run in group]
        return "-" if values == [None] * len(values) else ", ".join(number(value, 2) for value in values)

    return column


def _counts(name: str) -> Column:
    def column(group: list[Run], threshold: float) -> str:
        values = [run.evaluation.get(name) for run in group]
        return ", ".join("-" if value is None else f"{value:,}" for value in values)

    return column


def _steps(group: list[Run], threshold: float) -> str:
    return f"{max(run.evaluation['train_steps'] for run in group):,}"


def _steps_to_threshold(group: list[Run], threshold: float) -> str:
    anchors = _training_anchors(group)
    if anchors is None:
        return "-"
    steps = [steps_to(anchors.denormalize(threshold), run.folder, _pretrained(run)) for run in group]
    return ", ".join("-" if count is None else f"{count / 1000:.0f}k" for count in steps)


def _training_mean(group: list[Run], threshold: float) -> str:
    anchors = _training_anchors(group)
    if anchors is None:
        return "-"
    returns = [read_learning(run.folder, _pretrained(run))[1] for run in group]
    return ", ".join(number(anchors.normalize(fmean(values)) if values else None, 2) for values in returns)


def _diverged(group: list[Run], threshold: float) -> str:
    anchors = _training_anchors(group)
    broken_off = [run.evaluation.get("train_broken_off", False) for run in group]
    collapsed = [
        anchors is not None
        and has_collapsed(anchors.denormalize(0.5), anchors.memoryless, run.folder, _pretrained(run))
        for run in group
    ]
    return f"{sum(map(any, zip(broken_off, collapsed, strict=True)))} of {len(group)}"


def _pretrained(run: Run) -> int:
    return run.trained.config.pretrain_timesteps


def _training_anchors(group: list[Run]) -> Anchors | None:
    # What progress.csv is measured by. They follow from the environment's arguments, which a group shares.
    anchors = group[0].trained.evaluation.get("anchors")
    return None if anchors is None else Anchors(**anchors)


def _cpu_seconds(group: list[Run], threshold: float) -> str:
    # Runs of earlier versions do not tell.
    seconds = [run.evaluation["train_cpu_seconds"] for run in group if "train_cpu_seconds" in run.evaluation]
    return number(fmean(seconds) if len(seconds) == len(group) else None, 0)


def _parameters(group: list[Run], threshold: float) -> str:
    counts = dict.fromkeys(run.evaluation.get("parameters") for run in group)
    return ", ".join("-" if count is None else f"{count:,}" for count in counts)


#: Columns of the tables, beside those that name the runs, by heading: what came out, how it was learned, what a judger
#: kept, what was invalid, how steadily. A run has diverged when it gave no numbers any more, or when the normalised
#: return of its training episodes once was above 0.5 and below 0 at the end.
TABLES: dict[str, dict[str, Column]] = {
    "results": {
        "success rate, by seed": _by_seed("success_rate"),
        "return, by seed": _by_seed("mean_return"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
    },
    # What came out alone: nothing that depends on the clock, so that the same runs give the same table.
    "scores": {
        "success rate, by seed": _by_seed("success_rate"),
        "return, by seed": _by_seed("mean_return"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps": _steps,
    },
    "learning": {
        "success rate, by seed": _by_seed("success_rate"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps to {threshold:g}, by seed": _steps_to_threshold,
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
        "parameters": _parameters,
    },
    "judger": {
        "normalised return, by seed": _by_seed("normalized_return"),
        "keeps what matters": _by_seed("judger_keep_rate_important"),
        "keeps the rest": _by_seed("judger_keep_rate_other"),
        "mean reading distance": _by_seed("judger_mean_reading_distance"),
        "sampled: normalised return": _by_seed("sampled_normalized_return"),
        "sampled: keeps what matters": _by_seed("sampled_judger_keep_rate_important"),
        "sampled: keeps the rest": _by_seed("sampled_judger_keep_rate_other"),
        "sampled: mean reading distance": _by_seed("sampled_judger_mean_reading_distance"),
    },
    "masking": {
        "success rate, by seed": _by_seed("success_rate"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps to {threshold:g}, by seed": _steps_to_threshold,
        "invalid actions, by seed": _counts("invalid_actions"),
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
    },
    "stability": {
        "normalised return, by seed": _by_seed("normalized_return"),
        "mean while training, by seed": _training_mean,
        "steps to {threshold:g}, by seed": _steps_to_threshold,
        "diverged": _diverged,
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
    },
}


def markdown(rows: list[tuple[str, ...]]) -> str:
    """
    :param rows: headings and rows of :func:`collect`
    :return: a Markdown table
    """
    headings, *lines = rows
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, ("---",) * len(headings), *lines))
