"""The newest observations of an episode in place of the newest one."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from memory_agents.wrappers.history import HistoryRing, HistorySpace
from memory_agents.wrappers.previous_step import PreviousActionReward


class HistoryWrapper(gym.Wrapper[dict[str, Any], Any, Any, Any], RecordConstructorArgs):
    """
    Shows the newest H observations of the episode in progress, :class:`HistorySpace`, so that an agent without memory
    of its own can remember as far back: ``CompressiveMemoryExtractor`` reads them. ``VecHistory`` does the same for
    environments that are vectorised already, faster.

    Actions, rewards and ends are those of the environment inside.

    :param env: an environment
    :param history_length: observations in a history, H
    :param previous_action: show with each of them the action before it, as :class:`PreviousActionReward` does
    :param previous_reward: show with each of them the reward before it, likewise
    :raises TypeError: when ``env`` is vectorised
    :raises ValueError: when histories cannot hold its observations, or the length is no positive integer
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        history_length: int,
        *,
        previous_action: bool = False,
        previous_reward: bool = False,
    ) -> None:
        if not isinstance(env, gym.Env):
            raise TypeError(f"env={env!r} is no gymnasium.Env; put VecHistory around vectorised environments")
        if previous_action or previous_reward:
            env = PreviousActionReward(env, previous_action=previous_action, previous_reward=previous_reward)
        # Without the flags: that wrapper is recorded, too, and made again on its own.
        RecordConstructorArgs.__init__(self, history_length=history_length)
        gym.Wrapper.__init__(self, env)
        self._ring = HistoryRing(HistorySpace(env.observation_space, history_length), 1)
        self.observation_space = self._ring.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Begin an episode, and with it a history.

        :param seed: passed on
        :param options: passed on
        :return: a history of one observation, and the info
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._add(observation, True), info

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: what the environment returns, the observation with those before it
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._add(observation, False), reward, terminated, truncated, info

    def _add(self, observation: Any, starts: bool) -> dict[str, Any]:
        batch = (
            {name: np.asarray(entry)[None] for name, entry in observation.items()}
            if isinstance(self._ring.space.inner, spaces.Dict)
            else np.asarray(observation)[None]
        )
        return {name: rows[0] for name, rows in self._ring.add(batch, np.array([starts])).items()}
