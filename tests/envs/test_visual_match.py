from __future__ import annotations

import numpy as np
import pytest

from memory_agents.envs import VisualMatch
from memory_agents.envs.base import Observation
from memory_agents.envs.grid_view import EAST, NORTH, SOUTH, WEST
from memory_agents.envs.three_phase import CHOOSE, FIRST_THING, WALL


def squares(env: VisualMatch, observation: Observation) -> list[int]:
    """Colours of the squares in view."""
    codes = env._view.read(observation)
    return [int(code) - FIRST_THING for code in codes[codes >= FIRST_THING]]


def test_the_passive_square_is_seen_at_once() -> None:
    env = VisualMatch(n_colours=4)
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        assert squares(env, observation) == [env._colour]


def test_the_active_square_is_seen_after_two_steps_north() -> None:
    env = VisualMatch(active=True)
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        assert squares(env, observation) == []
        assert squares(env, env.step(NORTH)[0]) == []
        assert squares(env, env.step(NORTH)[0]) == [env._colour]


def test_features_of_a_cell() -> None:
    env = VisualMatch(n_colours=2)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.shape == (25 * 5,)
    cells = observation.reshape(25, 5)
    shown = cells[cells[:, 2] == 1]
    assert shown.tolist() == [[0, 0, 1, *np.eye(2)[env._colour]]]
    assert not cells[:, :2].any()
    walls = env.step(EAST)[0].reshape(5, 5, 5)[:, 4]
    assert walls.tolist() == [[1, 0, 0, 0, 0]] * 5
    assert WALL == 1


@pytest.mark.parametrize("right", [True, False])
def test_the_first_square_touched_is_the_choice(right: bool) -> None:
    env = VisualMatch(n_colours=3, look_steps=2, distractor_steps=3)
    observation, _ = env.reset(seed=2)
    for _ in range(5):
        assert env._phase != CHOOSE
        observation = env.step(SOUTH)[0]
    assert sorted(squares(env, observation)) == [0, 1, 2]
    # North, west, east are where the three stand.
    place = env._order.index(env._colour)
    action = (NORTH, WEST, EAST)[place if right else place - 1]
    assert env.step(action)[1:] == (0.0, False, False, {})
    info = {"apples": 0, "final_reward": float(right), "is_success": right}
    assert env.step(action)[1:] == (float(right), True, False, info)


def test_a_square_is_walked_over_before_the_choice() -> None:
    env = VisualMatch(look_steps=9)
    observation, _ = env.reset(seed=0)
    player = env.oracle()
    for _ in range(5):
        observation, reward, terminated, *_ = env.step(player.act(observation))
        assert (reward, terminated) == (0.0, False)
    assert squares(env, observation) == [env._colour]


@pytest.mark.parametrize("n_colours", [2, 3, 6])
def test_anchors(n_colours: int) -> None:
    env = VisualMatch(n_colours=n_colours, apple_total=0.5)
    assert (env.optimal_return, env.memoryless_return) == (1.5, 0.5 + 1 / n_colours)
