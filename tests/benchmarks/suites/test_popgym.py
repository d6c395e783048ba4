from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.suites.popgym import SUITE

pytest.importorskip("popgym")
SUITE.load()


def test_it_is_complete() -> None:
    assert len(SUITE.ids()) == 48


@pytest.mark.filterwarnings("ignore:Maze environments")
@pytest.mark.parametrize("env_id", SUITE.ids())
def test_every_environment_plays(env_id: str) -> None:
    env = make_env(TrainingConfig(env_id))
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    assert isinstance(env.observation_space, spaces.Box)
    actions = spaces.flatdim(env.action_space)

    assert observation[-1] == 1
    for _ in range(60):
        assert env.observation_space.contains(observation)
        action = env.action_space.sample()
        observation, reward, terminated, truncated, _ = env.step(action)
        np.testing.assert_array_equal(observation[-1 - actions : -1], spaces.flatten(env.action_space, action))
        assert observation[-1] == 0
        assert -1 <= float(reward) <= 1
        if terminated or truncated:
            observation, _ = env.reset()


@pytest.mark.parametrize("env_id", ["popgym-CountRecallEasy-v0", "popgym-MultiarmedBanditEasy-v0"])
def test_infos_are_not_shared(env_id: str) -> None:
    env = make_env(TrainingConfig(env_id))
    env.action_space.seed(0)
    infos = [env.reset(seed=0)[1], *(env.step(env.action_space.sample())[4] for _ in range(3))]

    shared = {name for info in infos for name, value in info.items() if isinstance(value, np.ndarray)}
    assert shared
    for name in shared:
        values = [info[name] for info in infos if name in info]
        assert len({id(value) for value in values}) == len(values)
    with pytest.warns(UserWarning, match="different from the unwrapped version"):
        check_env(env, skip_render_check=True)


def test_a_player_with_memory_gets_everything() -> None:
    env = make_env(TrainingConfig("popgym-RepeatPreviousEasy-v0"))
    unwrapped: gym.Env[np.int64, np.int64] = env.unwrapped
    back = unwrapped.get_wrapper_attr("k") - 1
    observation, _ = env.reset(seed=0)
    seen, over, total = [int(observation[:4].argmax())], False, 0.0
    while not over:
        observation, reward, over, _, _ = env.step(np.int64(seen[-1 - back] if len(seen) > back else 0))
        seen.append(int(observation[:4].argmax()))
        total += float(reward)

    assert total == pytest.approx(1, abs=1e-5)
