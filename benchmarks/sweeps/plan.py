"""From a suite to its runs, each with a folder of its own."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from memory_agents.benchmarks.agents import make_env, memory_env
from memory_agents.benchmarks.arguments import BrokenCodeError, UsageError, check_name
from memory_agents.benchmarks.config import SCRIPTED, TrainingConfig
from memory_agents.benchmarks.sweeps.folder_names import folder_name
from memory_agents.benchmarks.sweeps.named_agents import find_agent
from memory_agents.benchmarks.sweeps.suite_file import Entry, SuiteFile

#: What says how an agent learns, and means nothing to a player who does not.
_LEARNING = ("algorithm_kwargs", "normalize_reward", "pretrain_timesteps", "pretrain_env_kwargs")


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """
    A run, told from others by itself.

    :param environment: the environment's name in the suite
    :param agent: the agent's name in the suite
    :param config: the run's arguments
    :param folder: where it is written
    """

    environment: str
    agent: str
    config: TrainingConfig
    folder: Path

    @property
    def title(self) -> str:
        """What it is called on the terminal."""
        return f"{self.environment} {self.agent} s{self.config.seed}"


@dataclass(frozen=True)
class Choice:
    """
    What of a suite shall run, and how, where that differs from its file.

    :param policies: names of agents, of the suite or others; None: all of the suite
    :param environments: names of environments of the suite; None: all
    :param seeds: seeds; None: those of the suite
    :param budget: environment steps of every run; None: those of the suite
    :param device: PyTorch's device; None: that of the suite
    """

    policies: Sequence[str] | None = None
    environments: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    budget: int | None = None
    device: str | None = None


def plan(suite: SuiteFile, out: Path, choice: Choice | None = None) -> list[PlannedRun]:
    """
    All runs of one seed come before those of the next, so that early tables have every agent. The oracle is left out
    where an environment has none; of runs with the same arguments there is one.

    :param suite: the suite
    :param out: folder for the runs
    :param choice: what of it shall run
    :return: the runs, in the order in which they shall start
    :raises UsageError: when a name is unknown, an environment refuses its arguments, arguments do not fit, or two
        names stand for the same
    """
    choice = choice or Choice()
    environments = _environments(suite, choice)
    has_oracle = {entry.name: _has_oracle(entry) for entry in environments}
    agents = _agents(suite, choice)
    runs = [
        _planned(suite, environment, agent, seed, choice, out)
        for seed in (suite.seeds if choice.seeds is None else choice.seeds)
        for environment in environments
        for agent in agents
        if has_oracle[environment.name] or not _is_oracle(agent)
    ]
    if not runs:
        raise UsageError(
            f"--policies {', '.join(choice.policies or ())} leaves nothing to run: none of the environments of suite "
            f"{suite.name!r} has an oracle; name others"
        )
    folders: dict[Path, PlannedRun] = {}
    for run in runs:
        if run.folder in folders:
            other = folders[run.folder]
            raise UsageError(
                f"agents {other.agent!r} and {run.agent!r} would both be written to {run.folder}; give them other names"
            )
        folders[run.folder] = run
    return _without_repetitions(runs)


def _without_repetitions(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """
    The same agent or environment under two names is a mistake. But two may also meet here and there alone: agents where
    an environment gives one of them what the other has, environments that differ in what one agent sets itself.
    """
    first: dict[str, PlannedRun] = {}
    of_agents, of_environments = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for run in runs:
        text = json.dumps(asdict(run.config), sort_keys=True)
        first.setdefault(text, run)
        of_agents[run.agent].add(text)
        # To a player who learns nothing, environments may well be the same.
        if run.config.algorithm != SCRIPTED:
            of_environments[run.environment].add(text)
    for kind, groups in (("agents", of_agents), ("environments", of_environments)):
        for one, other in combinations(groups, 2):
            if groups[one] == groups[other]:
                raise UsageError(
                    f"{kind} {one!r} and {other!r} are the same, and each run would be done twice; leave one of them "
                    "out"
                )
    return list(first.values())


def _environments(suite: SuiteFile, choice: Choice) -> list[Entry]:
    if choice.environments is None:
        return list(suite.environments)
    known = {entry.name: entry for entry in suite.environments}
    names = dict.fromkeys(choice.environments)
    return [known[check_name("--envs", name, known, f"use {', '.join(known)}")] for name in names]


def _agents(suite: SuiteFile, choice: Choice) -> list[Entry]:
    if choice.policies is None:
        return list(suite.agents)
    known = {entry.name: entry for entry in suite.agents}
    others = (name for name in choice.policies if name not in known)
    found = {name: Entry(*find_agent("--policies", name), "--policies") for name in others}
    return [known.get(name) or found[name] for name in dict.fromkeys(choice.policies)]


def _has_oracle(entry: Entry) -> bool:
    """Also whether the environment takes its arguments, before anything is trained."""
    arguments = {name: entry.arguments[name] for name in ("env", "env_kwargs") if name in entry.arguments}
    try:
        env = make_env(TrainingConfig(**arguments))
    except BrokenCodeError:
        # Its runs will fail, and tell why; the others go on.
        return False
    except UsageError as error:
        raise UsageError(f"{entry.where}: {error}") from error
    known = memory_env(env) is not None
    env.close()
    return known


def _is_oracle(agent: Entry) -> bool:
    return agent.arguments.get("algorithm") == SCRIPTED and agent.arguments.get("policy") == "Oracle"


def _planned(suite: SuiteFile, environment: Entry, agent: Entry, seed: int, choice: Choice, out: Path) -> PlannedRun:
    arguments: dict[str, Any] = {**suite.shared, **environment.arguments}
    if choice.budget is not None:
        arguments["total_timesteps"] = choice.budget
    if choice.device is not None:
        arguments["device"] = choice.device
    # What the task asks for holds unless the agent says otherwise.
    both = {**arguments.get("algorithm_kwargs", {}), **agent.arguments.get("algorithm_kwargs", {})}
    arguments.update(agent.arguments, algorithm_kwargs=both, seed=seed)
    if arguments.get("algorithm") == SCRIPTED:
        arguments["total_timesteps"] = 0
        for name in _LEARNING:
            arguments.pop(name, None)
    try:
        config = TrainingConfig(**arguments)
    except UsageError as error:
        raise UsageError(f"{environment.where} with {agent.where}: {error}") from error
    return PlannedRun(environment.name, agent.name, config, out / folder_name(environment.name, agent.name, config))


def distinct(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """
    :param runs: runs
    :return: one of those that differ in nothing but the seed
    """
    first: dict[str, PlannedRun] = {}
    for run in runs:
        first.setdefault(json.dumps(asdict(replace(run.config, seed=0)), sort_keys=True), run)
    return list(first.values())
