"""
MiniGrid (Chevalier-Boisvert et al. 2023, arXiv 2306.13831): rooms with keys, balls and doors, of which the agent sees
the tiles before it. ``MiniGrid-MemoryS7-v0`` to ``MiniGrid-MemoryS17Random-v0`` are its memory tasks.

All seven actions are kept. Observations are flat and one-hot: object, colour and state of each tile in view, then the
direction that the agent faces. MiniGrid's code 0 (unseen, red, open, east) is all zeros, so that little but what stands
around is 1. The mission, a text, is left out where it is always the same; elsewhere the words that differ are one-hot,
too. An episode is a success when its last step is rewarded.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.benchmarks.suites.suite import Suite
from memory_agents.benchmarks.suites.wrappers import SuccessByReward, Wrapper

N_DIRECTIONS = 4


class OneHot(Wrapper, gym.ObservationWrapper[Any, Any, Any]):
    """
    Flat float32 observations: the codes of all tiles, the direction, and the words of the mission that differ.

    :param env: a MiniGrid environment
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX

        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Dict)
        mission: Any = env.observation_space["mission"]
        height, width, _ = env.observation_space["image"].shape or ()
        choices = mission.ordered_placeholders or []
        tile = [len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX)]
        # One entry less than there are codes: a code of 0 is no entry at all.
        sizes = np.array([*tile * height * width, N_DIRECTIONS, *map(len, choices)]) - 1
        self._offsets = sizes.cumsum() - sizes - 1
        self._words = {
            mission.mission_func(*(words[i] for words, i in zip(choices, picked, strict=True))): picked
            for picked in product(*(range(len(words)) for words in choices))
        }
        self.observation_space = spaces.Box(0, 1, (int(sizes.sum()),), np.float32)

    def observation(self, observation: Any) -> NDArray[np.float32]:
        """
        :param observation: of MiniGrid
        :return: the same one-hot
        """
        codes = np.array([*observation["image"].flat, observation["direction"], *self._words[observation["mission"]]])
        flat = np.zeros(self.observation_space.shape or (), np.float32)
        flat[(self._offsets + codes)[codes > 0]] = 1
        return flat


def adapt(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """
    :param env: one of MiniGrid's
    :return: it with flat observations, telling whether it was solved
    """
    return SuccessByReward(OneHot(env))


SUITE = Suite(
    package="minigrid",
    distribution="minigrid",
    install="pip install 'memory_agents[minigrid]'",
    prefixes=("MiniGrid-",),
    example="MiniGrid-MemoryS7-v0",
    adapt=adapt,
)
