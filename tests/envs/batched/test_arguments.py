"""Batched environments give what as many single ones give, for arguments of all kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import ObjectMatchingGrid
from memory_agents.envs.batched.object_matching_grid_views import SHOWS_OBJECTS, GridViews
from memory_agents.envs.grid_view import REACH
from memory_agents.envs.object_matching_grid_map import WALL
from tests.envs.batched.playing import (
    BATCHED_SETTINGS,
    MixedPlayer,
    assert_same,
    make_pair,
    play_side_by_side,
    short_name,
)

seeds = st.integers(0, 2**31)
corridors = st.one_of(st.integers(1, 9), st.tuples(st.integers(1, 3), st.integers(3, 9)))


@given(st.integers(2, 9), st.integers(2, 60), seeds)
@settings(max_examples=25, deadline=None)
def test_hidden_goal(size: int, horizon: int, seed: int) -> None:
    single, batched = make_pair("MemoryAgents/HiddenGoal-v0", 5, seed, size=size, horizon=horizon)
    play_side_by_side(single, batched, 150, seed)


@given(st.tuples(st.integers(2, 6), st.integers(0, 6)), st.one_of(st.none(), st.integers(12, 26)), seeds)
@settings(max_examples=25, deadline=None)
def test_concentration(pairs: tuple[int, int], max_pairs: int | None, seed: int) -> None:
    n_pairs = pairs[0], pairs[0] + pairs[1]
    single, batched = make_pair("MemoryAgents/Concentration-v0", 5, seed, n_pairs=n_pairs, max_pairs=max_pairs)
    play_side_by_side(single, batched, 150, seed)


@given(
    st.fixed_dictionaries(
        {
            "n_shapes": st.integers(2, 6),
            "n_colours": st.integers(1, 3),
            "corridor": corridors,
            "time_limit": st.one_of(st.none(), st.integers(21, 90)),
            "observation": st.sampled_from(["symbolic", "image"]),
            "rule": st.sampled_from(["nonmatch", "match"]),
            "sample": st.sampled_from(["trial", "episode"]),
        }
    ),
    seeds,
)
@settings(max_examples=25, deadline=None)
def test_object_matching_grid(kwargs: dict[str, Any], seed: int) -> None:
    single, batched = make_pair("MemoryAgents/ObjectMatchingGrid-v0", 4, seed, **kwargs)
    play_side_by_side(single, batched, 150, seed)


MASKED = [
    (env_id, kwargs)
    for env_id, kwargs in BATCHED_SETTINGS
    if make_pair(env_id, 1, 0, **kwargs)[0].has_attr("action_masks")
]


@pytest.mark.parametrize(("env_id", "kwargs"), MASKED, ids=short_name)
def test_action_masks_are_those_of_single_environments(env_id: str, kwargs: dict[str, Any]) -> None:
    single, batched = make_pair(env_id, 4, 6, **kwargs)
    observations: Any = single.reset()
    batched.reset()
    player = MixedPlayer(single.envs[0], 4, seed=6)
    for _ in range(120):
        assert_same(single.env_method("action_masks"), batched.env_method("action_masks"))
        actions = player.act(observations)
        observations, _, dones, _ = single.step(actions)
        batched.step(actions)
        player.begin(dones)


@pytest.mark.parametrize("corridor", [3, (1, 4)])
@pytest.mark.parametrize("observation", ["symbolic", "image"])
def test_every_view_of_the_grid_is_painted(corridor: Any, observation: str) -> None:
    env = ObjectMatchingGrid(corridor=corridor, observation=observation)
    views, grid = GridViews(env), env._grid
    low, high = env.corridor
    for length in range(low, high + 1):
        arrival, world = grid.arrival(length), grid.world.copy()
        world[arrival[0] + REACH, grid.door[1] - high + REACH : arrival[1] + REACH] = WALL
        for row, column in [*grid.distances(grid.start), *grid.distances(grid.door)]:
            if arrival[1] - (high - length) <= column < arrival[1] or (row, column) in (grid.pad, grid.plate):
                continue
            number = views.bare[views.cell_number((row, column))]
            if length < high and 0 <= column - arrival[1] < REACH:
                number = views.closed[length - low, column - arrival[1], row + REACH]
            np.testing.assert_array_equal(views.looks[number], env._view.look(world, row, column))
    assert views.bare[views.cell_number(grid.pad)] == views.bare[views.cell_number(grid.plate)] == SHOWS_OBJECTS
    # Views that look alike are painted once: those from within a corridor, for example.
    bare = {look.tobytes() for look in views.looks[2 * 4 + 2 * 4 * 4 :]}
    assert len(bare) == len(views.looks) - (2 * 4 + 2 * 4 * 4)
