"""Observations that tell whether they matter."""

from __future__ import annotations

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from memory_agents import PPO
from memory_agents.envs import CueStream, ShowImportance, TMaze


def test_every_observation_tells_whether_it_matters() -> None:
    env = ShowImportance(CueStream())
    batch = CueStream().supervised_batch(1, 4)
    observation, info = env.reset(seed=4)
    for step in range(128):
        assert env.observation_space.contains(observation)
        assert list(observation) == ["important", "observation"]
        assert observation["important"].tolist() == [batch.important[0, step]]
        assert observation["important"][0] == info["important"]
        np.testing.assert_array_equal(observation["observation"], batch.tokens[0, step])
        observation, _, terminated, truncated, info = env.step(0)
    assert (terminated, truncated) == (True, False)
    assert observation["important"].tolist() == [0]


def test_the_flag_comes_first() -> None:
    space = ShowImportance(CueStream()).observation_space
    assert isinstance(space, gym.spaces.Dict)
    assert next(iter(space)) == "important"


def test_environments_that_do_not_tell_are_refused() -> None:
    with pytest.raises(ValueError, match=r"does not tell in info\['important'\].*pass an environment that does"):
        ShowImportance(TMaze()).reset()


def test_both_checkers_accept_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        gymnasium_check_env(ShowImportance(CueStream()), skip_render_check=True)
        sb3_check_env(ShowImportance(CueStream()))


def test_it_is_made_again_from_its_spec_and_from_a_pickle() -> None:
    env = ShowImportance(gym.make("MemoryAgents/CueStream-v0"))
    assert env.spec is not None
    for copy in (gym.make(env.spec), pickle.loads(pickle.dumps(env))):
        assert copy.observation_space == env.observation_space


def test_policies_that_are_told_need_it() -> None:
    kwargs = dict(policy_kwargs=dict(memory_kwargs=dict(judger="oracle")), device="cpu")
    with pytest.raises(ValueError, match=r"first entry is 'important'.*put memory_agents\.envs\.ShowImportance around"):
        PPO("CompressiveMemoryPolicy", CueStream(), **kwargs)  # type: ignore[arg-type]
    PPO("CompressiveMemoryPolicy", ShowImportance(CueStream()), **kwargs)  # type: ignore[arg-type]
