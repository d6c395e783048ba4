from __future__ import annotations

import numpy as np
import pytest

from memory_agents.envs import KeyToDoor
from memory_agents.envs.base import Observation
from memory_agents.envs.grid_view import EAST, NORTH, SOUTH, WEST
from memory_agents.envs.three_phase import CHOOSE, FIRST_THING


def keys(env: KeyToDoor, observation: Observation) -> list[int]:
    """Colours of the keys in view."""
    codes = env._view.read(observation)
    return [int(code) - FIRST_THING for code in codes[(codes >= FIRST_THING) & (codes < FIRST_THING + env.n_colours)]]


def play_up_to_the_doors(env: KeyToDoor, seed: int, take_key: bool) -> None:
    player = env.oracle()
    observation, _ = env.reset(seed=seed)
    while env._phase != CHOOSE:
        observation = env.step(player.act(observation) if take_key else SOUTH)[0]


def test_the_key_is_in_sight_unless_it_must_be_found() -> None:
    passive, active = KeyToDoor(), KeyToDoor(active=True)
    for seed in range(20):
        assert keys(passive, passive.reset(seed=seed)[0]) == [passive._colour]
        assert keys(active, active.reset(seed=seed)[0]) == []
        assert keys(active, active.step(NORTH)[0]) == []
        assert keys(active, active.step(NORTH)[0]) == [active._colour]


def test_stepping_on_the_key_takes_it() -> None:
    env = KeyToDoor()
    for seed in range(20):
        player = env.oracle()
        observation, _ = env.reset(seed=seed)
        steps = 0
        while keys(env, observation):
            assert not env._ready
            observation, reward, *_ = env.step(player.act(observation))
            assert reward == 0.0
            steps += 1
        assert env._ready
        assert steps in (2, 3, 4)
        assert keys(env, env.step(SOUTH)[0]) == []


@pytest.mark.parametrize("take_key", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_a_door_opens_to_the_key_of_its_colour(take_key: bool, right: bool) -> None:
    env = KeyToDoor(n_colours=3, distractor_steps=4)
    for seed in range(6):
        play_up_to_the_doors(env, seed, take_key)
        place = env._order.index(env._colour)
        action = (NORTH, WEST, EAST)[place if right else place - 1]
        assert env.step(action)[1:] == (0.0, False, False, {})
        _, reward, terminated, truncated, info = env.step(action)
        opened = take_key and right
        assert (reward, terminated, truncated) == (float(opened), True, False)
        apples = info.pop("apples")
        assert apples == (2 if take_key else 0)
        assert info == {"final_reward": float(opened), "is_success": opened, "key_taken": take_key}


def test_features_of_a_cell() -> None:
    env = KeyToDoor(n_colours=2)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.shape == (25 * 6,)
    cells = observation.reshape(25, 6)
    assert cells[cells.any(axis=1)].tolist() == [[0, 0, 1, 0, *np.eye(2)[env._colour]]]
    play_up_to_the_doors(env, 0, take_key=True)
    cells = env._view.look(env._world, env._row, env._column).reshape(25, 6)
    doors = cells[cells.any(axis=1)]
    assert sorted(doors.tolist()) == [[0, 0, 0, 1, 0, 1], [0, 0, 0, 1, 1, 0]]


def test_who_leaves_the_key_scores_below_zero() -> None:
    env = KeyToDoor(n_colours=3, apple_total=0.4)
    assert env.normalized_score(env.apple_total) == pytest.approx(-1 / 2)


def test_more_time_gives_random_players_more() -> None:
    returns = [KeyToDoor(look_steps=steps).random_return for steps in (4, 12, 40)]
    assert returns == sorted(set(returns))
    assert KeyToDoor(active=True).random_return < KeyToDoor().random_return
    assert KeyToDoor(choice_steps=20).random_return > KeyToDoor().random_return
    assert KeyToDoor(apple_total=1.0).random_return > KeyToDoor().random_return
