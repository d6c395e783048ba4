"""The newest observations as one: the memory that needs no network."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first


class FrameStack(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Observations of the newest ``n_stack`` steps, the oldest first; before an episode began there are zeros. Unlike
    :class:`stable_baselines3.common.vec_env.VecFrameStack` it takes discrete observations, too, which become one-hot,
    so that "not seen yet" is no category.

    Images are stacked along their channels, all else as flat vectors; dictionaries entry by entry.

    :param env: the environment
    :param n_stack: observations in a stack, 1 or more
    :raises ValueError: when ``n_stack`` is below 1, or so large that Stable-Baselines3, which takes an image's shortest
        side for its channels, would take another one
    """

    def __init__(self, env: gym.Env[Any, Any], n_stack: int) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, n_stack=n_stack)
        super().__init__(env)
        if n_stack < 1:
            raise ValueError(f"n_stack={n_stack} leaves nothing to see; use 1 or more")
        space = env.observation_space
        self._entries = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        stacked = {name: _stacked_space(entry, n_stack) for name, entry in self._entries.items()}
        self.observation_space: spaces.Space[Any] = (
            spaces.Dict(stacked) if isinstance(space, spaces.Dict) else stacked[""]
        )
        self._frames: dict[str, deque[NDArray[Any]]] = {name: deque(maxlen=n_stack) for name in stacked}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        :param seed: passed on
        :param options: passed on
        :return: the first observation with zeros before it, and the info
        """
        observation, info = self.env.reset(seed=seed, options=options)
        for name, entry in self._entries.items():
            frames = self._frames[name]
            first = _frame(entry, observation if name == "" else observation[name])
            frames.extend(np.zeros_like(first) for _ in range(frames.maxlen or 0))
        return self._stack(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: an action
        :return: what the environment returns, the observation with those before it
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._stack(observation), reward, terminated, truncated, info

    def _stack(self, observation: Any) -> Any:
        stacked = {}
        for name, entry in self._entries.items():
            self._frames[name].append(_frame(entry, observation if name == "" else observation[name]))
            stacked[name] = np.concatenate(list(self._frames[name]), axis=_axis(entry))
        return stacked if isinstance(self.observation_space, spaces.Dict) else stacked[""]


def _axis(space: spaces.Space[Any]) -> int:
    """Along which observations are joined."""
    return 0 if is_image_space(space) and is_image_space_channels_first(space) else -1  # type: ignore[arg-type]


def _frame(space: spaces.Space[Any], observation: Any) -> NDArray[Any]:
    """An image as it is, all else flat."""
    return np.asarray(observation if is_image_space(space) else spaces.flatten(space, observation))


def _stacked_space(space: spaces.Space[Any], n_stack: int) -> spaces.Space[Any]:
    if is_image_space(space):
        assert isinstance(space, spaces.Box)
        low, high = (np.concatenate([bound] * n_stack, axis=_axis(space)) for bound in (space.low, space.high))
        stacked = spaces.Box(low, high, dtype=np.uint8)
        if is_image_space_channels_first(stacked) != is_image_space_channels_first(space):
            raise ValueError(
                f"n_stack={n_stack} makes an image of {space.shape} one of {stacked.shape}, whose channels would be "
                "taken for another side; use a smaller n_stack"
            )
        return stacked
    single = spaces.flatten_space(space)
    assert isinstance(single, spaces.Box)
    # Zeros stand before the first step, whatever the bounds are.
    low, high = (np.tile(bound, n_stack) for bound in (np.minimum(single.low, 0), np.maximum(single.high, 0)))
    return spaces.Box(low.astype(single.dtype), high.astype(single.dtype), dtype=single.dtype)
