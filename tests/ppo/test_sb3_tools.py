"""Callbacks, wrappers, loggers and the other tools around an agent of Stable-Baselines3."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback, StopTrainingOnRewardThreshold
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
    VecVideoRecorder,
)

from memory_agents import PPO
from memory_agents.memory import tree_leaves
from tests.ppo.toys import StopAfter, Toy, toy_agent, toy_venv


def states_equal(one: Any, other: Any) -> bool:
    return all(th.equal(a, b) for a, b in zip(tree_leaves(one), tree_leaves(other), strict=True))


def check_that_memory_fits_the_episodes(agent: BaseAlgorithm, seen: list[Any]) -> None:
    """Memory has seen every observation of an episode but the newest, which is yet to be answered."""
    assert isinstance(agent, PPO)
    assert agent._memory_state is not None
    starts = np.asarray(agent._last_episode_starts)
    for index, (episode, start) in enumerate(zip(seen, starts, strict=True)):
        np.testing.assert_array_equal(np.asarray(agent._last_obs)[index], episode[-1])
        if not start:
            assert int(agent._memory_state[0].steps[index]) == len(episode) - 1


class OwnToy(Toy):
    """A toy that shares no source of randomness with others."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = copy.deepcopy(self.observation_space)


def test_training_stops_at_a_reward_threshold() -> None:
    stop = EvalCallback(
        toy_venv(2),
        callback_on_new_best=StopTrainingOnRewardThreshold(-1_000.0, verbose=0),
        eval_freq=8,
        n_eval_episodes=2,
        verbose=0,
    )
    agent = toy_agent().learn(960, callback=stop)
    assert agent.num_timesteps == 8 * 3


def test_evaluation_takes_over_the_statistics_of_training() -> None:
    unseen = VecNormalize(toy_venv(2), training=False, norm_reward=False)
    evaluation = EvalCallback(unseen, eval_freq=32, n_eval_episodes=2, verbose=0)
    env = VecNormalize(toy_venv())
    toy_agent(env).learn(96, callback=evaluation)
    known: Any = env.obs_rms
    taken_over: Any = unseen.obs_rms
    np.testing.assert_array_equal(taken_over.mean, known.mean)
    assert np.abs(taken_over.mean).min() > 0


def test_evaluation_does_not_disturb_the_memory_of_training() -> None:
    unseen = make_vec_env(OwnToy, 2, seed=7)
    evaluation = EvalCallback(unseen, eval_freq=10, n_eval_episodes=2, deterministic=True, verbose=0)
    agents = [toy_agent(make_vec_env(OwnToy, 3, seed=0)) for _ in range(2)]
    alone, watched = agents[0].learn(96), agents[1].learn(96, callback=evaluation)
    assert alone._memory_state is not None
    assert states_equal(alone._memory_state, watched._memory_state)


@pytest.mark.parametrize(("observation", "channels"), [("box", None), ("image", 1), ("small_image", 3)])
def test_stacked_frames(observation: str, channels: int | None) -> None:
    env = VecFrameStack(toy_venv(2, observation=observation), n_stack=2)
    agent = toy_agent(env, n_steps=16, batch_size=16, n_epochs=1).learn(32)
    shape = agent.observation_space.shape
    assert shape is not None
    assert shape[0] == (6 if channels is None else 2 * channels)
    actions, _ = agent.predict(env.reset())
    assert actions.shape == (2,)


@pytest.mark.parametrize("wrapped", [False, True])
def test_images_may_have_their_channels_last(wrapped: bool) -> None:
    env: Any = toy_venv(2, observation="small_image")
    if wrapped:
        env = VecTransposeImage(env)
    agent = toy_agent(env, n_steps=16, batch_size=16, n_epochs=1).learn(32)
    assert agent.observation_space.shape == (3, 7, 7)
    channels_last = np.asarray(Toy("small_image").observation_space.sample())
    state = agent.predict(channels_last, deterministic=True)[1]
    assert states_equal(state, agent.predict(channels_last.transpose(2, 0, 1), deterministic=True)[1])


def test_episodes_are_counted_by_a_monitor_of_vectors() -> None:
    env = VecMonitor(DummyVecEnv([Toy, Toy, Toy]))
    agent = toy_agent(env).learn(96)
    assert agent.ep_info_buffer
    assert {"r", "l", "t"} <= set(agent.ep_info_buffer[0])


class Seen(Toy):
    """A toy that can be looked at."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    render_mode = "rgb_array"

    def render(self) -> Any:
        return np.full((16, 16, 3), self.left, dtype=np.uint8)


def test_videos_are_recorded(tmp_path: Path) -> None:
    pytest.importorskip("moviepy", reason="VecVideoRecorder writes with moviepy, which is not installed")
    env = VecVideoRecorder(DummyVecEnv([Seen]), str(tmp_path), lambda step: step == 0, video_length=8)
    toy_agent(env, n_steps=16, batch_size=16, n_epochs=1).learn(16)
    env.close()
    assert list(tmp_path.glob("*.mp4"))


def test_processes_of_their_own_learn_the_same() -> None:
    agents = []
    for cls, kwargs in ((DummyVecEnv, {}), (SubprocVecEnv, dict(start_method="fork"))):
        env = make_vec_env(OwnToy, 2, seed=0, vec_env_cls=cls, vec_env_kwargs=kwargs)
        agents.append(toy_agent(env, n_steps=16, batch_size=16).learn(32))
        env.close()
    assert all(th.equal(*pair) for pair in zip(*(agent.policy.parameters() for agent in agents), strict=True))


@pytest.mark.parametrize("reset", [True, False])
def test_another_environment_begins_with_an_empty_memory(reset: bool) -> None:
    agent = toy_agent().learn(96)
    other = toy_venv(3, seed=5)
    agent.set_env(other)
    assert agent._last_obs is None
    agent.learn(96, reset_num_timesteps=reset)
    assert agent.num_timesteps == (96 if reset else 192)
    check_that_memory_fits_the_episodes(agent, other.get_attr("seen"))


def test_another_number_of_environments_needs_loading() -> None:
    with pytest.raises(AssertionError, match=r"number of environments .* is different"):
        toy_agent().set_env(toy_venv(4))


class FirstSteps(BaseCallback):
    """The memory after the first step of a training."""

    def _on_step(self) -> bool:
        if self.n_calls == 1:
            assert isinstance(self.model, PPO)
            assert self.model._memory_state is not None
            self.steps = self.model._memory_state[0].steps.tolist()
        return True


@pytest.mark.parametrize("stopped", [False, True])
def test_training_goes_on_with_its_memory_or_begins_anew(stopped: bool) -> None:
    # In the middle of a rollout, or at its end.
    agent = toy_agent().learn(96, callback=StopAfter(5) if stopped else None)
    assert agent._memory_state is not None
    assert agent.env is not None
    before = agent._memory_state[0].steps.tolist()
    expected = [
        0 if start else seen for seen, start in zip(before, np.asarray(agent._last_episode_starts), strict=True)
    ]
    first = FirstSteps()
    agent.learn(96, callback=first, reset_num_timesteps=False)
    assert first.steps == [seen + 1 for seen in expected]
    assert max(expected) > 0
    check_that_memory_fits_the_episodes(agent, agent.env.get_attr("seen"))

    first = FirstSteps()
    agent.learn(96, callback=first)
    assert agent.num_timesteps == 96
    assert first.steps == [1, 1, 1]
    check_that_memory_fits_the_episodes(agent, agent.env.get_attr("seen"))


class Interrupted(Exception):
    """Somebody does not want to wait."""


class InterruptAt(BaseCallback):
    """Raise once, at this call."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.call = call

    def _on_step(self) -> bool:
        if self.n_calls == self.call:
            raise Interrupted
        return True


@pytest.mark.parametrize("call", [1, 5, 20])
def test_after_an_interruption_episodes_and_memory_begin_anew(call: int) -> None:
    agent = toy_agent()
    with pytest.raises(Interrupted):
        agent.learn(96, callback=InterruptAt(call))
    assert agent.env is not None
    first = FirstSteps()
    agent.learn(96, callback=first, reset_num_timesteps=False)
    assert first.steps == [1, 1, 1]
    assert agent.rollout_buffer.episode_starts.reshape(3, 32)[:, 0].all()
    check_that_memory_fits_the_episodes(agent, agent.env.get_attr("seen"))


def test_parameters_can_be_taken_and_set() -> None:
    agent, other = toy_agent().learn(96), toy_agent(seed=1)
    parameters: Any = agent.get_parameters()
    assert set(parameters) == {"policy", "policy.optimizer"}
    other.set_parameters(parameters)
    obs = np.ones((3, 3), np.float32)
    assert states_equal(agent.predict(obs)[1], other.predict(obs)[1])
    with pytest.raises(ValueError, match="Names of parameters do not match"):
        other.set_parameters({"policy": parameters["policy"]})
    other.set_parameters({"policy": parameters["policy"]}, exact_match=False)
    smaller = toy_agent(policy_kwargs=dict(memory_kwargs=dict(d_model=8, n_heads=2)))
    with pytest.raises(RuntimeError, match="size mismatch"):
        smaller.set_parameters(parameters)


def test_objects_can_be_replaced_while_loading() -> None:
    buffer = io.BytesIO()
    toy_agent().learn(96).save(buffer)
    buffer.seek(0)
    replaced = dict(learning_rate=7e-5, lr_schedule=lambda _: 7e-5, clip_range=lambda _: 0.3, ent_coef=0.5)
    agent = PPO.load(buffer, env=toy_venv(), device="cpu", custom_objects=replaced)
    assert (agent.learning_rate, agent.ent_coef) == (7e-5, 0.5)
    assert agent.clip_range(1.0) == 0.3  # type: ignore[operator]
    agent.learn(96)
    assert agent.policy.optimizer.param_groups[0]["lr"] == 7e-5


def test_progress_is_shown() -> None:
    pytest.importorskip("rich")
    pytest.importorskip("tqdm")
    agent = toy_agent().learn(96, progress_bar=True)
    assert agent.num_timesteps == 96


def test_logs_of_continued_training_are_one(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    agent = toy_agent(tensorboard_log=str(tmp_path)).learn(192, tb_log_name="run", log_interval=1)
    agent.learn(192, tb_log_name="run", log_interval=1, reset_num_timesteps=False)
    (folder,) = tmp_path.iterdir()
    steps: list[int] = []
    for file in sorted(folder.iterdir()):
        events = accumulator.EventAccumulator(str(file)).Reload()
        steps += [event.step for event in events.Scalars("memory/first_ratio_error")]
        assert "train/loss" in events.Tags()["scalars"]
    assert steps == [192, 384]


@pytest.mark.parametrize("n_envs", [1, 2, 7])
def test_acting_in_other_numbers_of_environments(n_envs: int) -> None:
    agent = toy_agent().learn(96)
    env = toy_venv(n_envs)
    obs, state, starts = env.reset(), None, np.ones(n_envs, dtype=bool)
    for _ in range(4):
        actions, state = agent.predict(obs, state, starts)  # type: ignore[arg-type]
        assert actions.shape == (n_envs,)
        obs, _, starts, _ = env.step(actions)
    lone = agent.predict(np.asarray(obs)[0], None, np.array([True]), deterministic=True)
    assert lone[0].shape == ()


def test_a_loaded_agent_learns_in_more_environments(tmp_path: Path) -> None:
    toy_agent().learn(96).save(tmp_path / "agent")
    agent = PPO.load(tmp_path / "agent", env=toy_venv(5), device="cpu", n_steps=16, batch_size=16)
    agent.learn(80)
    assert agent._memory_state is not None
    assert {len(leaf) for leaf in tree_leaves(agent._memory_state)} == {5}


def test_spaces_of_a_loaded_environment_must_fit(tmp_path: Path) -> None:
    toy_agent().save(tmp_path / "agent")
    with pytest.raises(ValueError, match="Action spaces do not match"):
        PPO.load(tmp_path / "agent", env=toy_venv(action="box"), device="cpu")
    assert isinstance(Toy().action_space, spaces.Discrete)
