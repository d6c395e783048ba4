"""Playing where some actions are invalid: with masks for agents that take them, and counting for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import sb3_contrib
from numpy.typing import NDArray
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.common.actions import invalid_actions


class WatchedPlayer:
    """
    An agent in environments that tell which actions are valid. Only agents that learn with masks are told.

    :param agent: the agent
    :param venv: the environments
    """

    def __init__(self, agent: BaseAlgorithm, venv: VecEnv) -> None:
        self.agent, self.venv = agent, venv
        #: Which environments' last actions were invalid, (n_envs,) bool.
        self.invalid: NDArray[np.bool_] = np.zeros(venv.num_envs, np.bool_)

    def predict(self, observation: Any, **kwargs: Any) -> tuple[np.ndarray, Any]:
        """
        :param observation: observations of all environments
        :param kwargs: further arguments of the agent's ``predict``
        :return: actions, and the agent's state
        """
        masks = get_action_masks(self.venv)
        if isinstance(self.agent, sb3_contrib.MaskablePPO):
            kwargs["action_masks"] = masks
        actions, state = self.agent.predict(observation, **kwargs)
        self.invalid = invalid_actions(actions, masks, self.venv.action_space)
        return actions, state
