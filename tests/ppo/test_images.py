"""Agents learn from images that are too small for NatureCNN."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from memory_agents import SmallCNN
from tests.ppo.toys import toy_agent


class Side(gym.Env[Any, Any]):
    """A dot is on the left or on the right of the image: say where. One eighth of a point for each of eight images."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (5, 5, 3), np.uint8)
        self.action_space = spaces.Discrete(2)

    def _see(self) -> np.ndarray:
        self.column = int(self.np_random.choice([0, 1, 3, 4]))
        image = np.zeros((5, 5, 3), np.uint8)
        image[self.np_random.integers(5), self.column] = self.np_random.integers(100, 256, 3)
        return image

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        reward = float(action == (self.column > 2)) / 8
        return self._see(), reward, self.time == 8, False, {}


def test_a_small_image_is_read() -> None:
    agent = toy_agent(
        make_vec_env(Side, 8, seed=0), learning_rate=2e-3, n_steps=128, sequence_length=128, batch_size=256, n_epochs=4
    )
    assert type(agent.policy.features_extractor) is SmallCNN
    agent.learn(4096)
    mean_return, _ = evaluate_policy(agent, make_vec_env(Side, 8, seed=99), n_eval_episodes=64)
    assert mean_return > 0.9  # type: ignore[operator]
