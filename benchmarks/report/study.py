"""Runs sorted by what they were on and what was compared, with what did not come to an end."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import EVALUATION_FILE, ROUNDING, Anchors
from memory_agents.benchmarks.labels import folder_labels
from memory_agents.benchmarks.output import FAILURE_FILE
from memory_agents.benchmarks.report.sorting import PLAYED, Sorting, agent_names, task_names
from memory_agents.benchmarks.report.statistics import ENOUGH_RUNS, interquartile_mean
from memory_agents.benchmarks.runs import Run, find_runs, read_runs
from memory_agents.benchmarks.sequence.regression import FIGURES_FILE
from memory_agents.benchmarks.sequence.runs import SCORE_FILE

#: What sweeps say of the runs that they planned, in the folder of these.
SWEEP_FILES = "sweeps/*.json"


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

    @property
    def learners(self) -> tuple[str, ...]:
        """The agents but for those who follow a script."""
        return tuple(agent for agent in self.agents if any(run.config.total_timesteps for run in self.runs(agent)))

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
    begun = {path.parent.resolve(): path.parent for root in roots for path in root.rglob(CONFIG_FILE)}
    problems += [_unfinished(begun[folder]) for folder in sorted(begun) if folder not in known]
    problems += _not_begun(roots, {*known, *begun})
    runs, repeated = _once_each(runs)
    problems += repeated
    if not runs:
        raise UsageError(f"no run in {', '.join(map(str, roots))} can be read: {problems[0].reason}")
    comparisons = _compare(runs, [problem for problem in problems if problem.config is not None], label)
    ordered = dict.fromkeys(
        run.folder for comparison in comparisons for agent in comparison.agents for run in comparison.runs(agent)
    )
    return Study(tuple(comparisons), {folder: number for number, folder in enumerate(ordered, 1)}, tuple(problems))


def _read(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    runs: list[Run] = []
    problems: list[Problem] = []
    for folder in folders:
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
    if any((folder / name).is_file() for name in (FIGURES_FILE, SCORE_FILE)):
        return Problem(folder, None, "a run on sequences, which memory-bench sequence makes a table of")
    config = _config(folder)
    if config is None:
        return Problem(folder, None, f"{CONFIG_FILE} is not that of a training run")
    if (folder / FAILURE_FILE).is_file():
        lines = (folder / FAILURE_FILE).read_text(errors="replace").strip().splitlines()
        return Problem(folder, config, f"failed: {lines[-1].strip() if lines else 'no reason given'}")
    return Problem(folder, config, f"not finished: no {EVALUATION_FILE}")


def _not_begun(roots: Iterable[Path], known: Container[Path]) -> list[Problem]:
    """Runs that a sweep planned and that have left nothing."""
    problems = {}
    for path in (path for root in roots for path in sorted(root.rglob(SWEEP_FILES))):
        try:
            planned = json.loads(path.read_text())["runs"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for folder in (path.parent.parent / str(name) for name in planned):
            if folder.resolve() not in known:
                problems[folder.resolve()] = Problem(folder, None, "planned by a sweep, not begun")
    return list(problems.values())


def _once_each(runs: Iterable[Run]) -> tuple[list[Run], list[Problem]]:
    """
    Two runs of the same arguments and seed are one: counted twice they would pass for certainty. So are two of a player
    who learns nothing wherever what he plays is the same.
    """
    first: dict[str, Run] = {}
    repeated = []
    for run in runs:
        arguments = asdict(run.config)
        if not run.config.total_timesteps:
            arguments = {name: arguments[name] for name in PLAYED}
        kept = first.setdefault(json.dumps(arguments, sort_keys=True), run)
        if kept is not run:
            repeated.append(Problem(run.folder, run.config, f"same arguments and seed as {kept.folder}, which counts"))
    return list(first.values()), repeated


def _compare(runs: Sequence[Run], problems: Sequence[Problem], label: str) -> list[Comparison]:
    # Agents whose runs all failed were compared, too; without them their task would count as another comparison.
    configs = [run.config for run in runs] + [problem.config for problem in problems if problem.config]
    sorting = Sorting(configs)
    known = {sorting.task(config): config for config in configs if config.total_timesteps}
    players: dict[str, set[str]] = {}
    for config in configs:
        for task in sorting.tasks(config, known):
            players.setdefault(task, set()).add(sorting.agent(config))
    by_task: dict[str, list[Run]] = {}
    for run in runs:
        for task in sorting.tasks(run.config, known):
            by_task.setdefault(task, []).append(run)
    called = task_names({task: known.get(task, played[0].config) for task, played in by_task.items()})
    groups: dict[tuple[str, ...], list[str]] = {}
    for task in by_task:
        groups.setdefault(tuple(sorted(players[task])), []).append(task)
    comparisons = [
        _comparison([by_task[task] for task in tasks], [called[task] for task in tasks], sorting, label)
        for tasks in groups.values()
    ]
    return sorted(comparisons, key=lambda one: (len(one.agents) == 1, -sum(map(len, one.cells.values()))))


def _comparison(played: Sequence[Sequence[Run]], names: Sequence[str], sorting: Sorting, label: str) -> Comparison:
    by_agent: dict[str, list[Run]] = {}
    for run in (run for runs in played for run in runs):
        by_agent.setdefault(sorting.agent(run.config), []).append(run)
    called = dict(zip(by_agent, _names(list(by_agent.values()), sorting, label), strict=True))
    tasks = tuple(
        Task(name, runs[0].config, next((Anchors(**anchors) for anchors in map(_anchors, runs) if anchors), None))
        for name, runs in zip(names, played, strict=True)
    )
    cells = {
        (called[agent], name): tuple(
            sorted((run for run in runs if sorting.agent(run.config) == agent), key=lambda run: run.config.seed)
        )
        for agent in by_agent
        for name, runs in zip(names, played, strict=True)
    }
    unordered = Comparison(tuple(called.values()), tasks, cells)
    if not unordered.scored_tasks:
        return unordered
    middles = {agent: float(interquartile_mean(unordered.scores(agent))) for agent in unordered.agents}
    return Comparison(tuple(_best_first(middles)), tasks, cells)


def _best_first(middles: dict[str, float]) -> list[str]:
    """Agents ordered by their scores; those that rounding alone may have told apart stay as they stand."""
    places = {agent: place for place, agent in enumerate(middles)}
    ordered: list[str] = []
    tied: list[str] = []
    for agent in sorted(middles, key=lambda agent: -middles[agent]):
        if tied and middles[tied[-1]] > middles[agent] + ROUNDING:
            ordered += sorted(tied, key=places.__getitem__)
            tied = []
        tied.append(agent)
    return ordered + sorted(tied, key=places.__getitem__)


def _names(groups: Sequence[list[Run]], sorting: Sorting, label: str) -> list[str]:
    if label == "folder":
        return folder_labels(groups)
    return agent_names([sorting.of_agent(group[0].config) for group in groups])


def _anchors(run: Run) -> dict[str, float] | None:
    anchors: dict[str, float] | None = run.evaluation.get("anchors")
    return anchors
