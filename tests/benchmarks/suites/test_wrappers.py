from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import TimeLimit

from memory_agents.benchmarks.suites.wrappers import PreviousAction, SuccessByReward, reports_success


class Scripted(gym.Env[Any, Any]):
    """
    Shows and pays what it is told to.

    :param observation_space: observation space
    :param action_space: action space
    :param rewards: of an episode's steps
    """

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], *rewards: float) -> None:
        self.observation_space, self.action_space, self.rewards = observation_space, action_space, rewards

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.step_count = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.step_count += 1
        over = self.step_count == len(self.rewards)
        return self.observation_space.sample(), self.rewards[self.step_count - 1], over, False, {"steps": 1}


def test_the_previous_action_follows_the_observation() -> None:
    env = PreviousAction(
        Scripted(spaces.Tuple((spaces.Discrete(2, start=1), spaces.Box(2, 3, (1,)))), spaces.Discrete(3), 0, 0, 1)
    )
    first, _ = env.reset(seed=0)
    after, reward, *_ = env.step(np.int64(2))

    assert env.observation_space == spaces.Box(
        np.array([0, 0, 2, 0, 0, 0, 0], np.float32), np.array([1, 1, 3, 1, 1, 1, 1], np.float32)
    )
    assert first[:2].sum() == after[:2].sum() == 1
    assert first[2] >= 2
    np.testing.assert_array_equal(first[3:], [0, 0, 0, 1])
    np.testing.assert_array_equal(after[3:], [0, 0, 1, 0])
    assert reward == 0
    with pytest.warns(UserWarning, match="different from the unwrapped version"):
        check_env(env, skip_render_check=True)


def test_continuous_and_many_actions_follow_it_too() -> None:
    pendulum = PreviousAction(Scripted(spaces.Box(-1, 1, (2,)), spaces.Box(1.0, 2.0, (1,)), 0, 0))
    pendulum.reset(seed=0)
    grid = PreviousAction(Scripted(spaces.Discrete(2), spaces.MultiDiscrete([2, 3]), 0, 0))
    grid.reset(seed=0)

    np.testing.assert_array_equal(pendulum.step(np.array([1.5], np.float32))[0][2:], [1.5, 0])
    np.testing.assert_array_equal(grid.step(np.array([1, 2]))[0][2:], [0, 1, 0, 0, 1, 0])
    # No action is zero, which lies outside the bounds of the actions themselves.
    assert pendulum.observation_space.contains(pendulum.reset()[0])


def test_success_is_a_reward_at_the_end() -> None:
    space = spaces.Discrete(2)
    for last, success in ((1.0, True), (0.0, False), (-1.0, False)):
        env = SuccessByReward(Scripted(space, space, 1.0, last))
        env.reset()

        assert env.step(0)[4] == {"steps": 1}
        assert env.step(0)[4] == {"steps": 1, "is_success": success}


def test_an_episode_cut_short_is_no_success() -> None:
    space = spaces.Discrete(2)
    env = SuccessByReward(TimeLimit(Scripted(space, space, 1.0, 1.0, 1.0), 2))
    env.reset()

    assert env.step(0)[4] == {"steps": 1}
    assert env.step(0)[3:] == (True, {"steps": 1, "is_success": False})


def test_environments_report_success_through_wrappers() -> None:
    space = spaces.Discrete(2)
    plain = Scripted(space, space, 1.0)

    assert not reports_success(plain)
    assert not reports_success(PreviousAction(plain))
    assert reports_success(PreviousAction(SuccessByReward(plain)))
