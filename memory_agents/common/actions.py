"""Actions as policies choose them and as environments take them, and masks of those that are valid."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

#: Logit of an invalid action. Its probability is exactly zero, and unlike infinity it leaves entropies finite.
INVALID = -1e8


def env_actions(policy: ActorCriticPolicy, actions: np.ndarray) -> np.ndarray:
    """
    :param policy: the policy that chose them
    :param actions: actions as the policy's distribution gives them
    :return: actions as environments take them: squashed ones scaled back to the bounds, unbounded ones clipped to them,
        choices counted from where the space starts
    """
    space = policy.action_space
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return actions + space.start
    if not isinstance(space, spaces.Box):
        return actions
    return policy.unscale_action(actions) if policy.squash_output else np.clip(actions, space.low, space.high)


def mask_sizes(space: spaces.Space[Any]) -> list[int]:
    """
    :param space: action space
    :return: for each choice of an action, from how many values it is made: sb3-contrib's masks have one entry for each,
        choice after choice
    :raises TypeError: when nothing can be masked
    """
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(n) for n in space.nvec.ravel()]
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    raise TypeError(
        f"actions in {space} cannot be masked; use Discrete, MultiDiscrete or MultiBinary actions, or leave out "
        "action_masks"
    )


def checked_masks(masks: Any, space: spaces.Space[Any], n_envs: int) -> np.ndarray:
    """
    :param masks: which values are valid, for one environment or one row for each
    :param space: action space
    :param n_envs: number of environments
    :return: the same, (n_envs, values) bool
    :raises TypeError: when nothing can be masked
    :raises ValueError: when there are more or fewer values, or an environment has no valid one
    """
    sizes = mask_sizes(space)
    valid = np.asarray(masks, dtype=bool)
    if valid.size != n_envs * sum(sizes):
        raise ValueError(
            f"action_masks has shape {valid.shape} for {n_envs} environments with actions in {space}; pass "
            f"{sum(sizes)} values for each"
        )
    valid = valid.reshape(n_envs, -1)
    for choice in np.split(valid, np.cumsum(sizes)[:-1], axis=1):
        stuck = ~choice.any(axis=1)
        if stuck.any():
            raise ValueError(
                f"action_masks of environment {stuck.argmax()} is {valid[stuck.argmax()].astype(int).tolist()}, which "
                "leaves no valid action; every choice needs one"
            )
    return valid


def invalid_actions(actions: np.ndarray, masks: np.ndarray, space: spaces.Space[Any]) -> np.ndarray:
    """
    :param actions: actions as environments take them, (n_envs, ...)
    :param masks: which values are valid, (n_envs, values) bool
    :param space: action space
    :return: which of the actions are invalid, (n_envs,) bool
    """
    start = space.start if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) else 0
    chosen = (actions - start).reshape(len(masks), -1).astype(int)
    firsts = np.cumsum([0, *mask_sizes(space)[:-1]])
    valid: np.ndarray = np.take_along_axis(masks.astype(bool), chosen + firsts, axis=1)
    return np.logical_not(valid.all(axis=1))


def masked_logits(logits: th.Tensor, masks: th.Tensor | np.ndarray, space: spaces.Space[Any]) -> th.Tensor:
    """
    Invalid action masking (Huang and Ontanon 2020, arXiv 2006.14171). Where every value is valid the logits stay as
    they are, to the last bit.

    :param logits: what the distribution of :func:`~stable_baselines3.common.distributions.make_proba_distribution` is
        made from: one for each value, but for each binary choice one alone, (batch, logits)
    :param masks: which values are valid, (batch, values)
    :param space: action space
    :return: logits by which invalid values are never chosen, and have no gradient
    :raises TypeError: when nothing can be masked
    """
    valid = th.as_tensor(masks, device=logits.device).bool().reshape(len(logits), sum(mask_sizes(space)))
    if not isinstance(space, spaces.MultiBinary):
        return th.where(valid, logits, INVALID)
    zero, one = valid.view(len(logits), -1, 2).unbind(dim=2)
    return th.where(zero, th.where(one, logits, INVALID), -INVALID)
