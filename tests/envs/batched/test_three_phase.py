"""Batched tasks in three phases, for all arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import KeyToDoor, VisualMatch
from memory_agents.envs.batched.three_phase import BatchedKeyToDoor, BatchedThreePhase, BatchedVisualMatch
from memory_agents.envs.grid_view import EAST, NORTH, SOUTH, WEST
from tests.envs.batched.playing import make_pair, play_side_by_side

over_ids = pytest.mark.parametrize("env_id", ["MemoryAgents/VisualMatch-v0", "MemoryAgents/KeyToDoor-v0"])


@over_ids
@given(
    st.fixed_dictionaries(
        {
            "active": st.booleans(),
            "n_colours": st.integers(2, 4),
            "look_steps": st.integers(6, 9),
            "distractor_steps": st.one_of(st.integers(2, 20), st.tuples(st.integers(2, 5), st.integers(5, 9))),
            "choice_steps": st.integers(2, 9),
            "apple_total": st.floats(0.0, 5.0),
            "observation": st.sampled_from(["symbolic", "image"]),
        }
    ),
    st.integers(0, 1000),
)
@settings(max_examples=20, deadline=None)
def test_the_same_as_single_environments(env_id: str, kwargs: dict[str, Any], seed: int) -> None:
    play_side_by_side(*make_pair(env_id, 3, seed, **kwargs), 70, seed)


@over_ids
def test_moves_that_walls_stop(env_id: str) -> None:
    single, batched = make_pair(env_id, 5, 0, distractor_steps=9)
    single.reset()
    batched.reset()
    rng = np.random.default_rng(0)
    stopped = 0
    for _ in range(80):
        masks = np.array(single.env_method("action_masks"))
        np.testing.assert_array_equal(batched.env_method("action_masks"), masks)
        stopped += int((~masks).sum())
        actions = rng.integers(4, size=5)
        single.step(actions)
        batched.step(actions)
    assert stopped > 100


@pytest.mark.parametrize("env_class", [BatchedVisualMatch, BatchedKeyToDoor])
@pytest.mark.parametrize("observation", ["symbolic", "image"])
def test_everything_that_can_be_seen_is_drawn_once(env_class: type[BatchedThreePhase], observation: str) -> None:
    """Looks with two colours on five places and with nothing left, nine apples, and two orders of choices.

    From the middle of the empty room nothing but floor is seen, which in symbols is all zeros.
    """
    env = env_class(1, n_colours=2, observation=observation)
    drawn = env._views.reshape(len(env._views), -1).any(axis=1)
    blank = observation == "symbolic"
    assert drawn.sum() == (2 * 5 + 1) * 25 + 9 * 9 + 2 * 25 - blank
    assert env._views.dtype == env.single_observation_space.dtype


def test_a_key_is_taken_and_fits_one_door() -> None:
    env = BatchedKeyToDoor(40, n_colours=2, look_steps=6, distractor_steps=2)
    single = KeyToDoor(n_colours=2, look_steps=6, distractor_steps=2)
    observations, _ = env.reset(seed=0)
    oracles = [single.oracle() for _ in range(40)]
    for _ in range(8):
        actions = [oracle.act(seen) for oracle, seen in zip(oracles, observations, strict=True)]
        actions[0] = SOUTH
        observations, rewards, *_ = env.step(np.array(actions))
        assert not rewards.any()
    env.step(np.full(40, NORTH))
    _, rewards, terminated, truncated, infos = env.step(np.full(40, NORTH))
    assert terminated.all()
    assert not truncated.any()
    np.testing.assert_array_equal(rewards, infos["final_info"]["final_reward"])
    np.testing.assert_array_equal(infos["final_info"]["key_taken"], np.arange(40) > 0)
    assert rewards[0] == 0.0
    assert 8 < rewards.sum() < 32


def test_apples_pay_what_the_length_of_their_phase_says() -> None:
    env = BatchedVisualMatch(30, look_steps=1, distractor_steps=(2, 9), apple_total=1.0)
    single = VisualMatch(look_steps=1, distractor_steps=(2, 9), apple_total=1.0)
    observations, _ = env.reset(seed=0)
    paid = np.zeros(30)
    oracles = [single.oracle() for _ in range(30)]
    for _ in range(3):
        actions = [oracle.act(seen) for oracle, seen in zip(oracles, observations, strict=True)]
        observations, rewards, *_ = env.step(np.array(actions))
        paid += rewards
    assert set(np.round(paid, 9)) == {1.0, 0.5, round(1 / 3, 9), 0.25}


def test_walls_stop_the_agent() -> None:
    env = BatchedVisualMatch(4, look_steps=9)
    env.reset(seed=0)
    moves = np.array([EAST, NORTH, WEST, SOUTH])
    for _ in range(3):
        env.step(moves)
    assert env.action_masks()[np.arange(4), moves].tolist() == [False] * 4
    assert env.action_masks().sum() == 12
