"""What the environment knows of the importance of an observation, as part of it."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs


class ShowImportance(gym.Wrapper[dict[str, Any], Any, Any, Any], RecordConstructorArgs):
    """Shows with every observation whether an answer to come may depend on it.

    Environments of tokens say so in ``info["important"]``. Memories that are told what to keep
    (``judger="oracle"``) read it here: they are what a memory that learns it is measured against, and no agents of
    their own, because the environment gives away the solution.

    Observation: a ``Dict`` of ``important``, a ``MultiBinary`` of one number, and ``observation``, what the environment
    inside shows. The names are chosen so that ``important`` comes first in a dictionary's order.

    Actions, Rewards, Ends: those of the environment inside.

    :param env: An environment whose infos hold ``important`` at every step, the reset's too.
    :raises ValueError: At the first reset, if they do not.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self.observation_space = spaces.Dict({"important": spaces.MultiBinary(1), "observation": env.observation_space})

    def _shown(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        if "important" not in info:
            raise ValueError(
                f"env={self.env} does not tell in info['important'] whether an observation matters, so there is "
                "nothing for ShowImportance to show: pass an environment that does, such as MemoryAgents/CueStream-v0."
            )
        return {"important": np.array([info["important"]], np.int8), "observation": observation}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode.

        :param seed: Seed for the environment inside; None draws on.
        :param options: For the environment inside.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._shown(observation, info), info

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._shown(observation, info), reward, terminated, truncated, info
