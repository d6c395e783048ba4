"""Batched episodes of trials, for all arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs.batched.trials import BatchedDelayedMatch, BatchedObjectMatching
from tests.envs.batched.playing import make_pair, play_side_by_side

DELAYS = st.one_of(st.integers(0, 5), st.tuples(st.integers(0, 2), st.integers(2, 6)))


@given(
    st.fixed_dictionaries(
        {
            "n_shapes": st.integers(2, 12),
            "n_colours": st.integers(1, 3),
            "trials": st.integers(1, 4),
            "delay": DELAYS,
            "cue_steps": st.integers(1, 3),
            "distractors": st.sampled_from(["none", "noise", "objects"]),
            "rule": st.sampled_from(["nonmatch", "match"]),
            "sample": st.sampled_from(["trial", "episode"]),
            "self_paced": st.booleans(),
        }
    ),
    st.integers(0, 1000),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_object_matching(kwargs: dict[str, Any], seed: int, tight: bool) -> None:
    if kwargs["self_paced"] and tight:
        longest = kwargs["delay"] if isinstance(kwargs["delay"], int) else kwargs["delay"][1]
        kwargs["time_limit"] = kwargs["trials"] * (kwargs["cue_steps"] + longest + 2)
    play_side_by_side(*make_pair("MemoryAgents/ObjectMatching-v0", 3, seed, **kwargs), 60, seed)


@given(
    st.fixed_dictionaries(
        {
            "set_size": st.integers(1, 4),
            "n_values": st.integers(2, 12),
            "trials": st.integers(1, 4),
            "rule": st.sampled_from(["match", "nonmatch"]),
        },
        optional={"delay": DELAYS},
    ),
    st.lists(st.integers(0, 6), max_size=3),
    st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_delayed_match(kwargs: dict[str, Any], delays: list[int], seed: int) -> None:
    if delays and "delay" not in kwargs:
        kwargs["delays"] = delays
    play_side_by_side(*make_pair("MemoryAgents/DelayedMatch-v0", 3, seed, **kwargs), 60, seed)


@pytest.mark.parametrize("limits", [(9, 30), (30, 9), (12, 12)])
def test_the_tighter_of_two_time_limits_cuts(limits: tuple[int, int]) -> None:
    own, outer = limits
    kwargs: dict[str, Any] = {"self_paced": True, "trials": 2, "delay": 0, "cue_steps": 1, "time_limit": own}
    pair = make_pair("MemoryAgents/ObjectMatching-v0", 5, 0, max_episode_steps=outer, **kwargs)
    assert play_side_by_side(*pair, 120, seed=0) > 5 * 120 // (min(limits) + 1)


def test_own_observations_stay_while_later_episodes_are_drawn() -> None:
    """One place of the bank after the other is overwritten, never one that is being played."""
    env = BatchedObjectMatching(4, distractors="noise", delay=2, trials=2, cue_steps=1)
    env.reset(seed=0)
    playing, first = env.row[1:].copy(), env.row[0]
    before = env.episodes.own[playing].copy()
    places = set()
    for _ in range(3 * env._bank.depth):
        env.reset(options={"reset_mask": np.arange(4) == 0})
        places.add(int(env.row[0] - first))
        np.testing.assert_array_equal(env.row[1:], playing)
        np.testing.assert_array_equal(env.episodes.own[playing], before)
    assert len(places) == env._bank.depth > 2


def test_every_copy_sees_its_own_table_rows() -> None:
    env = BatchedDelayedMatch(64, set_size=4, n_values=12, trials=1, delay=0)
    samples, _ = env.reset(seed=0)
    assert len(np.unique(samples, axis=0)) > 55
