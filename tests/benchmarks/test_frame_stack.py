from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.frame_stack import FrameStack
from tests.ppo.toys import OBSERVATIONS, Toy

# Eight of a small image have more channels than it has pixels on a side.
STACKABLE = [name for name in OBSERVATIONS if name != "small_image"]


@pytest.mark.parametrize("observation", STACKABLE)
def test_the_newest_observations_are_seen_as_one(observation: str) -> None:
    plain = Recording(Toy(observation))
    stacked = FrameStack(plain, 3)
    first = observed = stacked.reset(seed=4)[0]
    for _ in range(2):
        assert stacked.observation_space.contains(observed)
        observed = stacked.step(0)[0]
    assert_stack(plain.observation_space, observed, plain.seen)
    assert_zeros_before(plain.observation_space, first)


class Recording(gym.ObservationWrapper[Any, Any, Any]):
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.seen: list[Any] = []

    def observation(self, observation: Any) -> Any:
        self.seen.append(observation)
        return observation


def parts(space: spaces.Space[Any], observed: Any) -> list[tuple[spaces.Space[Any], Any]]:
    if isinstance(space, spaces.Dict):
        return [(entry, observed[name]) for name, entry in space.spaces.items()]
    return [(space, observed)]


def assert_stack(space: spaces.Space[Any], observed: Any, single: list[Any]) -> None:
    for i, (entry, stack) in enumerate(parts(space, observed)):
        thirds = np.split(stack, 3, axis=-1)
        for third, one in zip(thirds, single, strict=True):
            expected = parts(space, one)[i][1]
            if len(entry.shape or ()) != 3:
                expected = spaces.flatten(entry, expected)
            assert np.array_equal(third, expected)


def assert_zeros_before(space: spaces.Space[Any], first: Any) -> None:
    for _, stack in parts(space, first):
        earlier = np.split(stack, 3, axis=-1)[:2]
        assert not np.any(earlier)


def test_an_episode_sees_nothing_of_the_one_before() -> None:
    env = FrameStack(Toy("discrete"), 4)
    first = env.reset(seed=0)[0]
    assert first[:12].tolist() == [0] * 12
    over = False
    while not over:
        observed, _, terminated, truncated, _ = env.step(0)
        over = terminated or truncated
    assert np.any(observed[:12])
    assert env.reset()[0][:12].tolist() == [0] * 12


def test_images_keep_their_channels_where_they_are() -> None:
    env = FrameStack(Toy("image"), 8)
    assert env.observation_space.shape == (64, 64, 8)
    with pytest.raises(ValueError, match="n_stack=8 makes an image"):
        FrameStack(Toy("small_image"), 8)


def test_an_empty_stack_is_refused() -> None:
    with pytest.raises(ValueError, match="n_stack=0"):
        FrameStack(Toy(), 0)


def test_it_is_an_argument_of_a_run() -> None:
    config = TrainingConfig("MemoryAgents/RepeatFirst-v0", n_stack=5)
    space = make_env(config).observation_space
    assert space.shape == (5 * int(gym.make(config.env).observation_space.nvec.sum()),)  # type: ignore[attr-defined]
    assert make_env(TrainingConfig(config.env)).observation_space == gym.make(config.env).observation_space
    with pytest.raises(UsageError, match="--n-stack 0 is too small"):
        TrainingConfig(config.env, n_stack=0)
