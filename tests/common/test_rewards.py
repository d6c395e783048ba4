"""Rewards that are not finite are refused before anything is learned from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from memory_agents import DQN, QRDQN
from tests.algorithms.agents import ALGORITHMS, MaskedToy, make
from tests.ppo.toys import TINY


class Broke(MaskedToy):
    """It pays something else at one step."""

    def __init__(self, paid: float, at: int) -> None:
        super().__init__()
        self.paid, self.at, self.steps = paid, at, 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = super().step(action)
        self.steps += 1
        return obs, self.paid if self.steps == self.at else reward, terminated, truncated, info

    def _draw(self) -> None:
        self.valid = np.ones(sum(self.sizes), np.bool_)


def agent(name: str, env: Any) -> Any:
    if name in ALGORITHMS:
        return make(name, env)
    kind = {"DQN": DQN, "QRDQN": QRDQN}[name]
    sizes: dict[str, Any] = dict(sequence_length=4, burn_in=2, learning_starts=8)
    return kind("CompressiveMemoryPolicy", env, seed=0, policy_kwargs=dict(memory_kwargs=TINY), **sizes)


@pytest.mark.parametrize("paid", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", [*ALGORITHMS, "DQN", "QRDQN"])
def test_rewards_that_are_not_finite_are_refused(name: str, paid: float) -> None:
    env = DummyVecEnv([lambda: Broke(0.0, 0), lambda: Broke(paid, 40)])
    learner = agent(name, env)
    with pytest.raises(ValueError, match=f"environment 1 of 2 gave a reward of {paid}; mend its step"):
        learner.learn(200)
    assert learner.num_timesteps in (78, 80)
    before = learner.num_timesteps
    learner.learn(100, reset_num_timesteps=False)
    assert learner.num_timesteps >= before + 100
    assert all(parameter.isfinite().all() for parameter in learner.policy.parameters())
