"""Many runs as one table, one file, or groups of seeds."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, SCRIPTED, TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import EVALUATION_FILE, Anchors
from memory_agents.benchmarks.progress import has_collapsed, read_curve, steps_to
from memory_agents.benchmarks.tables import number

#: The normalised return that counts as learned: nine tenths of what memory is worth.
THRESHOLD = 0.9


@dataclass(frozen=True)
class Run:
    """
    A finished run.

    :param folder: where its files are
    :param config: its arguments
    :param evaluation: the content of its ``evaluation.json``
    """

    folder: Path
    config: TrainingConfig
    evaluation: dict[str, Any]


def find_runs(folders: Iterable[Path], evaluation: str = EVALUATION_FILE) -> list[Path]:
    """
    :param folders: folders to look through
    :param evaluation: name of the file with the evaluation
    :return: folders of finished runs in and below them
    :raises UsageError: when there is none
    """
    roots = list(folders)
    runs = sorted(
        path.parent for root in roots for path in root.rglob(evaluation) if (path.parent / CONFIG_FILE).is_file()
    )
    if not runs:
        mend = "train --out FOLDER" if evaluation == EVALUATION_FILE else f"evaluate RUN --out RUN/{evaluation}"
        where = ", ".join(map(str, roots))
        raise UsageError(f"no finished run with {evaluation} in {where}; use memory-bench {mend}")
    return runs


def read_runs(runs: Iterable[Path], evaluation: str = EVALUATION_FILE) -> list[Run]:
    """
    :param runs: folders of finished runs
    :param evaluation: name of the file with the evaluation, which may be one of ``memory-bench evaluate``
    :return: what they were and what came out
    :raises UsageError: when a file is not what a run writes
    """
    return [_read_run(folder, folder / evaluation) for folder in runs]


def _read_run(folder: Path, file: Path) -> Run:
    evaluation = _read_evaluation(file)
    if file.name == EVALUATION_FILE:
        return Run(folder, load_config(folder), evaluation)
    # Evaluations after the run tell where they took place, and nothing of the training.
    try:
        config = TrainingConfig(**evaluation["arguments"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"{file} is not of memory-bench evaluate ({error})") from error
    return Run(folder, config, {**_read_evaluation(folder / EVALUATION_FILE), **evaluation})


def _read_evaluation(path: Path) -> dict[str, Any]:
    try:
        evaluation: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not the evaluation of a training run ({error})") from error
    return evaluation


def learners(runs: Iterable[Run]) -> list[Run]:
    """
    :param runs: runs
    :return: those of agents that learn, which have learning curves
    :raises UsageError: when all are of scripted players
    """
    found = [run for run in runs if run.config.algorithm != SCRIPTED]
    if not found:
        raise UsageError("all of the runs are of scripted players, who learn nothing; choose folders with other runs")
    return found


def group_by_seed(runs: Iterable[Run]) -> list[list[Run]]:
    """
    :param runs: runs
    :return: groups of those whose arguments differ in nothing but the seed, each ordered by seed
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps(asdict(replace(run.config, seed=0)), sort_keys=True)
        groups.setdefault(key, []).append(run)
    return [sorted(group, key=lambda run: run.config.seed) for group in groups.values()]


def collect(runs: Iterable[Run], table: str = "results", threshold: float = THRESHOLD) -> list[tuple[str, ...]]:
    """
    :param runs: runs
    :param table: one of :data:`TABLES`
    :param threshold: normalised return that the steps to threshold are counted to
    :return: the headings, and one row for all runs whose arguments differ in nothing but the seed
    """
    columns = {name.format(threshold=threshold): column for name, column in TABLES[table].items()}
    groups = group_by_seed(runs)
    return [tuple(columns), *(tuple(column(group, threshold) for column in columns.values()) for group in groups)]


def labels(groups: Iterable[list[Run]]) -> list[str]:
    """
    :param groups: groups of :func:`group_by_seed`
    :return: of each group those of its arguments in which the groups differ, or "default" where it sets none of them;
        "all" of a single group
    """
    flat = [flatten({**asdict(group[0].config), "seed": None}) for group in groups]
    names = list(dict.fromkeys(name for arguments in flat for name in arguments))
    # What is left out is not null: that may be another value than the default.
    told = [name for name in names if len({json.dumps(arguments.get(name, "left out")) for arguments in flat}) > 1]
    return [
        ", ".join(f"{_short(name)}={arguments[name]}" for name in told if name in arguments)
        or ("default" if told else "all")
        for arguments in flat
    ]


def folder_labels(groups: Iterable[list[Run]]) -> list[str]:
    """
    :param groups: groups of :func:`group_by_seed`
    :return: of each group the name that its runs' folders share, without their seeds: ``judger`` of ``judger-s0`` and
        ``judger-s1``
    :raises UsageError: when runs of a group have several names, or two groups the same one
    """
    names = [{re.sub(r"[-_]s(eed)?[-_]?\d+$", "", run.folder.resolve().name) for run in group} for group in groups]
    for group in names:
        if len(group) > 1 or names.count(group) > 1:
            raise UsageError(
                f"folders called {', '.join(sorted(group))} do not tell the agents apart; rename them, "
                "or leave --label folder out"
            )
    return [group.pop() for group in names]


def _short(name: str) -> str:
    """Without the group of arguments that it belongs to, unless that is the judger's training."""
    return name if name.startswith("judger_kwargs.") else name.partition(".")[2] or name


def flatten(arguments: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """
    :param arguments: arguments, groups of them as dictionaries
    :param prefix: what names shall begin with
    :return: the same without groups, names being ``group.name``
    """
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        flat.update(flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return flat


#: What may stand in a legend for a group.
LABELS = {"arguments": labels, "folder": folder_labels}


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


def _environment(group: list[Run], threshold: float) -> str:
    config = group[0].config
    return config.env + _arguments(config.env_kwargs)


def _agent(group: list[Run], threshold: float) -> str:
    config = group[0].config
    memory = {} if config.memory_class is None else {"memory_class": config.memory_class}
    policy = {**({"n_stack": config.n_stack} if config.n_stack > 1 else {}), **config.policy_kwargs}
    reward = {"normalize_reward": True} if config.normalize_reward else {}
    judger = {"judger_kwargs": config.judger_kwargs} if config.judger_kwargs else {}
    # The default goes without saying.
    name = config.policy if config.algorithm == TrainingConfig.algorithm else f"{config.policy}, {config.algorithm}"
    return name + _arguments(
        {
            **policy,
            **memory,
            **config.memory_kwargs,
            **judger,
            **config.algorithm_kwargs,
            **reward,
        }
    )


def _seeds(group: list[Run], threshold: float) -> str:
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
    anchors = _anchors(group)
    if anchors is None:
        return "-"
    steps = [steps_to(anchors.denormalize(threshold), run.folder) for run in group]
    return ", ".join("-" if count is None else f"{count / 1000:.0f}k" for count in steps)


def _training_mean(group: list[Run], threshold: float) -> str:
    anchors = _anchors(group)
    if anchors is None:
        return "-"
    returns = [read_curve(run.folder)[1] for run in group]
    return ", ".join(number(anchors.normalize(fmean(values)) if values else None, 2) for values in returns)


def _diverged(group: list[Run], threshold: float) -> str:
    anchors = _anchors(group)
    broken_off = [run.evaluation.get("train_broken_off", False) for run in group]
    collapsed = [
        anchors is not None and has_collapsed(anchors.denormalize(0.5), anchors.memoryless, run.folder) for run in group
    ]
    return f"{sum(map(any, zip(broken_off, collapsed, strict=True)))} of {len(group)}"


def _anchors(group: list[Run]) -> Anchors | None:
    # They follow from the environment's arguments, which a group shares.
    anchors = group[0].evaluation.get("anchors")
    return None if anchors is None else Anchors(**anchors)


def _cpu_seconds(group: list[Run], threshold: float) -> str:
    # Runs of earlier versions do not tell.
    seconds = [run.evaluation["train_cpu_seconds"] for run in group if "train_cpu_seconds" in run.evaluation]
    return number(fmean(seconds) if len(seconds) == len(group) else None, 0)


def _parameters(group: list[Run], threshold: float) -> str:
    counts = {run.evaluation.get("parameters") for run in group}
    return ", ".join("-" if count is None else f"{count:,}" for count in counts)


_WHAT: dict[str, Column] = {"environment": _environment, "agent": _agent, "seeds": _seeds}

#: Columns of the tables by heading: what came out, how it was learned, what a judger kept, what was invalid, how
#: steadily. A run has diverged when it gave no numbers any more, or when the normalised return of its training episodes
#: once was above 0.5 and below 0 at the end.
TABLES: dict[str, dict[str, Column]] = {
    "results": {
        **_WHAT,
        "success rate, by seed": _by_seed("success_rate"),
        "return, by seed": _by_seed("mean_return"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
    },
    # What came out alone: nothing that depends on the clock, so that the same runs give the same table.
    "scores": {
        **_WHAT,
        "success rate, by seed": _by_seed("success_rate"),
        "return, by seed": _by_seed("mean_return"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps": _steps,
    },
    "learning": {
        **_WHAT,
        "success rate, by seed": _by_seed("success_rate"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps to {threshold:g}, by seed": _steps_to_threshold,
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
        "parameters": _parameters,
    },
    "judger": {
        **_WHAT,
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
        **_WHAT,
        "success rate, by seed": _by_seed("success_rate"),
        "normalised return, by seed": _by_seed("normalized_return"),
        "steps to {threshold:g}, by seed": _steps_to_threshold,
        "invalid actions, by seed": _counts("invalid_actions"),
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
    },
    "stability": {
        **_WHAT,
        "normalised return, by seed": _by_seed("normalized_return"),
        "mean while training, by seed": _training_mean,
        "steps to {threshold:g}, by seed": _steps_to_threshold,
        "diverged": _diverged,
        "steps": _steps,
        "CPU seconds": _cpu_seconds,
    },
}


def _arguments(kwargs: dict[str, Any]) -> str:
    return f" ({', '.join(f'{name}={json.dumps(value)}' for name, value in kwargs.items())})" if kwargs else ""


def markdown(rows: list[tuple[str, ...]]) -> str:
    """
    :param rows: headings and rows of :func:`collect`
    :return: a Markdown table
    """
    headings, *lines = rows
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, ("---",) * len(headings), *lines))
