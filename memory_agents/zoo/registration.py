"""What RL Baselines3 Zoo is told of this library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents.a2c import A2C
from memory_agents.common.search_spaces import (
    a2c_hyperparams,
    dqn_hyperparams,
    ppo_hyperparams,
    sample_a2c,
    sample_dqn,
    sample_ppo,
    sample_trpo,
)
from memory_agents.dqn import DQN
from memory_agents.ppo import PPO
from memory_agents.qrdqn import QRDQN
from memory_agents.trpo import TRPO

HYPERPARAMS = Path(__file__).parent / "hyperparams"
ON_POLICY = HYPERPARAMS / "on_policy.yml"
OFF_POLICY = HYPERPARAMS / "off_policy.yml"


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


#: Algorithms by the names that ``--algo`` takes. MaskablePPO is not among them, because the zoo shows no masks.
ALGORITHMS: dict[str, ZooAlgorithm] = {
    "a2c_memory": ZooAlgorithm(A2C, ON_POLICY, sample_a2c, a2c_hyperparams),
    "dqn_memory": ZooAlgorithm(DQN, OFF_POLICY, sample_dqn, dqn_hyperparams),
    "ppo_memory": ZooAlgorithm(PPO, ON_POLICY, sample_ppo, ppo_hyperparams),
    "qrdqn_memory": ZooAlgorithm(QRDQN, OFF_POLICY, sample_dqn, dqn_hyperparams),
    "trpo_memory": ZooAlgorithm(TRPO, ON_POLICY, sample_trpo, ppo_hyperparams),
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
