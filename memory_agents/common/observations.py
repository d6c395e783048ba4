"""Observations as the policies read them: one level of dictionary, counted from zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common.preprocessing import get_obs_shape
from stable_baselines3.common.type_aliases import GymEnv, PyTorchObs
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize
from stable_baselines3.common.vec_env.patch_gym import _patch_env

#: Between the names of a nested entry. A dot would not do: networks of PyTorch refuse it in names.
SEPARATOR = "/"


class FlatDictObservation(gym.ObservationWrapper[dict[str, Any], Any, Any], RecordConstructorArgs):
    """
    Nested ``Dict`` and ``Tuple`` observations as one ``Dict`` without nesting, which is all that Stable-Baselines3
    reads. Entries keep their spaces and get the path to them as their name::

        {"map": {"here": ..., "there": ...}, "cards": (..., ...)}
        -> {"map/here": ..., "map/there": ..., "cards/0": ..., "cards/1": ...}

    Algorithms of this library put it around an environment that needs it. Vectorised environments have it put around
    each of theirs: ``make_vec_env(env_id, wrapper_class=FlatDictObservation)``.

    :param env: environment with observations in a ``Dict`` or ``Tuple``
    :raises ValueError: when there is nothing to flatten, or two entries get the same name
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        if not isinstance(env.observation_space, spaces.Dict | spaces.Tuple):
            raise ValueError(f"env has observations in {env.observation_space}, which is flat; leave the wrapper out")
        #: where each entry stands in the observation inside
        self._paths: dict[str, tuple[Any, ...]] = {}
        flat: dict[str, spaces.Space[Any]] = {}
        for path, space in _leaves(env.observation_space):
            name = SEPARATOR.join(map(str, path))
            if name in flat:
                raise ValueError(f"env has two observations whose names become {name!r}; rename one of them")
            flat[name], self._paths[name] = space, path
        self.observation_space = spaces.Dict(flat)

    def observation(self, observation: Any) -> dict[str, Any]:
        """
        :param observation: an observation of the environment inside
        :return: its entries, by the paths to them
        """
        flat = {}
        for name, path in self._paths.items():
            entry = observation
            for key in path:
                entry = entry[key]
            flat[name] = entry
        return flat


def _leaves(space: spaces.Space[Any]) -> Iterator[tuple[tuple[Any, ...], spaces.Space[Any]]]:
    """
    :return: the path to every space that is no dictionary or tuple, and that space
    """
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        yield (), space
        return
    for key, part in space.items() if isinstance(space, spaces.Dict) else enumerate(space):
        for path, leaf in _leaves(part):
            yield (key, *path), leaf


def is_nested(space: spaces.Space[Any]) -> bool:
    """
    :param space: observation space
    :return: whether it needs :class:`FlatDictObservation`
    """
    if isinstance(space, spaces.Dict):
        return any(isinstance(part, spaces.Dict | spaces.Tuple) for part in space.values())
    return isinstance(space, spaces.Tuple)


def check_observation_space(space: spaces.Space[Any]) -> None:
    """
    :param space: observation space of environments in which a policy shall learn
    :raises ValueError: when no policy can read it
    """
    if is_nested(space):
        raise ValueError(
            f"env has nested observations, {space}; put FlatDictObservation around each of its environments, "
            "as make_vec_env(..., wrapper_class=FlatDictObservation) does"
        )
    for path, leaf in _leaves(space):
        where = f"observations {path[0]!r} in" if path else "observations in"
        if isinstance(leaf, spaces.MultiDiscrete) and len(leaf.shape) != 1:
            raise ValueError(
                f"env has {where} {leaf}, of which one dimension only can be read; "
                "put FlattenObservation of Gymnasium around each environment, or reshape them"
            )
        if not isinstance(leaf, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
            instead = ", or leave them out with FilterObservation of Gymnasium" if path else ""
            raise ValueError(f"env has {where} {leaf}, which cannot be read; turn them into numbers{instead}")


def readable(env: GymEnv) -> GymEnv:
    """
    :param env: environment, or vectorised environment, in which a policy shall learn
    :return: the same, in a :class:`FlatDictObservation` where it needs one and is a single environment; one of OpenAI
        Gym as Gymnasium has it
    :raises ValueError: when it is no environment, or no policy can read its observations
    """
    if not isinstance(env, VecEnv):
        # Those of OpenAI Gym have spaces of their own.
        env = _patch_env(env)
        if is_nested(env.observation_space):
            env = FlatDictObservation(env)
    check_observation_space(env.observation_space)
    return env


def check_importance(space: spaces.Space[Any]) -> None:
    """
    :param space: observation space of a policy whose memory is told what matters
    :raises ValueError: when it does not begin with ``important``, one number
    """
    first = next(iter(space), None) if isinstance(space, spaces.Dict) else None
    if not isinstance(space, spaces.Dict) or first != "important" or spaces.flatdim(space["important"]) != 1:
        raise ValueError(
            f"the judger of this memory has to be told what matters, by observations whose first entry is 'important', "
            f"one number, but they are {space}; put memory_agents.envs.ShowImportance around each environment, or use "
            "another judger"
        )


def flat_observation(observation: Any, space: spaces.Space[Any]) -> Any:
    """
    :param observation: an observation
    :param space: observation space of a policy
    :return: the observation as :class:`FlatDictObservation` would give it, where that is what the policy has learned
        from; otherwise the observation itself
    """
    if not isinstance(space, spaces.Dict) or not isinstance(observation, dict | tuple):
        return observation
    flat = {SEPARATOR.join(map(str, path)): entry for path, entry in _entries(observation)}
    return flat if flat.keys() == space.keys() else observation


def check_replayable(env: VecEnv) -> None:
    """
    Replay buffers keep observations as ``VecNormalize`` is given them, and nothing of what goes around it.

    :param env: vectorised environments in which an off-policy algorithm shall learn
    :raises ValueError: when what goes around ``VecNormalize`` makes other observations of those
    """
    normalize = unwrap_vec_normalize(env)
    if normalize is not None and get_obs_shape(normalize.observation_space) != get_obs_shape(env.observation_space):
        raise ValueError(
            f"env makes {env.observation_space} of the observations of its VecNormalize, "
            f"{normalize.observation_space}, but replay buffers keep what VecNormalize is given; put that around "
            "everything else, as VecNormalize(VecTransposeImage(venv)), and with norm_obs_keys=['observation'] where "
            "actions are part of observations"
        )


def original_next_observations(normalize: VecNormalize, dones: np.ndarray, infos: Sequence[dict[str, Any]]) -> Any:
    """
    What followed the latest step, as it was before it was normalised. Stable-Baselines3's algorithms would put the last
    observation of an episode into an array of its own type while it is still normalised, which leaves nothing of
    integers, and none where an observation is a single number.

    :param normalize: the environments
    :param dones: whether an episode ended with the step, (n_envs,)
    :param infos: of the step
    :return: observations, (n_envs, ...): the last of the episode where it ended, not the first of the next
    """
    found = normalize.get_original_obs()  # a copy
    for env, (done, info) in enumerate(zip(dones, infos, strict=True)):
        if not done or info.get("terminal_observation") is None:
            continue
        last: Any = normalize.unnormalize_obs(info["terminal_observation"])
        pairs = [(found[key], last[key]) for key in found] if isinstance(found, dict) else [(found, last)]
        for array, entry in pairs:
            array[env] = np.rint(entry) if np.issubdtype(array.dtype, np.integer) else entry
    return found


def _entries(observation: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """
    :return: the path to everything that is no dictionary or tuple, and that thing
    """
    if not isinstance(observation, dict | tuple):
        yield (), observation
        return
    for key, part in observation.items() if isinstance(observation, dict) else enumerate(observation):
        for path, entry in _entries(part):
            yield (key, *path), entry


def counted_from_zero(obs: PyTorchObs, space: spaces.Space[Any]) -> PyTorchObs:
    """
    :param obs: observations, (batch, ...)
    :param space: observation space
    :return: the same with categories counted from zero, as one-hot encoding wants them, and lone numbers in a column
    """
    if isinstance(obs, dict):
        return {key: _counted_from_zero(part, space[key]) for key, part in obs.items()}  # type: ignore[index]
    return _counted_from_zero(obs, space)


def _counted_from_zero(obs: th.Tensor, space: spaces.Space[Any]) -> th.Tensor:
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start):
        # Numbers and no tensor, which would have to be copied to a device at every step.
        firsts = np.ravel(space.start).tolist()
        columns = obs.reshape(-1, len(firsts)).unbind(dim=1)
        return th.stack([column - first for column, first in zip(columns, firsts, strict=True)], dim=1).view_as(obs)
    if isinstance(space, spaces.Box) and space.shape == ():
        return obs.reshape(-1, 1)
    return obs
