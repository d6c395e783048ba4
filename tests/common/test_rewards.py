"""Rewards that are not finite are refused before anything is learned from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from tests.algorithms.agents import ALGORITHMS, Free, make
from tests.dqn.toys import toy_agent, toy_qrdqn


class Broke(Free):
    """It pays something else at one step."""

    def __init__(self, paid: float, at: int) -> None:
        super().__init__()
        self.paid, self.at, self.steps = paid, at, 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = super().step(action)
        self.steps += 1
        return obs, self.paid if self.steps == self.at else reward, terminated, truncated, info


MAKERS: dict[str, Callable[[Any], Any]] = {
    **{name: partial(make, name) for name in ALGORITHMS},
    "DQN": toy_agent,
    "QRDQN": toy_qrdqn,
}


@pytest.mark.parametrize("paid", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", MAKERS)
def test_rewards_that_are_not_finite_are_refused(name: str, paid: float) -> None:
    env = DummyVecEnv([lambda: Broke(0.0, 0), lambda: Broke(paid, 40)])
    learner = MAKERS[name](env)
    with pytest.raises(ValueError, match=f"environment 1 of 2 gave a reward of {paid}; mend its step"):
        learner.learn(200)
    assert learner.num_timesteps in (78, 80)
    before = learner.num_timesteps
    learner.learn(100, reset_num_timesteps=False)
    assert learner.num_timesteps >= before + 100
    assert all(parameter.isfinite().all() for parameter in learner.policy.parameters())
