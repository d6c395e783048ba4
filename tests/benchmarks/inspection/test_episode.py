"""What is written down of an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from numpy.testing import assert_allclose
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN

from memory_agents import PPO
from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.inspection.episode import first_action, play_episode, with_frames
from memory_agents.common import MemoryActorCriticPolicy
from tests.benchmarks.inspection.agents import JUDGED, SMALL, make_run


def test_an_episode_is_what_predict_plays(tmp_path: Path) -> None:
    config, agent = make_run(tmp_path / "run", memory_kwargs=SMALL)
    episode = play_episode(agent, make_env(config, "rgb_array"), 5, think=True)

    env = make_env(config)
    obs, _ = env.reset(seed=5)
    state, start, over = None, True, False
    actions, rewards = [], []
    while not over:
        action, state = agent.predict(obs, state, np.array([start]), deterministic=True)
        obs, reward, terminated, truncated, _ = env.step(action)
        start, over = False, terminated or truncated
        actions.append(int(action))
        rewards.append(float(reward))
    assert episode.actions == actions
    assert episode.rewards == rewards
    assert episode.episode_return == sum(rewards)
    assert episode.solved == (sum(rewards) == 1)
    assert len(episode) == len(episode.thoughts) == len(episode.frames) - 1 == 13
    assert not episode.cut


def test_thoughts_are_those_that_actions_follow_from(tmp_path: Path) -> None:
    config, agent = make_run(tmp_path / "run", memory_kwargs=SMALL)
    episode = play_episode(agent, make_env(config), 0, think=True)
    policy = agent.policy
    assert isinstance(policy, MemoryActorCriticPolicy)
    env = make_env(config)
    obs, _ = env.reset(seed=0)
    state: Any = policy.initial_state(1)
    for step, thought in enumerate(episode.thoughts):
        assert thought.probabilities is not None
        (chances,) = thought.probabilities
        assert sum(chances) == pytest.approx(1, abs=1e-5)
        assert int(np.argmax(chances)) == episode.actions[step]
        with th.no_grad():
            _, value, log_prob, state = policy(
                policy.obs_to_tensor(obs)[0], state, th.tensor([step == 0]), deterministic=True
            )
        assert thought.value == pytest.approx(value.item(), abs=1e-5)
        assert max(chances) == pytest.approx(log_prob.exp().item(), abs=1e-5)
        # All that a layer attends to: recent tokens and slots that are filled.
        for reading, shape in zip(thought.readings, episode.shapes, strict=True):
            assert reading.recent.shape == (1, shape.memory_length + 1)
            assert (reading.recent.sum() + reading.slots.sum()).item() == pytest.approx(1, abs=1e-5)
            assert (reading.recent[0, step + 1 :] == 0).all()
        obs, *_ = env.step(episode.actions[step])
    assert (episode.thoughts[-1].readings[0].slot_tokens >= 0).all()
    assert not episode.frames


def test_drawn_actions_follow_from_the_seed(tmp_path: Path) -> None:
    config, agent = make_run(tmp_path / "run", memory_kwargs=SMALL, env_kwargs={"corridor": 40})
    env = make_env(config)
    drawn = [play_episode(agent, env, seed, deterministic=False).actions for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[0] != play_episode(agent, env, 1).actions


def test_episodes_can_be_cut(tmp_path: Path) -> None:
    config, agent = make_run(tmp_path / "run", memory_kwargs=SMALL)
    episode = play_episode(agent, make_env(config), 0, max_steps=5)
    assert (len(episode), episode.cut, episode.solved) == (5, True, None)
    assert not play_episode(agent, make_env(config), 0, max_steps=13).cut


def test_decisions_of_a_judger(tmp_path: Path) -> None:
    config, agent = make_run(tmp_path / "run", memory_kwargs=JUDGED)
    episode = play_episode(agent, make_env(config), 0, deterministic=False, think=True)
    assert episode.judged is not None
    assert len(episode.judged) == len(episode)
    blocks = episode.judged.blocks
    assert blocks.first.tolist() == [0, 2, 4, 6, 8]
    assert blocks.judged.any()
    # As many slots as were kept, the newest first.
    held = episode.thoughts[-1].readings[-1].slot_tokens[0].tolist()
    gone = [
        (first, keep) for first, keep, step in zip(blocks.first, blocks.keep, blocks.step, strict=True) if step < 12
    ]
    assert held == [int(first) for first, keep in gone if keep][::-1][:2]


@pytest.mark.parametrize("arguments", [{"policy": "MlpPolicy"}, {"policy": "MemoryPolicy", "memory_class": "lstm"}])
def test_agents_without_attention(tmp_path: Path, arguments: dict[str, Any]) -> None:
    config, agent = make_run(tmp_path / "run", **arguments)
    episode = play_episode(agent, make_env(config), 0, think=True)
    assert episode.shapes == ()
    assert episode.judged is None
    for thought in episode.thoughts:
        assert thought.readings == ()
        assert thought.probabilities is not None
        assert thought.value is not None


def test_recurrent_agents_of_sb3_contrib(tmp_path: Path) -> None:
    env = gym.make("CartPole-v1")
    agent = RecurrentPPO("MlpLstmPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    episode = play_episode(agent, env, 0, max_steps=4, think=True)
    for thought, action in zip(episode.thoughts, episode.actions, strict=True):
        assert thought.probabilities is not None
        assert int(np.argmax(thought.probabilities[0])) == action
        assert thought.value is None
    # What came before counts.
    assert episode.thoughts[0].probabilities != episode.thoughts[1].probabilities


@pytest.mark.parametrize("arguments", [{"policy": "MlpPolicy"}, {"memory_kwargs": SMALL}])
def test_agents_that_learn_with_masks_are_told_what_is_valid(tmp_path: Path, arguments: dict[str, Any]) -> None:
    config, agent = make_run(tmp_path / "run", "MemoryAgents/Concentration-v0", algorithm="MaskablePPO", **arguments)
    env = make_env(config)
    episode = play_episode(agent, env, 0, deterministic=False, max_steps=20, think=True)
    env.reset(seed=0)
    masks = []
    for action in episode.actions:
        masks.append(env.get_wrapper_attr("action_masks")())
        env.step(action)
    assert not np.all(masks)
    for mask, thought, action in zip(masks, episode.thoughts, episode.actions, strict=True):
        assert thought.probabilities is not None
        assert_allclose(np.array(thought.probabilities[0])[~mask], 0, atol=1e-7)
        assert mask[action]


def test_agents_without_anything() -> None:
    env = gym.make("CartPole-v1")
    episode = play_episode(DQN("MlpPolicy", env, seed=0), env, 0, max_steps=3, think=True)
    assert [thought.probabilities for thought in episode.thoughts] == [None] * 3
    assert episode.thoughts[0].value is None
    assert episode.solved is None


class Anything(gym.Env[np.ndarray, Any]):
    """Two steps with actions of any kind."""

    observation_space = spaces.Box(-1, 1, (2,))

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.action_space, self.time = action_space, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.time += 1
        return np.zeros(2, np.float32), 0.0, self.time == 2, False, {}


@pytest.mark.parametrize(
    ("space", "first", "choices"),
    [
        (spaces.Discrete(3, start=5), [5], [3]),
        (spaces.MultiDiscrete([2, 4], start=[1, 0]), [1, 0], [2, 4]),
        (spaces.MultiBinary(2), [0, 0], [2, 2]),
        (spaces.Box(-1, 1, (2,)), [0], None),
    ],
)
def test_all_kinds_of_actions(space: spaces.Space[Any], first: list[int], choices: list[int] | None) -> None:
    env = Anything(space)
    agent = PPO("CompressiveMemoryPolicy", env, policy_kwargs=dict(memory_kwargs=SMALL), n_steps=16, device="cpu")
    thought = play_episode(agent, env, 0, think=True).thoughts[0]
    assert first_action(space) == first
    if choices is None:
        assert thought.probabilities is None
        assert thought.mean is not None
        assert_allclose(thought.std or [], [1, 1], rtol=1e-5)
    else:
        assert thought.probabilities is not None
        assert [len(part) for part in thought.probabilities] == choices
        assert_allclose([sum(part) for part in thought.probabilities], 1, rtol=1e-5)


def test_environments_that_draw_nothing() -> None:
    def make(render_mode: str | None) -> gym.Env[Any, Any]:
        if render_mode is not None:
            raise UsageError("no pictures")
        return Anything(spaces.Discrete(2))

    assert with_frames(make).render_mode is None
