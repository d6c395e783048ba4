from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import TMaze
from memory_agents.envs.grid_view import EAST, NORTH, SOUTH, WEST
from memory_agents.envs.tmaze import ARM, CORRIDOR, JUNCTION, PLACES, START
from tests.envs.playing import always, play, play_oracle, table_policy


def place(observation: Any) -> int:
    return int(observation[: len(PLACES)].argmax())


@given(
    st.booleans(),
    st.one_of(
        st.fixed_dictionaries({"auto_advance": st.just(True), "cue_bits": st.integers(1, 8)}),
        st.fixed_dictionaries({"auto_advance": st.just(False)}),
    ),
    st.one_of(st.integers(1, 30), st.tuples(st.integers(1, 5), st.integers(5, 9))),
    st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_oracle_is_optimal_for_all_arguments(active: bool, form: dict[str, Any], corridor: Any, seed: int) -> None:
    env = TMaze(active=active, corridor=corridor, **form)
    assert play_oracle(env, seed) == (env.optimal_return, {"is_success": True})


@pytest.mark.parametrize("auto_advance", [True, False])
@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("corridor", [1, 2, 3])
def test_no_memoryless_policy_beats_the_anchor(auto_advance: bool, active: bool, corridor: int) -> None:
    """Try every way to give each observation an action."""
    env = TMaze(active=active, auto_advance=auto_advance, corridor=corridor)
    seeds = (seed_of_goal(env, 0), seed_of_goal(env, 1))
    observations = [*env._views, *env._signs]
    best = -np.inf
    # An arm is seen only when all is over, or, in the original's active form, with steps to spare.
    arm_actions = range(4) if active and not auto_advance else (0,)
    actions = [arm_actions if place(view) == ARM else range(env.n_actions) for view in observations]
    for choice in product(*actions):
        table = {view.tobytes(): action for view, action in zip(observations, choice, strict=True)}
        returns = [play(env, table_policy(table), seed)[0] for seed in seeds]
        best = max(best, sum(returns) / 2)
    assert best == pytest.approx(env.memoryless_return)


def seed_of_goal(env: TMaze, goal: int) -> int:
    for seed in range(100):
        env.reset(seed=seed)
        if env._goal == goal:
            return seed
    raise AssertionError("no such seed")


@pytest.mark.parametrize("cue_bits", [1, 2, 5])
@pytest.mark.parametrize("active", [True, False])
def test_guessing_an_arm_earns_the_memoryless_return(cue_bits: int, active: bool) -> None:
    env = TMaze(cue_bits=cue_bits, active=active, corridor=1)
    env.reset(seed=0)
    returns = [play(env, always(0))[0] for _ in range(3000)]
    p = env.memoryless_return
    assert p == 2.0**-cue_bits
    assert abs(np.mean(returns) - p) < 4 * np.sqrt(p * (1 - p) / len(returns))


def test_the_corridor_walks_itself() -> None:
    env = TMaze(corridor=4, cue_bits=3)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.shape == (7,)
    bits = (observation[len(PLACES) :] > 0).astype(int)
    assert set(np.abs(observation[len(PLACES) :])) == {1.0}
    places = [place(observation)]
    for _ in range(4):
        observation, reward, terminated, _, info = env.step(7)
        assert (reward, terminated, info) == (0.0, False, {})
        assert not observation[len(PLACES) :].any()
        places.append(place(observation))
    assert places == [START, CORRIDOR, CORRIDOR, CORRIDOR, JUNCTION]
    observation, reward, terminated, truncated, info = env.step(int("".join(map(str, bits)), 2))
    assert (place(observation), reward, terminated, truncated) == (ARM, 1.0, True, False)
    assert info == {"is_success": True}


@pytest.mark.parametrize("look", [True, False])
def test_the_active_sign_is_seen_only_by_looking_first(look: bool) -> None:
    env = TMaze(active=True, corridor=2, cue_bits=2)
    observation, _ = env.reset(seed=0)
    look_action = env.n_arms
    assert env.n_actions == 5
    assert place(observation) == START
    assert not observation[len(PLACES) :].any()
    observation = env.step(look_action if look else 0)[0]
    assert place(observation) == START
    assert observation[len(PLACES) :].any() == look
    later = [env.step(look_action)[0] for _ in range(2)]
    assert [place(view) for view in later] == [CORRIDOR, JUNCTION]
    assert not any(view[len(PLACES) :].any() for view in later)
    assert env.step(look_action)[1:] == (0.0, True, False, {"is_success": False})


def test_the_original_charges_for_being_late() -> None:
    env = TMaze(auto_advance=False, corridor=4)
    env.reset(seed=0)
    met = [env.step(action)[1] for action in (EAST, NORTH, WEST, EAST)]
    assert met == [0.0, -0.25, -0.25, -0.25]
    assert env.step(NORTH)[1:] == (0.0, True, False, {"is_success": False})


def test_the_original_active_form_pays_for_no_detour() -> None:
    env = TMaze(auto_advance=False, active=True, corridor=2)
    observation, _ = env.reset(seed=0)
    assert place(observation) == CORRIDOR
    observation, reward, *_ = env.step(WEST)
    assert (place(observation), reward) == (START, 0.0)
    goal = observation[-1]
    assert goal in (-1.0, 1.0)
    observation, reward, *_ = env.step(WEST)
    assert (observation[-1], reward) == (0.0, -0.5)
    env.reset(seed=0)
    rewards = [env.step(action)[1] for action in (WEST, EAST, EAST, EAST, NORTH if goal > 0 else SOUTH)]
    assert rewards == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_arms_can_be_left_again() -> None:
    env = TMaze(auto_advance=False, active=True, corridor=2)
    env.reset(seed=0)
    places = [place(env.step(action)[0]) for action in (EAST, EAST, NORTH, SOUTH)]
    assert places == [CORRIDOR, JUNCTION, ARM, JUNCTION]


def test_lengths_fill_the_range() -> None:
    env = TMaze(corridor=(2, 4))
    env.reset(seed=0)
    lengths = []
    for _ in range(200):
        env.reset()
        lengths.append(env._junction)
    assert set(lengths) == {2, 3, 4}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"corridor": 0}, "corridor=0 is out of bounds: pass an integer of at least 1"),
        ({"corridor": (9, 3)}, r"corridor=\(9, 3\) is an empty range"),
        ({"corridor": "long"}, "corridor='long' is not a length"),
        ({"cue_bits": 9}, "cue_bits=9 is out of bounds: pass an integer from 1 to 8"),
        ({"cue_bits": 2, "auto_advance": False}, "cue_bits=2 does not fit.*pass cue_bits=1 or auto_advance=True"),
        ({"active": None}, "active=None is not a boolean"),
        ({"auto_advance": "no"}, "auto_advance='no' is not a boolean"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TMaze(**kwargs)
