"""Wrappers that more than one suite needs."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


def reports_success(env: gym.Env[Any, Any]) -> bool:
    """
    :param env: an environment, wrapped or not
    :return: whether it, or a wrapper of it, says that the info of an episode's last step has ``is_success``
    """
    return env.has_wrapper_attr("reports_success") and bool(env.get_wrapper_attr("reports_success"))


class Wrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    A wrapper without further arguments, whose environments can tell how they were made.

    :param env: the environment
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)


class SuccessByReward(Wrapper):
    """
    Put ``is_success`` into the info of an episode's last step: whether that step was rewarded, and no time limit.

    :param env: environment that pays at the end of a solved episode only
    """

    reports_success = True

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        :param action: an action
        :return: what the environment returns, the info completed
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            info = {**info, "is_success": bool(terminated) and float(reward) > 0}
        return observation, float(reward), terminated, truncated, info


class PreviousAction(Wrapper):
    """
    Flat observations ``[observation, previous action, first step]`` of float32, all that is discrete one-hot. At the
    first step of an episode the action is zeros and the last entry 1.

    :param env: environment whose spaces can be flattened
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        observation, action = (spaces.flatten_space(space) for space in (env.observation_space, env.action_space))
        assert isinstance(observation, spaces.Box)
        assert isinstance(action, spaces.Box)
        self._no_action = np.zeros(action.shape)
        self.observation_space: spaces.Space[Any] = spaces.Box(
            np.concatenate([observation.low, np.minimum(action.low, 0), [0]]).astype(np.float32),
            np.concatenate([observation.high, np.maximum(action.high, 0), [1]]).astype(np.float32),
            dtype=np.float32,
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        :param seed: passed on
        :param options: passed on
        :return: the first observation, and the info
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._flat(observation, self._no_action, True), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: an action
        :return: what the environment returns, the observation completed
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        flat = self._flat(observation, spaces.flatten(self.env.action_space, action), False)
        return flat, reward, terminated, truncated, info

    def _flat(self, observation: Any, action: Any, first: bool) -> NDArray[np.float32]:
        seen = spaces.flatten(self.env.observation_space, observation)
        flat: NDArray[np.float32] = np.concatenate([seen, action, [first]]).astype(np.float32)
        return flat
