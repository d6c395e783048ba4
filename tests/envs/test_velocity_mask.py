"""Environments without velocities: what goes, what stays, and what is refused."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import FlattenObservation, TimeAwareObservation

from memory_agents.envs import ENVIRONMENTS, VelocityMask
from memory_agents.envs.velocity_mask import VELOCITIES

REGISTERED = [env_id for env_id in ENVIRONMENTS if "NoVelocity" in env_id]


def velocities_of(env: gym.Env[Any, Any]) -> list[float]:
    """The entries of the state that are velocities, in the order of the observation."""
    inner: Any = env.unwrapped
    return list(
        np.asarray(inner.state)[
            [1, 3] if type(inner).__name__ == "CartPoleEnv" else slice(-len(inner.state) // 2, None)
        ]
    )


@pytest.mark.parametrize("env_id", VELOCITIES)
def test_what_is_removed_are_the_velocities(env_id: str) -> None:
    whole = gym.make(env_id)
    whole.reset(seed=0)
    whole.action_space.seed(0)
    for _ in range(5):
        observation, *_ = whole.step(whole.action_space.sample())
    removed = np.array(observation)[list(VELOCITIES[env_id])]
    np.testing.assert_allclose(removed, velocities_of(whole), rtol=1e-5)


@pytest.mark.parametrize("env_id", VELOCITIES)
def test_the_rest_stays_as_it_was(env_id: str) -> None:
    whole, masked = gym.make(env_id), VelocityMask(gym.make(env_id))
    kept = [i for i in range(whole.observation_space.shape[0]) if i not in VELOCITIES[env_id]]  # type: ignore[index]
    assert masked.observation_space.shape == (len(kept),)
    full, _ = whole.reset(seed=3)
    seen, _ = masked.reset(seed=3)
    whole.action_space.seed(3)
    over = False
    while not over:
        np.testing.assert_array_equal(seen, np.asarray(full)[kept])
        assert masked.observation_space.contains(seen)
        assert not np.shares_memory(seen, full)
        action = whole.action_space.sample()
        full, reward, terminated, truncated, _ = whole.step(action)
        seen, *rest = masked.step(action)
        assert rest[:3] == [reward, terminated, truncated]
        over = terminated or truncated


@pytest.mark.parametrize("env_id", REGISTERED)
def test_registered_ones_are_gymnasiums_without_velocities(env_id: str) -> None:
    masked = gym.make(env_id)
    original = env_id.removeprefix("MemoryAgents/").replace("NoVelocity", "").removesuffix("-v0")
    (original_id,) = [other for other in VELOCITIES if other.rpartition("-")[0] == original]
    assert masked.spec is not None
    assert masked.spec.max_episode_steps == gym.spec(original_id).max_episode_steps
    same = VelocityMask(gym.make(original_id))
    assert same.observation_space == masked.observation_space
    np.testing.assert_array_equal(same.reset(seed=4)[0], masked.reset(seed=4)[0])


def test_velocities_can_be_named_for_other_environments() -> None:
    env = VelocityMask(TimeAwareObservation(gym.make("CartPole-v1")), velocities=[4, 0])
    assert env.observation_space.shape == (3,)
    np.testing.assert_array_equal(env.reset(seed=1)[0], gym.make("CartPole-v1").reset(seed=1)[0][1:])


def test_a_wrapped_environment_is_known_by_its_id() -> None:
    env = VelocityMask(TimeAwareObservation(gym.make("CartPole-v1")))
    assert env.observation_space.shape == (3,)


@pytest.mark.parametrize(
    ("env", "velocities", "message"),
    [
        (gym.make("FrozenLake-v1"), None, r"env has observations in Discrete\(16\).*pass an environment with a Box"),
        (gym.make("CartPole-v1"), [4], r"velocities\[0\]=4 is out of bounds: pass an integer from 0 to 3"),
        (gym.make("CartPole-v1"), [-1], r"velocities\[0\]=-1 is out of bounds: pass an integer from 0 to 3"),
        (gym.make("CartPole-v1"), [1.0], r"velocities\[0\]=1.0 is not an integer"),
        (gym.make("CartPole-v1"), 1, r"velocities=1 is no list of entries: pass one, such as velocities=\[1, 3\]"),
        (gym.make("CartPole-v1"), [1, 1], r"velocities=\[1, 1\] must remove some entries but not all, each once"),
        (gym.make("CartPole-v1"), [], r"velocities=\[\] must remove some"),
        (gym.make("CartPole-v1"), [0, 1, 2, 3], "must remove some entries but not all"),
        (FlattenObservation(gym.make("FrozenLake-v1")), None, r"env is FrozenLake-v1: pass .* velocities=\[1, 3\]"),
        (gym.make("CartPole-v1").unwrapped.__class__(), None, "env is <class '.*CartPoleEnv'>: pass the entries"),
    ],
)
def test_what_cannot_be_masked_is_an_error(env: gym.Env[Any, Any], velocities: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VelocityMask(env, velocities=velocities)


@pytest.mark.parametrize("env_id", REGISTERED)
def test_rendering(env_id: str) -> None:
    env = gym.make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    if find_spec("pygame") is None:
        with pytest.raises(DependencyNotInstalled, match="pip install"):
            env.render()
    else:
        assert np.asarray(env.render()).dtype == np.uint8
    env.close()


@pytest.mark.parametrize("name", ["Acrobot", "CartPole", "MountainCarContinuous", "Pendulum"])
def test_specifications_survive_json(name: str) -> None:
    env = gym.make(f"MemoryAgents/{name}NoVelocity-v0")
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.observation_space == env.observation_space
    assert again.spec == env.spec
