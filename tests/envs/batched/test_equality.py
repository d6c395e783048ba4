"""Batched environments give, to the bit, what as many single ones give."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from tests.envs.batched.playing import (
    BATCHED,
    BATCHED_SETTINGS,
    MixedPlayer,
    assert_same,
    make_pair,
    play_side_by_side,
    short_name,
)

over_settings = pytest.mark.parametrize(("env_id", "kwargs"), BATCHED_SETTINGS, ids=short_name)
over_ids = pytest.mark.parametrize("env_id", BATCHED, ids=short_name)


@over_settings
def test_the_same_as_single_environments(env_id: str, kwargs: dict[str, Any]) -> None:
    single, batched = make_pair(env_id, 7, 3, **kwargs)
    assert play_side_by_side(single, batched, 300, seed=0) > 3


@over_settings
def test_one_environment_is_enough(env_id: str, kwargs: dict[str, Any]) -> None:
    single, batched = make_pair(env_id, 1, 8, **kwargs)
    play_side_by_side(single, batched, 250, seed=1)


@over_ids
def test_seeding_again_and_resetting_in_the_middle(env_id: str) -> None:
    single, batched = make_pair(env_id, 4, 5)
    for seed in (None, 11, None, 5):
        if seed is not None:
            assert single.seed(seed) == batched.seed(seed)
        play_side_by_side(single, batched, 70, seed=2)


@over_ids
def test_a_time_limit_cuts_episodes(env_id: str) -> None:
    single, batched = make_pair(env_id, 3, 0, max_episode_steps=13)
    assert play_side_by_side(single, batched, 80, seed=3) >= 18


@over_settings
def test_gymnasium_sees_the_same(env_id: str, kwargs: dict[str, Any]) -> None:
    play_side_by_side_in_gymnasium(env_id, 200, **kwargs)


@over_ids
def test_gymnasium_sees_the_same_cut(env_id: str) -> None:
    play_side_by_side_in_gymnasium(env_id, 60, max_episode_steps=13)


def play_side_by_side_in_gymnasium(env_id: str, steps: int, **kwargs: Any) -> None:
    same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
    single = gym.make_vec(env_id, 4, vectorization_mode="sync", vector_kwargs=same_step, **kwargs)
    batched = gym.make_vec(env_id, 4, vectorization_mode="vector_entry_point", **kwargs)
    assert isinstance(single, SyncVectorEnv)
    assert single.metadata["autoreset_mode"] is batched.metadata["autoreset_mode"]
    for space in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(single, space) == getattr(batched, space)
    expected: Any = single.reset(seed=9)
    assert_same(list(expected), list(batched.reset(seed=9)))
    player = MixedPlayer(single.envs[0], 4, seed=5)
    for _ in range(steps):
        actions = player.act(expected[0])
        expected = single.step(actions)
        assert_same(list(expected), list(batched.step(actions)))
        player.begin(expected[2] | expected[3])
    mask = np.array([True, False, False, True])
    assert_same(
        list(single.reset(options={"reset_mask": mask})),
        list(batched.reset(options={"reset_mask": mask})),
    )


@pytest.mark.parametrize("wrapper", [DictInfoToList, RecordEpisodeStatistics])
def test_wrappers_of_gymnasium_see_the_same(wrapper: Any) -> None:
    kwargs: dict[str, Any] = {"num_envs": 3, "corridor": (1, 4), "cue_bits": 2}
    same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
    single = gym.make_vec("MemoryAgents/TMaze-v0", vectorization_mode="sync", vector_kwargs=same_step, **kwargs)
    batched = gym.make_vec("MemoryAgents/TMaze-v0", **kwargs)
    pair = [wrapper(env) for env in (single, batched)]
    begun = [list(env.reset(seed=2)) for env in pair]
    assert_same(*begun)
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(40):
        actions = rng.integers(4, size=3)
        steps = [env.step(actions) for env in pair]
        for step in steps:
            ended += step[2].any()
            if "episode" in step[4]:
                del step[4]["episode"]["t"]
        assert str(steps[0]) == str(steps[1])
    assert ended > 10
