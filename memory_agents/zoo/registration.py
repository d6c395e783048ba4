"""What RL Baselines3 Zoo is told of this library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents.ppo import PPO
from memory_agents.zoo.search import ppo_hyperparams, sample_ppo

HYPERPARAMS = Path(__file__).parent / "hyperparams"


@dataclass(frozen=True)
class ZooAlgorithm:
    """
    An algorithm as the zoo knows it.

    :param algorithm: the class
    :param config: file of hyperparameters for the environments of this library
    :param sample: draws hyperparameters, called as ``sample(trial, n_actions, n_envs, additional_args)``
    :param convert: hyperparameters from what a trial has drawn
    """

    algorithm: type[BaseAlgorithm]
    config: Path
    sample: Callable[[Any, int, int, dict[str, Any]], dict[str, Any]]
    convert: Callable[[dict[str, Any]], dict[str, Any]]


#: Algorithms by the names that ``--algo`` takes.
ALGORITHMS: dict[str, ZooAlgorithm] = {
    "ppo_memory": ZooAlgorithm(PPO, HYPERPARAMS / "on_policy.yml", sample_ppo, ppo_hyperparams),
}


def register() -> None:
    """
    Add :data:`ALGORITHMS` to those of the zoo.

    :raises ImportError: when ``rl_zoo3`` is missing
    """
    try:
        from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
        from rl_zoo3.utils import ALGOS
    except ImportError as error:
        raise ImportError("RL Baselines3 Zoo is missing: pip install 'memory_agents[zoo]'") from error
    # What the zoo's own functions are annotated as says more than they need.
    samplers: dict[str, Any] = HYPERPARAMS_SAMPLER
    converters: dict[str, Any] = HYPERPARAMS_CONVERTER
    for name, entry in ALGORITHMS.items():
        ALGOS[name] = entry.algorithm
        samplers[name] = entry.sample
        converters[name] = entry.convert
