"""Agents beside this library's algorithms: scripted players, algorithms by others, and the user's own."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.benchmarks.algorithms import ALGORITHMS, BASELINES, Baseline, has_memory_of_ours
from memory_agents.benchmarks.arguments import UsageError, check_name
from memory_agents.benchmarks.config import SCRIPTED, TrainingConfig
from memory_agents.benchmarks.dotted import load_algorithm, load_class, load_policy
from memory_agents.benchmarks.scripted import Scripted
from memory_agents.common.building import default_features_extractor
from memory_agents.memory import MemoryCore, memory_registry


class PlainFlatten(FlattenExtractor):
    """
    The same with a width that is a Python integer, which PyTorch's LSTM wants; of categories NumPy counts them.

    :param observation_space: observation space
    """

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        super().__init__(observation_space)
        self._features_dim = int(self._features_dim)


def algorithm_names() -> list[str]:
    """
    :return: what ``--algorithm`` takes, beside ``module:Class``
    """
    return [*ALGORITHMS, *BASELINES, SCRIPTED]


def check_algorithm(name: str) -> None:
    """
    :param name: what ``--algorithm`` was given
    :raises UsageError: when it is unknown or cannot be imported
    """
    if ":" in name:
        load_algorithm("--algorithm", name)
    else:
        check_name("--algorithm", name, algorithm_names(), f"use {', '.join(algorithm_names())}, or module:Class")


def policy_of(config: TrainingConfig) -> str | type[BasePolicy]:
    """
    :param config: the run's arguments
    :return: the policy's name, or the class that it names
    :raises UsageError: when the class cannot be imported
    """
    return load_policy("--policy", config.policy) if ":" in config.policy else config.policy


def other_algorithm(config: TrainingConfig) -> type[BaseAlgorithm] | None:
    """
    :param config: the run's arguments
    :return: the class, where the algorithm is none of this library's
    :raises UsageError: when it is unknown or cannot be imported
    """
    check_algorithm(config.algorithm)
    if config.algorithm == SCRIPTED:
        return Scripted
    if config.algorithm in BASELINES:
        return BASELINES[config.algorithm].algorithm
    return load_algorithm("--algorithm", config.algorithm) if ":" in config.algorithm else None


def memory_arguments(config: TrainingConfig) -> dict[str, Any]:
    """
    :param config: the run's arguments
    :return: those that say which memory an agent has, and how it is judged
    """
    named = {"--memory-class": config.memory_class, "--memory-kwargs": config.memory_kwargs}
    return {name: value for name, value in {**named, "--judger-kwargs": config.judger_kwargs}.items() if value}


def memory_class_of(name: str) -> str | type[MemoryCore[Any]]:
    """
    :param name: what ``--memory-class`` was given
    :return: the memory core's registered name, or the class that it names
    :raises UsageError: when it is unknown or cannot be imported
    """
    if ":" in name:
        found: type[MemoryCore[Any]] = load_class("--memory-class", name, MemoryCore)
        return found
    return check_name("--memory-class", name, memory_registry, f"use {', '.join(memory_registry)}, or module:Class")


def memory_policy_kwargs(config: TrainingConfig) -> dict[str, Any]:
    """
    :param config: the run's arguments
    :return: keyword arguments of a policy with a memory core
    :raises UsageError: when the memory's arguments are given twice, or its class is unknown
    """
    twice = {"memory_kwargs", "memory_class"} & set(config.policy_kwargs)
    if twice:
        name = min(twice)
        raise UsageError(f"--policy-kwargs {name} has an option of its own; use --{name.replace('_', '-')}")
    memory = {} if config.memory_class is None else {"memory_class": memory_class_of(config.memory_class)}
    return {"memory_kwargs": dict(config.memory_kwargs), **memory, **config.policy_kwargs}


def make_other(kind: type[BaseAlgorithm], config: TrainingConfig, venv: VecEnv, device: str) -> BaseAlgorithm:
    """
    :param kind: the algorithm's class
    :param config: the run's arguments
    :param venv: the environments to learn in
    :param device: PyTorch's device
    :return: the untrained agent
    :raises UsageError: when an argument is not one of this agent's
    :raises TypeError: when the class refuses an argument
    :raises ValueError: when the class refuses a value
    """
    remembers = has_memory_of_ours(kind)
    if not remembers and memory_arguments(config):
        raise UsageError(f"--algorithm {config.algorithm!r} does not take {', '.join(memory_arguments(config))}")
    policy, policy_kwargs = policy_of(config), dict(config.policy_kwargs)
    aliases = kind.policy_aliases
    if isinstance(policy, str):
        check_name("--policy", policy, aliases, f"use {', '.join(aliases)}, or module:Class")
    arguments: dict[str, Any] = dict(config.algorithm_kwargs)
    is_dict = isinstance(venv.observation_space, spaces.Dict)
    if config.algorithm == SCRIPTED:
        _check_scripted(config)
        policy_kwargs = dict(env=config.env, env_kwargs=dict(config.env_kwargs), seed=config.seed)
    elif config.algorithm in BASELINES:
        baseline: Baseline = BASELINES[config.algorithm]
        arguments = {**baseline.hyperparameters(venv.num_envs, arguments), **arguments}
        extractor = default_features_extractor(kind._wrap_env(venv).observation_space)
        extractor = PlainFlatten if extractor is FlattenExtractor else extractor
        policy_kwargs = {"features_extractor_class": extractor, **policy_kwargs}
        policy = baseline.dict_policy if is_dict and policy == baseline.policy else policy
    elif remembers:
        policy_kwargs = memory_policy_kwargs(config)
        if config.judger_kwargs:
            arguments["judger_kwargs"] = dict(config.judger_kwargs)
    elif policy == "MlpPolicy" and is_dict and "MultiInputPolicy" in aliases:
        policy = "MultiInputPolicy"
    make: Any = kind
    agent: BaseAlgorithm = make(policy, venv, policy_kwargs=policy_kwargs, seed=config.seed, device=device, **arguments)
    return agent


def _check_scripted(config: TrainingConfig) -> None:
    given = dict(
        n_stack=config.n_stack > 1, algorithm_kwargs=config.algorithm_kwargs, policy_kwargs=config.policy_kwargs
    )
    for name, value in given.items():
        if value:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} {getattr(config, name)}: a scripted player takes none; leave it out")
