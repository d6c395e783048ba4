"""What every environment must keep, whatever its task."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from memory_agents.envs import ENVIRONMENTS, MemoryEnv, register_environments
from tests.envs.playing import SETTINGS, play_oracle, returns_of, setting_name

# Wrapped environments of others have neither anchors nor an oracle.
CREATORS: dict[str, Any] = {env_id: load_env_creator(entry.entry_point) for env_id, entry in ENVIRONMENTS.items()}
OURS = [env_id for env_id, made in CREATORS.items() if isinstance(made, type) and issubclass(made, MemoryEnv)]
OTHERS = [env_id for env_id in ENVIRONMENTS if env_id not in OURS]

over_all_ids = pytest.mark.parametrize("env_id", ENVIRONMENTS)
over_ids = pytest.mark.parametrize("env_id", OURS)
over_other_ids = pytest.mark.parametrize("env_id", OTHERS)
over_settings = pytest.mark.parametrize(("env_class", "kwargs"), SETTINGS, ids=setting_name)


def make(env_id: str, **kwargs: Any) -> MemoryEnv:
    env = gym.make(env_id, **kwargs).unwrapped
    assert isinstance(env, MemoryEnv)
    return env


def trace(env: gym.Env[Any, Any], steps: int, action_seed: int) -> list[tuple[Any, ...]]:
    """What random actions meet from the present state on."""
    env.action_space.seed(action_seed)
    met: list[tuple[Any, ...]] = []
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        met.append((observation.tolist(), reward, terminated, truncated, info))
        if terminated or truncated:
            met.append((env.reset()[0].tolist(),))
    return met


def test_registering_twice_changes_nothing() -> None:
    before = {env_id: gym.registry[env_id] for env_id in ENVIRONMENTS}
    register_environments()
    assert {env_id: gym.registry[env_id] for env_id in ENVIRONMENTS} == before


@over_all_ids
def test_the_table_describes_the_environment(env_id: str) -> None:
    env = gym.make(env_id)
    assert type(env.unwrapped).__doc__
    assert ENVIRONMENTS[env_id].summary.endswith(".")


@over_ids
def test_tags_are_known(env_id: str) -> None:
    env = make(env_id)
    assert set(env.tags) <= {"object", "spatial", "sequential", "capacity", "credit assignment"}
    assert env.tags


@over_ids
def test_gymnasium_checker_is_silent(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check_env(make(env_id, render_mode="rgb_array"))


@over_ids
def test_every_preset_is_solved_by_the_oracle(env_id: str) -> None:
    assert list(make(env_id).presets) == ["train", "interpolate", "extrapolate"]
    for preset in make(env_id).presets.values():
        env = make(env_id, **preset)
        if not env.optimum_varies:
            assert play_oracle(env, seed=0)[0] == pytest.approx(env.optimal_return)


@over_other_ids
def test_other_environments_pass_both_checkers(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        warnings.filterwarnings("ignore", message=".*(?i:we recommend .*symmetric and normalized)")
        gymnasium_check_env(gym.make(env_id), skip_render_check=True)
        sb3_check_env(gym.make(env_id), skip_render_check=True)


@over_other_ids
def test_other_environments_are_deterministic_and_spell_out_how_they_are_made(env_id: str) -> None:
    env = gym.make(env_id)
    assert env.spec is not None
    copies = [env, gym.make(env_id), gym.make(env.spec), pickle.loads(pickle.dumps(env))]
    for copy in copies:
        copy.reset(seed=11)
    traces = [trace(copy, 300, action_seed=3) for copy in copies]
    assert all(met == traces[0] for met in traces)


@over_all_ids
def test_vectorised_by_stable_baselines(env_id: str) -> None:
    vec_env = make_vec_env(env_id, n_envs=3, seed=5)
    assert isinstance(vec_env, DummyVecEnv)
    observations = vec_env.reset()
    assert isinstance(observations, np.ndarray)
    assert observations.shape == (3, *(vec_env.observation_space.shape or ()))
    ended = 0
    while ended < 4:
        observations, _, dones, infos = vec_env.step(np.array([vec_env.action_space.sample() for _ in range(3)]))
        for done, info in zip(dones, infos, strict=True):
            assert ("is_success" in info) == (done and env_id in OURS)
            ended += done


@over_settings
def test_both_checkers_accept_every_setting(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    gymnasium_check_env(env_class(**kwargs), skip_render_check=True)
    sb3_check_env(env_class(**kwargs, render_mode="rgb_array"))


@over_settings
def test_anchors_are_in_order(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    assert env.optimal_return > env.memoryless_return >= env.random_return
    assert env.normalized_score(env.optimal_return) == pytest.approx(1.0)
    assert env.normalized_score(env.memoryless_return) == pytest.approx(0.0)
    far = 2 * (env.optimal_return - env.random_return)
    assert env.normalized_score(env.random_return - far) < -1.0
    assert env.normalized_score(env.optimal_return + far) > 2.0


@over_settings
def test_oracle_reaches_the_optimum(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    if env.optimum_varies:
        returns = np.array([play_oracle(env, seed)[0] for seed in range(400)])
        assert abs(returns.mean() - env.optimal_return) < 4 * returns.std() / np.sqrt(len(returns))
        return
    for seed in range(100):
        episode_return, info = play_oracle(env, seed)
        assert episode_return == pytest.approx(env.optimal_return, abs=1e-9)
        assert info["is_success"] is True


@over_settings
def test_random_play_returns_what_is_claimed(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    env.action_space.seed(1)
    returns = returns_of(env, lambda _: env.action_space.sample(), 1500)
    # Of a hundred settings one comes near four standard errors now and then.
    assert abs(returns.mean() - env.random_return) < 5 * returns.std() / np.sqrt(len(returns))


@over_settings
def test_the_same_seed_gives_the_same_episodes(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    one, other = env_class(**kwargs), env_class(**kwargs)
    for env in (one, other):
        env.reset(seed=11)
    np.random.seed(0)  # A global seed must make no difference.
    first = trace(one, 150, action_seed=3)
    np.random.seed(1)
    assert trace(other, 150, action_seed=3) == first


@over_settings
def test_a_pickled_copy_plays_on_identically(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    env.reset(seed=2)
    env.step(0)
    copy: MemoryEnv = pickle.loads(pickle.dumps(env))
    assert trace(copy, 60, action_seed=4) == trace(env, 60, action_seed=4)


@over_settings
def test_observations_are_fresh(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    clean, spoiled = env_class(**kwargs), env_class(**kwargs)
    for env in (clean, spoiled):
        env.reset(seed=7)
    over = False
    while not over:
        expected, _, terminated, truncated, _ = clean.step(0)
        observation, _, _, _, info = spoiled.step(0)
        np.testing.assert_array_equal(observation, expected)
        assert observation.dtype == spoiled.observation_space.dtype
        observation[:] = 99
        info["spoiled"] = True
        over = terminated or truncated


@over_settings
def test_frames(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs, render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match=r"reset\(\) before render"):
        env.render()
    oracle = env.oracle()
    observation, _ = env.reset(seed=0)
    frames, over = [env.render()], False
    while not over:
        observation, _, terminated, truncated, _ = env.step(oracle.act(observation))
        frames.append(env.render())
        over = terminated or truncated
    assert {(frame.shape, frame.dtype) for frame in frames} == {((256, 320, 3), np.dtype(np.uint8))}
    assert all((now != then).any() for now, then in zip(frames[1:], frames, strict=False))
    assert env_class(**kwargs).render() is None


@over_ids
def test_stepping_out_of_turn_is_an_error(env_id: str) -> None:
    env = make(env_id)
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        env.step(0)
    play_oracle(env, seed=0)
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        env.step(0)


@over_ids
@pytest.mark.parametrize("action", [-1, 99])
def test_unknown_actions_are_an_error(env_id: str, action: int) -> None:
    env = make(env_id)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=rf"action={action} is unknown: pass an integer from 0 to"):
        env.step(action)


@over_ids
def test_unknown_render_mode_is_an_error(env_id: str) -> None:
    env_class = type(make(env_id))
    with pytest.raises(ValueError, match="render_mode='human' is unknown: pass one of 'rgb_array'"):
        env_class(render_mode="human")
