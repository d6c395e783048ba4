"""What of a run's arguments is its task, what is its agent, and what these are called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

from memory_agents.benchmarks.config import SCRIPTED, TrainingConfig
from memory_agents.benchmarks.labels import differing, distinct_names, flatten, told_apart

#: Arguments of a run that say what it was on, and under which conditions.
TASK = (
    "env", "env_kwargs", "total_timesteps", "pretrain_timesteps", "pretrain_env_kwargs", "eval_episodes", "device",
    "threads",
)  # fmt: skip
#: Arguments that are conditions, too, where all agents of each task share them: a suite may scale rewards or take more
#: epochs on one task. Where agents of one task differ in one, it is theirs, as all other arguments but the seed are.
EITHER = ("n_envs", "normalize_reward", "algorithm_kwargs")
#: What a player who learns nothing shares with those who do.
WITHOUT_LEARNING = ("env", "env_kwargs", "eval_episodes")
#: What the play of one who learns nothing follows from.
PLAYED = ("algorithm", "policy", "policy_kwargs", "n_stack", *WITHOUT_LEARNING, "seed")

DEFAULTS = {entry.name: entry.default for entry in fields(TrainingConfig)}


class Sorting:
    """
    Says of each run's arguments which are its task's and which are its agent's.

    :param configs: the arguments of all runs
    """

    def __init__(self, configs: Iterable[TrainingConfig]) -> None:
        tasks: dict[str, list[dict[str, Any]]] = {}
        for config in configs:
            if config.total_timesteps:
                flat = flatten(asdict(config))
                tasks.setdefault(_text(flat, lambda name: _group(name) in TASK), []).append(flat)
        self._agents = {name for alike in tasks.values() for name in differing(alike) if _group(name) in EITHER}

    def _is_of_task(self, name: str) -> bool:
        return _group(name) in TASK or (_group(name) in EITHER and name not in self._agents)

    def task(self, config: TrainingConfig) -> str:
        """
        :param config: a run's arguments
        :return: those of its task, as text
        """
        return _text(flatten(asdict(config)), self._is_of_task)

    def of_agent(self, config: TrainingConfig) -> dict[str, Any]:
        """
        :param config: a run's arguments
        :return: those of its agent, without groups
        """
        flat = flatten(asdict(config))
        return {name: value for name, value in flat.items() if name != "seed" and not self._is_of_task(name)}

    def agent(self, config: TrainingConfig) -> str:
        """
        :param config: a run's arguments
        :return: those of its agent, as text
        """
        return json.dumps(self.of_agent(config), sort_keys=True)

    def tasks(self, config: TrainingConfig, known: dict[str, TrainingConfig]) -> list[str]:
        """
        :param config: a run's arguments
        :param known: arguments of a run of each task that agents learn on, by the task
        :return: the run's task; of a player who learns nothing all tasks whose environment and evaluation are its own
        """
        if config.total_timesteps:
            return [self.task(config)]
        alike = [task for task, other in known.items() if _same(config, other, WITHOUT_LEARNING)]
        return alike or [self.task(config)]


def _group(name: str) -> str:
    return name.partition(".")[0]


def _text(flat: dict[str, Any], chosen: Callable[[str], bool]) -> str:
    return json.dumps({name: value for name, value in flat.items() if chosen(name)}, sort_keys=True)


def _same(one: TrainingConfig, other: TrainingConfig, names: Sequence[str]) -> bool:
    # As text: a number that is none is not equal to itself.
    texts = ({name: getattr(config, name) for name in names} for config in (one, other))
    return len({json.dumps(text, sort_keys=True) for text in texts}) == 1


def agent_names(agents: Sequence[dict[str, Any]]) -> list[str]:
    """
    :param agents: arguments of agents, by :meth:`Sorting.of_agent`
    :return: what to call them: the arguments in which they differ
    """
    # The policy's name says more than no name at all.
    names = [", ".join(words) or agent["policy"] for agent, words in zip(agents, _told(agents, _word), strict=True)]
    return distinct_names(names, agents)


def task_names(configs: dict[str, TrainingConfig]) -> dict[str, str]:
    """
    :param configs: arguments of a run of each task, by the task
    :return: what to call them, by the task: the environment and, where several tasks have it, in what they differ
    """
    plain = {key: _environment(config) for key, config in configs.items()}
    names = {}
    for name in dict.fromkeys(plain.values()):
        alike = [key for key in plain if plain[key] == name]
        tasks = [flatten({part: getattr(configs[key], part) for part in TASK[2:]}) for key in alike]
        for key, words in zip(alike, _told(tasks, _pair), strict=True):
            names[key] = ", ".join([name, *words])
    distinct = distinct_names(list(names.values()), [flatten(asdict(configs[key])) for key in names])
    return dict(zip(names, distinct, strict=True))


def _environment(config: TrainingConfig) -> str:
    arguments = ", ".join(f"{name}={_shown(value)}" for name, value in config.env_kwargs.items())
    return config.env.removeprefix("MemoryAgents/") + (f" ({arguments})" if arguments else "")


def _told(all_arguments: Sequence[dict[str, Any]], word: Callable[[str, Any], str | None]) -> list[list[str]]:
    """Of each those arguments in which they differ, as words."""
    return [
        [text for name, value in told.items() if (text := word(name, value)) is not None]
        for told in told_apart(all_arguments)
    ]


def _word(name: str, value: Any) -> str | None:
    if name == "policy":
        return str(value)
    # The default goes without saying, and so does that a script is no algorithm.
    if value in (DEFAULTS.get(name, MISSING), SCRIPTED):
        return None
    return str(value) if name in ("memory_class", "algorithm") else _pair(name, value)


def _pair(name: str, value: Any) -> str:
    if name == "total_timesteps":
        return f"{value:,} steps"
    group, _, rest = name.partition(".")
    short = name if group in ("judger_kwargs", "pretrain_env_kwargs") else rest or name
    return f"{short}={_shown(value)}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
