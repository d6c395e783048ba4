"""What ``--algorithm`` takes: algorithms with memory, each beside the stock one that it is compared with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sb3_contrib
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents import A2C, DQN, PPO, QRDQN, TRPO, MaskablePPO
from memory_agents.common import MemoryOffPolicyAlgorithm, MemoryOnPolicyAlgorithm
from memory_agents.common.defaults import (
    DEFAULT_EPOCHS,
    DEFAULT_REPLAY_WINDOWS,
    DEFAULT_VALUE_WEIGHT,
    default_learning_rate,
    default_train_freq,
)
from memory_agents.common.sequences import rollout_sizes


def has_memory_of_ours(algorithm: type[BaseAlgorithm]) -> bool:
    """
    :param algorithm: an algorithm, perhaps the user's own
    :return: whether it takes this library's policies with memory
    """
    return issubclass(algorithm, MemoryOnPolicyAlgorithm | MemoryOffPolicyAlgorithm)


@dataclass(frozen=True)
class Algorithm:
    """
    :param remembering: for policies with memory
    :param memoryless: the stock algorithm, for the baseline without memory
    :param hyperparameters: what the stock algorithm needs to have the defaults of the other one; called with the number
        of environments and the arguments that are given. What is left beside memory are its own layers and, off-policy,
        that it has no ``double_q``
    """

    remembering: type[BaseAlgorithm]
    memoryless: type[BaseAlgorithm]
    hyperparameters: Callable[[int, Mapping[str, Any]], dict[str, Any]]


def _sizes(algorithm: type[MemoryOnPolicyAlgorithm], n_envs: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Rollouts and minibatches as large as those of the algorithm with memory."""
    asked = [given.get(name) for name in ("n_steps", "sequence_length", "batch_size")]
    usual = dict(rollout_size=algorithm.rollout_size, shortest=algorithm.shortest_rollout)
    try:
        sizes = rollout_sizes(n_envs, *asked, **usual)
    except ValueError:
        # Without windows more sizes will do, and what will not the stock algorithm says.
        sizes = rollout_sizes(n_envs, None, None, None, **usual)
    return dict(n_steps=sizes.n_steps, batch_size=sizes.batch_size)


def _ppo(n_envs: int, given: Mapping[str, Any]) -> dict[str, Any]:
    return dict(
        learning_rate=default_learning_rate(),
        **_sizes(PPO, n_envs, given),
        n_epochs=DEFAULT_EPOCHS,
        gamma=0.99,
        gae_lambda=0.95,
        ent_coef=0.01,
        vf_coef=DEFAULT_VALUE_WEIGHT,
    )


def _a2c(n_envs: int, given: Mapping[str, Any]) -> dict[str, Any]:
    return dict(
        learning_rate=default_learning_rate(),
        n_steps=_sizes(A2C, n_envs, given)["n_steps"],
        gamma=0.99,
        gae_lambda=0.95,
        ent_coef=0.01,
        use_rms_prop=False,
        normalize_advantage=True,
    )


def _trpo(n_envs: int, given: Mapping[str, Any]) -> dict[str, Any]:
    return _sizes(TRPO, n_envs, given)


def _q_learning(n_envs: int, given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("learning_rate", "buffer_size", "learning_starts", "target_update_interval", "exploration_fraction")
    parameters = inspect.signature(MemoryOffPolicyAlgorithm).parameters
    return dict(
        batch_size=DEFAULT_REPLAY_WINDOWS * parameters["sequence_length"].default,
        train_freq=default_train_freq(n_envs),
        **{name: parameters[name].default for name in names},
    )


#: Algorithms by name; the first is the default.
ALGORITHMS: dict[str, Algorithm] = {
    "PPO": Algorithm(PPO, stable_baselines3.PPO, _ppo),
    "A2C": Algorithm(A2C, stable_baselines3.A2C, _a2c),
    "MaskablePPO": Algorithm(MaskablePPO, sb3_contrib.MaskablePPO, _ppo),
    "TRPO": Algorithm(TRPO, sb3_contrib.TRPO, _trpo),
    "DQN": Algorithm(DQN, stable_baselines3.DQN, _q_learning),
    "QRDQN": Algorithm(QRDQN, sb3_contrib.QRDQN, _q_learning),
}


@dataclass(frozen=True)
class Baseline:
    """
    An algorithm by others with a memory of its own.

    :param algorithm: its class
    :param policy: what ``--policy`` takes
    :param dict_policy: what that is where observations are dictionaries
    :param hyperparameters: what it needs to have the defaults of this library's PPO; called with the number of
        environments and the arguments that are given
    """

    algorithm: type[BaseAlgorithm]
    policy: str
    dict_policy: str
    hyperparameters: Callable[[int, Mapping[str, Any]], dict[str, Any]]


#: Further algorithms by name.
BASELINES: dict[str, Baseline] = {
    "RecurrentPPO": Baseline(sb3_contrib.RecurrentPPO, "MlpLstmPolicy", "MultiInputLstmPolicy", _ppo),
}
