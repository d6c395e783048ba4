"""Runs sorted by what they were on and what was compared, with what did not come to an end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.collect import Run, find_runs, flatten, folder_labels, read_runs
from memory_agents.benchmarks.config import CONFIG_FILE, TrainingConfig, load_config
from memory_agents.benchmarks.copy_first import FIGURES_FILE
from memory_agents.benchmarks.evaluation import EVALUATION_FILE, Anchors
from memory_agents.benchmarks.report.statistics import ENOUGH_RUNS, interquartile_mean

#: Arguments of a run that say what it was on, and under which conditions. All others but the seed are the agent's.
TASK = (
    "env", "env_kwargs", "total_timesteps", "pretrain_timesteps", "pretrain_env_kwargs", "eval_episodes", "device",
    "threads",
)  # fmt: skip
AGENT = tuple(field.name for field in fields(TrainingConfig) if field.name not in (*TASK, "seed"))

#: Files in which an attempt that failed may have left why.
ERROR_FILES = ("error.txt", "traceback.txt", "error.json")


@dataclass(frozen=True)
class Problem:
    """
    A run that no figure is of.

    :param folder: where its files are
    :param config: its arguments; None where they cannot be read
    :param reason: why it is left out
    """

    folder: Path
    config: TrainingConfig | None
    reason: str


@dataclass(frozen=True)
class Task:
    """
    :param name: its name in tables
    :param config: arguments of one of its runs
    :param anchors: the environment's known returns, where it is one of this library's
    """

    name: str
    config: TrainingConfig
    anchors: Anchors | None


@dataclass(frozen=True)
class Comparison:
    """
    Tasks that the same agents were tried on.

    :param agents: names of the agents, the best first where that can be told over all tasks
    :param tasks: the tasks
    :param cells: runs of an agent on a task, ordered by seed, by their numbers; none where none came to an end
    """

    agents: tuple[str, ...]
    tasks: tuple[Task, ...]
    cells: dict[tuple[str, str], tuple[Run, ...]]

    def runs(self, agent: str, tasks: Iterable[Task] | None = None) -> tuple[Run, ...]:
        """
        :param agent: an agent
        :param tasks: tasks (default: all)
        :return: its runs on them
        """
        return tuple(run for task in (self.tasks if tasks is None else tasks) for run in self.cells[agent, task.name])

    @property
    def scored_tasks(self) -> tuple[Task, ...]:
        """The tasks with normalised scores of all agents, which aggregates are over."""
        return tuple(
            task for task in self.tasks if all(len(scores(self.cells[agent, task.name])) for agent in self.agents)
        )

    def scores(self, agent: str) -> list[NDArray[np.float64]]:
        """
        :param agent: an agent
        :return: its normalised scores on :attr:`scored_tasks`
        """
        return [scores(self.cells[agent, task.name]) for task in self.scored_tasks]

    @property
    def fewest_runs(self) -> int:
        """The smallest number of runs that any agent has on any task, of those with runs."""
        return min(len(runs) for runs in self.cells.values() if runs)

    @property
    def has_few_runs(self) -> bool:
        """Whether that is too small for the intervals to be taken at their word."""
        return self.fewest_runs < ENOUGH_RUNS


@dataclass(frozen=True)
class Study:
    """
    :param comparisons: the finished runs, those of the most runs first
    :param numbers: number of each finished run, by its folder
    :param problems: what is left out
    """

    comparisons: tuple[Comparison, ...]
    numbers: dict[Path, int]
    problems: tuple[Problem, ...]


def scores(runs: Sequence[Run]) -> NDArray[np.float64]:
    """
    :param runs: runs of one agent on one task
    :return: normalised returns of those that have one: the environment's known returns are needed, and an evaluation
    """
    values = [run.evaluation.get("normalized_return") for run in runs]
    return np.array([value for value in values if value is not None], np.float64)


def read_study(folders: Iterable[Path], label: str = "arguments") -> Study:
    """
    :param folders: folders with runs in or below them
    :param label: ``"arguments"`` calls agents by those in which they differ, ``"folder"`` by their runs' folders
    :return: the runs, sorted
    :raises UsageError: when there is no finished run, or folders do not tell agents apart
    """
    roots = list(folders)
    runs, problems = _read(find_runs(roots))
    known = {run.folder.resolve() for run in runs} | {problem.folder.resolve() for problem in problems}
    begun = sorted({path.parent for root in roots for path in root.rglob(CONFIG_FILE)})
    problems += [_unfinished(folder) for folder in begun if folder.resolve() not in known]
    runs, repeated = _once_each(runs)
    problems += repeated
    if not runs:
        raise UsageError(f"no run in {', '.join(map(str, roots))} can be read: {problems[0].reason}")
    comparisons = _compare(runs, [problem for problem in problems if problem.config is not None], label)
    ordered = [run for comparison in comparisons for agent in comparison.agents for run in comparison.runs(agent)]
    return Study(
        tuple(comparisons), {run.folder: number for number, run in enumerate(ordered, start=1)}, tuple(problems)
    )


def _read(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    runs: list[Run] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for folder in folders:
        # One folder given may lie in another one.
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        try:
            runs += read_runs([folder])
        except UsageError as error:
            problems.append(Problem(folder, _config(folder), str(error)))
    return runs, problems


def _config(folder: Path) -> TrainingConfig | None:
    try:
        return load_config(folder)
    except UsageError:
        return None


def _unfinished(folder: Path) -> Problem:
    if (folder / FIGURES_FILE).is_file():
        return Problem(folder, None, "a regression of memory-bench copy-first, which has a table of its own")
    config = _config(folder)
    if config is None:
        return Problem(folder, None, f"{CONFIG_FILE} is not that of a training run")
    for name in ERROR_FILES:
        if (folder / name).is_file():
            lines = (folder / name).read_text(errors="replace").strip().splitlines()
            return Problem(folder, config, f"failed: {lines[-1].strip() if lines else 'no reason given'}")
    return Problem(folder, config, f"not finished: no {EVALUATION_FILE}")


def _once_each(runs: Iterable[Run]) -> tuple[list[Run], list[Problem]]:
    """Two runs of the same arguments and seed are one: counted twice they would pass for certainty."""
    first: dict[str, Run] = {}
    repeated = []
    for run in runs:
        kept = first.setdefault(json.dumps(asdict(run.config), sort_keys=True), run)
        if kept is not run:
            repeated.append(Problem(run.folder, run.config, f"same arguments and seed as {kept.folder}, which counts"))
    return list(first.values()), repeated


def _key(config: TrainingConfig, names: Sequence[str]) -> str:
    arguments = asdict(config)
    return json.dumps({name: arguments[name] for name in names}, sort_keys=True)


def _compare(runs: Sequence[Run], problems: Sequence[Problem], label: str) -> list[Comparison]:
    players: dict[str, set[str]] = {}
    # Agents whose runs all failed were compared, too; without them their task would count as another comparison.
    for config in (*(run.config for run in runs), *(problem.config for problem in problems if problem.config)):
        players.setdefault(_key(config, TASK), set()).add(_key(config, AGENT))
    by_task: dict[str, list[Run]] = {}
    for run in runs:
        by_task.setdefault(_key(run.config, TASK), []).append(run)
    task_names = _task_names({task: played[0].config for task, played in by_task.items()})
    groups: dict[tuple[str, ...], list[str]] = {}
    for task in by_task:
        groups.setdefault(tuple(sorted(players[task])), []).append(task)
    return sorted(
        (_comparison([by_task[task] for task in tasks], [task_names[task] for task in tasks], label)
         for tasks in groups.values()),
        key=lambda comparison: (len(comparison.agents) == 1, -sum(map(len, comparison.cells.values()))),
    )  # fmt: skip


def _comparison(played: Sequence[Sequence[Run]], names: Sequence[str], label: str) -> Comparison:
    by_agent: dict[str, list[Run]] = {}
    for run in (run for runs in played for run in runs):
        by_agent.setdefault(_key(run.config, AGENT), []).append(run)
    called = dict(zip(by_agent, _agent_names(list(by_agent.values()), label), strict=True))
    tasks = tuple(
        Task(name, runs[0].config, next((Anchors(**anchors) for anchors in map(_anchors, runs) if anchors), None))
        for name, runs in zip(names, played, strict=True)
    )
    cells = {
        (called[agent], name): tuple(
            sorted((run for run in runs if _key(run.config, AGENT) == agent), key=lambda run: run.config.seed)
        )
        for agent in by_agent
        for name, runs in zip(names, played, strict=True)
    }
    unordered = Comparison(tuple(called.values()), tasks, cells)
    if not unordered.scored_tasks:
        return unordered
    best_first = sorted(unordered.agents, key=lambda agent: -float(interquartile_mean(unordered.scores(agent))))
    return Comparison(tuple(best_first), tasks, cells)


def _anchors(run: Run) -> dict[str, float] | None:
    anchors: dict[str, float] | None = run.evaluation.get("anchors")
    return anchors


def _agent_names(groups: Sequence[list[Run]], label: str) -> list[str]:
    if label == "folder":
        return folder_labels(groups)
    agents = [flatten({name: getattr(group[0].config, name) for name in AGENT}) for group in groups]
    # The policy's name says more than no name at all.
    return [", ".join(words) or agent["policy"] for agent, words in zip(agents, _told(agents, _word), strict=True)]


def _task_names(configs: dict[str, TrainingConfig]) -> dict[str, str]:
    plain = {key: _environment(config) for key, config in configs.items()}
    names = {}
    for name in dict.fromkeys(plain.values()):
        alike = [key for key in plain if plain[key] == name]
        tasks = [flatten({part: getattr(configs[key], part) for part in TASK[2:]}) for key in alike]
        for key, words in zip(alike, _told(tasks, _pair), strict=True):
            names[key] = ", ".join([name, *words])
    return names


def _environment(config: TrainingConfig) -> str:
    arguments = ", ".join(f"{name}={_shown(value)}" for name, value in config.env_kwargs.items())
    return config.env.removeprefix("MemoryAgents/") + (f" ({arguments})" if arguments else "")


def _told(all_arguments: Sequence[dict[str, Any]], word: Callable[[str, Any], str | None]) -> list[list[str]]:
    """Of each those arguments in which they differ; one that is left out is not one that is null."""
    names = list(dict.fromkeys(name for arguments in all_arguments for name in arguments))
    values = {name: {json.dumps(arguments.get(name, "left out")) for arguments in all_arguments} for name in names}
    told = [name for name in names if len(values[name]) > 1]
    return [
        [text for name in told if name in arguments and (text := word(name, arguments[name])) is not None]
        for arguments in all_arguments
    ]


def _word(name: str, value: Any) -> str | None:
    if name in ("policy", "memory_class", "algorithm"):
        return None if value is None else str(value)
    return _pair(name, value)


def _pair(name: str, value: Any) -> str:
    if name == "total_timesteps":
        return f"{value:,} steps"
    group, _, rest = name.partition(".")
    short = name if group in ("judger_kwargs", "pretrain_env_kwargs") else rest or name
    return f"{short}={_shown(value)}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
