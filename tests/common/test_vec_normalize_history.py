"""Histories whose observations are normalised whatever row they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, sync_envs_normalization

from memory_agents import CompressiveMemoryExtractor, VecHistory, VecNormalizeHistory, VecPreviousActionReward
from tests.common.test_vec_wrappers import Own, play
from tests.ppo.toys import toy_venv

LENGTH = 9  # longer than some episodes, and shorter than others


def toys(observation: str = "box") -> VecEnv:
    return make_vec_env(Own, 3, env_kwargs=dict(observation=observation, truncate=True))


def histories(observation: str = "box", **kwargs: Any) -> VecHistory:
    return VecHistory(toys(observation), LENGTH, **kwargs)


@pytest.mark.parametrize("observation", ["box", "dict"])
def test_it_shows_what_normalisation_inside_shows(observation: str) -> None:
    name = {"box": "observation", "dict": "x"}[observation]
    inside = VecNormalize(toys(observation), norm_obs_keys=None if observation == "box" else ["x"])
    outside = VecNormalizeHistory(histories(observation))
    within = VecHistory(inside, LENGTH)
    for venv in (within, outside):
        play(venv)
    statistics: Any = inside.obs_rms if observation == "box" else inside.obs_rms[name]
    for part in ("mean", "var", "count"):
        np.testing.assert_allclose(getattr(outside.obs_rms[name], part), getattr(statistics, part), rtol=1e-12)
    # Old rows inside were normalised by the statistics of their time, so they are held fast to compare.
    inside.training = outside.training = False
    for now, then in zip(play(outside), play(within), strict=True):
        mask = np.arange(LENGTH) >= LENGTH - np.asarray(now["history_length"]).reshape(-1, 1)
        shape = (-1, LENGTH, now[name].shape[-1])
        np.testing.assert_allclose(
            now[name].reshape(shape)[mask], then[name].reshape(shape)[mask], rtol=1e-5, atol=1e-6
        )
    # As VecNormalize does not: it has statistics of every row.
    assert np.shape(outside.obs_rms[name].mean) == now[name].shape[-1:]


def test_by_default_all_floating_point_numbers_are_normalised() -> None:
    assert list(VecNormalizeHistory(histories("dict_image")).obs_rms) == ["x"]
    every = VecNormalizeHistory(histories(previous_action=True, previous_reward=True))
    assert set(every.obs_rms) == {"observation", "previous_action", "previous_reward"}
    some = VecNormalizeHistory(histories(previous_reward=True), norm_obs_keys=["previous_reward"], clip_obs=0.5)
    assert list(some.obs_rms) == ["previous_reward"]
    assert any(np.abs(seen["observation"]).max() > 0.5 for seen in play(some))
    assert all(np.abs(seen["previous_reward"]).max() <= 0.5 for seen in play(some))
    assert VecNormalizeHistory(histories(), norm_obs_keys=[]).obs_rms == {}
    rewards = VecNormalizeHistory(histories("discrete"), norm_obs=False)
    assert not hasattr(rewards, "obs_rms")
    play(rewards)


@pytest.mark.parametrize(
    ("venv", "kwargs", "message"),
    [
        (toys, {}, "which are no histories; use VecNormalize for these"),
        (lambda: VecPreviousActionReward(toys()), {}, "no histories"),
        (histories, dict(norm_obs_keys=["seen"]), r"are \['observation'\]; leave the others out"),
        (lambda: histories("discrete"), {}, r"in boxes are \[\]; use norm_obs=False"),
        (histories, dict(norm_obs_keys=["history_length"]), "leave the others out"),
    ],
)
def test_what_cannot_be_normalised_is_refused(venv: Any, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VecNormalizeHistory(venv(), **kwargs)


def test_replay_learns_saves_and_evaluates(tmp_path: Path) -> None:
    def make() -> VecHistory:
        return VecHistory(toy_venv(n_envs=2, action="box", truncate=True), 4)

    env = VecNormalizeHistory(make())
    extractor = dict(memory_class="gru", memory_kwargs=dict(hidden_size=8))
    agent = SAC(
        "MultiInputPolicy",
        env,
        policy_kwargs=dict(
            features_extractor_class=CompressiveMemoryExtractor, features_extractor_kwargs=extractor, net_arch=[8]
        ),
        learning_starts=20,
        buffer_size=200,
        batch_size=8,
        device="cpu",
    ).learn(60)
    stored: Any = agent.replay_buffer
    shown = []
    for normalized in (None, env):
        np.random.seed(0)  # which environments the transitions are of
        shown.append({key: part.numpy() for key, part in stored._get_samples(np.arange(20), normalized)[0].items()})
    np.testing.assert_allclose(env.normalize_obs(shown[0])["observation"], shown[1]["observation"], rtol=1e-5)
    env.save(str(tmp_path / "statistics"))
    loaded = VecNormalize.load(str(tmp_path / "statistics"), make())
    other = VecNormalizeHistory(make(), training=False)
    sync_envs_normalization(env, other)
    for copy in (loaded, other):
        np.testing.assert_array_equal(copy.obs_rms["observation"].mean, env.obs_rms["observation"].mean)
    before = loaded.obs_rms["observation"].count
    loaded.reset()
    assert loaded.obs_rms["observation"].count == before + 2
    assert isinstance(loaded.observation_space, spaces.Dict)
