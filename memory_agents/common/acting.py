"""What policies with memory are given when they act."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PyTorchObs

from memory_agents.common.observations import flat_observation
from memory_agents.memory import batch_size, is_traced, tree_leaves, tree_to


class ActingInputs(NamedTuple):
    """
    :param obs: observations, (n_envs, ...)
    :param state: the state before the step, None where there is none yet
    :param episode_starts: whether an episode starts at the step, (n_envs,) bool
    :param vectorized: whether the observation was of several environments
    """

    obs: PyTorchObs
    state: Any
    episode_starts: th.Tensor
    vectorized: bool


class ActingPolicy(Protocol):
    """What a policy with memory has beside what every policy of Stable-Baselines3 has."""

    observation_space: spaces.Space[Any]

    @property
    def device(self) -> th.device: ...

    def obs_to_tensor(self, observation: Any) -> tuple[PyTorchObs, bool]: ...

    def initial_state(self, n_envs: int) -> Any: ...

    def pack_state(self, state: Any) -> Any: ...


def acting_inputs(
    policy: ActingPolicy,
    observation: np.ndarray | dict[str, Any] | tuple[Any, ...],
    state: Any,
    episode_start: Iterable[bool] | np.ndarray | None,
) -> ActingInputs:
    """
    :param policy: who acts
    :param observation: one observation, or one per environment; nested ones may be as the environment gives them
    :param state: the state before the step, ``None`` before the first
    :param episode_start: whether an episode starts at this step, one entry per environment (default: none starts)
    :return: the same as tensors
    :raises ValueError: when observation, state and episode_start are of different numbers of environments, the state
        is none of this policy, or the observation is the ``(obs, info)`` pair of ``env.reset()``
    """
    observation = flat_observation(observation, policy.observation_space)
    if isinstance(observation, tuple):
        raise ValueError("observation is a tuple; pass the first element of the (obs, info) pair of env.reset()")
    obs, vectorized = policy.obs_to_tensor(observation)
    n_envs = len(next(iter(obs.values()))) if isinstance(obs, dict) else len(obs)
    if n_envs == 0:
        raise ValueError("observation is of no environment; give one of at least one")
    if state is not None:
        if _shapes(policy, state) != _shapes(policy, policy.initial_state(1)):
            raise ValueError(
                f"state is {reprlib.repr(state)}, which is no state of this agent's memory; "
                "pass what its own predict returned, or None before the first step"
            )
        if batch_size(state) != n_envs:
            raise ValueError(
                f"state is of {batch_size(state)} environments, observation of {n_envs}; "
                "pass state=None when the number of environments changes"
            )
        state = tree_to(state, policy.device)
    starts = np.zeros(n_envs, dtype=bool) if episode_start is None else np.array(episode_start, dtype=bool).reshape(-1)
    if len(starts) != n_envs:
        raise ValueError(f"episode_start has {len(starts)} entries for {n_envs} environments; pass one for each")
    return ActingInputs(obs, state, th.as_tensor(starts, device=policy.device), vectorized)


def _shapes(policy: ActingPolicy, state: Any) -> list[th.Size] | None:
    """Shapes of what is stored of a state, without the number of environments; None of anything else."""
    try:
        return [leaf.shape[1:] for leaf in tree_leaves(policy.pack_state(state))]
    except (AttributeError, TypeError, ValueError):
        return None


def checked_starts(features: th.Tensor, state: Any, episode_starts: Any) -> th.Tensor:
    """
    :param features: features of one step, (n_envs, features_dim)
    :param state: the state before the step
    :param episode_starts: whether an episode starts at this step, (n_envs,): a tensor, an array or a list, of flags or
        of numbers, as sb3-contrib's recurrent policies take them
    :return: the same as (n_envs,) bool
    :raises ValueError: when the three are of different numbers of environments
    """
    starts = th.as_tensor(episode_starts, device=features.device).bool()
    if is_traced():
        # Lengths are not known before the graph runs.
        return starts
    n_envs = len(features)
    if batch_size(state) != n_envs:
        raise ValueError(
            f"state is of {batch_size(state)} environments, observation of {n_envs}; "
            f"begin with initial_state({n_envs}) when the number of environments changes"
        )
    if starts.shape != (n_envs,):
        raise ValueError(
            f"episode_starts has shape {tuple(starts.shape)} for {n_envs} environments; pass one for each, ({n_envs},)"
        )
    return starts
