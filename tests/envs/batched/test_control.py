"""The physics of classic control, for many copies at once: Gymnasium's to the bit, wherever players take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from memory_agents.envs.batched.control import BatchedControl
from memory_agents.envs.batched.physics import between, squares
from memory_agents.vec_env import make_batched
from tests.envs.batched.playing import assert_same, make_pair

N_ENVS = 6
Player = Callable[[list[Any], np.random.Generator], NDArray[Any]]


def balance(states: list[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Keep the pole up, with mistakes."""
    actions = np.array([int(state[2] + 0.4 * state[3] + 0.05 * state[1] > 0) for state in states])
    return np.where(rng.random(N_ENVS) < 0.2, 1 - actions, actions)


def push_where_it_rolls(states: list[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Rock the car up the hill, now and then harder than allowed."""
    signs = np.array([[1.0 if state[1] >= 0 else -1.0] for state in states])
    pushes: NDArray[np.float32] = (signs * rng.choice([0.3, 0.9, 1.0, 1.7], (N_ENVS, 1))).astype(np.float32)
    return pushes


def pump(states: list[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Swing the lower link further the way it turns."""
    actions = np.array([2 if state[3] > state[2] else 0 for state in states])
    return np.where(rng.random(N_ENVS) < 0.05, 1, actions)


def turn_hard(states: list[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Torques up to beyond what is allowed, along the motion for some copies, so that they turn as fast as they can."""
    along = np.array([[np.sign(state[1])] for state in states]) * (np.arange(N_ENVS) % 2)[:, None]
    return (along * 2.0 + rng.normal(size=(N_ENVS, 1)) * 1.5).astype(np.float32)


PLAYERS: list[tuple[str, dict[str, Any], Player, int]] = [
    ("CartPoleNoVelocity", {}, balance, 15),
    ("CartPoleNoVelocity", {"sutton_barto_reward": True}, balance, 15),
    ("MountainCarContinuousNoVelocity", {}, push_where_it_rolls, 20),
    ("MountainCarContinuousNoVelocity", {"goal_velocity": 0.03}, push_where_it_rolls, 12),
    ("AcrobotNoVelocity", {}, pump, 60),
    ("PendulumNoVelocity", {}, turn_hard, 0),
    ("PendulumNoVelocity", {"g": 3}, turn_hard, 0),
]


@pytest.mark.parametrize(("name", "kwargs", "player", "least_ended"), PLAYERS)
def test_players_who_see_the_state_meet_the_same(
    name: str, kwargs: dict[str, Any], player: Player, least_ended: int
) -> None:
    env_id, rng = f"MemoryAgents/{name}-v0", np.random.default_rng(0)
    single, batched = make_pair(env_id, N_ENVS, 4, **kwargs)
    assert isinstance(batched.batched, BatchedControl)
    assert_same(single.reset(), batched.reset())
    ended = 0
    for _ in range(1500):
        states = [env.unwrapped.state for env in single.envs]  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.array(states, np.float64).T, batched.batched._states)
        actions = player(states, rng)
        expected, found = single.step(actions), batched.step(actions)
        for one, other in zip(expected[:3], found[:3], strict=True):
            assert_same(one, other)
        ended += sum(done and not info["TimeLimit.truncated"] for done, info in zip(*expected[2:], strict=True))
    assert ended >= least_ended


@pytest.mark.parametrize("name", ["CartPole", "MountainCarContinuous", "Acrobot", "Pendulum"])
def test_arguments_are_those_of_gymnasium(name: str) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'gravity'"):
        make_batched(f"MemoryAgents/{name}NoVelocity-v0", 2, gravity=1.0)


@pytest.mark.parametrize("name", ["MountainCarContinuous", "Pendulum"])
def test_actions_that_are_not_one_number_each_are_an_error(name: str) -> None:
    vec_env = make_batched(f"MemoryAgents/{name}NoVelocity-v0", 3)
    vec_env.reset()
    for shape in ((3,), (2, 1), (3, 2)):
        with pytest.raises(ValueError, match=r"actions of shape .* are not one number for each of 3 environments"):
            vec_env.step(np.zeros(shape, np.float32))


def test_unknown_actions_are_an_error() -> None:
    vec_env = make_batched("MemoryAgents/AcrobotNoVelocity-v0", 2)
    vec_env.reset()
    with pytest.raises(ValueError, match="action=3 is unknown: pass integers from 0 to 2"):
        vec_env.step(np.array([0, 3]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares_are_those_of_single_numbers(dtype: Any) -> None:
    numbers = np.random.default_rng(0).normal(size=5000).astype(dtype)
    assert_same(squares(numbers), np.array([number**2 for number in numbers]))


@pytest.mark.parametrize(
    ("low", "high"), [(-0.05, 0.05), (-0.6, -0.4), (np.array([-np.pi, -1.0]), np.array([np.pi, 1]))]
)
def test_beginnings_are_those_that_a_generator_draws(low: Any, high: Any) -> None:
    drawn = np.random.default_rng(3).uniform(low, high, (400, 2))
    assert_same(between(low, high, np.random.default_rng(3).random((400, 2))), drawn)


def test_gymnasium_makes_many_copies_unasked() -> None:
    envs = gym.make_vec("MemoryAgents/CartPoleNoVelocity-v0", 3)
    assert isinstance(envs, BatchedControl)
    assert envs.reset(seed=0)[0].shape == (3, 2)
