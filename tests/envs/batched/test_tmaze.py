from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.envs.batched.tmaze import BatchedTMaze
from tests.envs.batched.playing import make_pair, play_side_by_side

MAZE = "MemoryAgents/TMaze-v0"
CORRIDORS = st.one_of(st.integers(1, 12), st.tuples(st.integers(1, 4), st.integers(4, 9)))
FORMS = st.one_of(
    st.fixed_dictionaries({"auto_advance": st.just(True), "cue_bits": st.integers(1, 8)}),
    st.fixed_dictionaries({"auto_advance": st.just(False)}),
)


@given(st.booleans(), CORRIDORS, FORMS, st.integers(0, 2**31), st.sampled_from([None, 1, 4]))
def test_the_same_for_all_arguments(
    active: bool, corridor: Any, form: dict[str, Any], seed: int, max_episode_steps: int | None
) -> None:
    single, batched = make_pair(
        MAZE, 3, seed, active=active, corridor=corridor, max_episode_steps=max_episode_steps, **form
    )
    play_side_by_side(single, batched, 40, seed)


@pytest.mark.parametrize("active", [True, False])
def test_the_single_environment_begins_what_it_plans(active: bool) -> None:
    """It makes one episode from plain numbers, the batched ones make many from arrays."""
    mazes = BatchedTMaze(5, active=active, corridor=(2, 9), cue_bits=4)
    uniforms = np.random.default_rng(0).random((300, 2))
    planned = mazes.env.plan(uniforms)
    for row, length, goal in zip(uniforms, *(field.tolist() for field in planned), strict=True):
        mazes.env._begin(row)
        assert (mazes.env._length, mazes.env._goal) == (length, goal)
