"""Episode starts as memories read them."""

from __future__ import annotations

from typing import Any

import torch as th

from memory_agents.memory import batch_size, is_traced


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
