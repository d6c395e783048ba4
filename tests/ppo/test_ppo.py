"""PPO with memory: acting equals learning inside the algorithm, truncation, determinism, arguments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from memory_agents import PPO
from memory_agents.common import SequenceRolloutBuffer
from memory_agents.memory import tree_clone, tree_leaves, tree_select
from tests.ppo.toys import ACTIONS, OBSERVATIONS, TINY, toy_agent, toy_venv


def collect(agent: PPO) -> SequenceRolloutBuffer:
    """One rollout without learning."""
    _, callback = agent._setup_learn(10**6)
    assert agent.env is not None
    agent.collect_rollouts(agent.env, callback, agent.rollout_buffer, agent.n_steps)
    return agent.rollout_buffer


def collect_more(agent: PPO) -> SequenceRolloutBuffer:
    """The next rollout of the same episodes, without learning."""
    assert agent.env is not None
    agent.collect_rollouts(agent.env, agent._init_callback(None), agent.rollout_buffer, agent.n_steps)
    return agent.rollout_buffer


def assert_learning_sees_what_acting_saw(agent: PPO) -> None:
    """Ratio 1 and equal values over all windows of the present rollout."""
    buffer = agent.rollout_buffer
    samples = buffer.sample_windows(np.arange(buffer.n_envs * buffer.windows_per_env))
    discrete = isinstance(agent.action_space, gym.spaces.Discrete)
    actions = samples.actions.long().flatten() if discrete else samples.actions
    with th.no_grad():
        values, log_prob, _ = agent.policy.evaluate_actions(samples.observations, actions)
    th.testing.assert_close((log_prob - samples.old_log_prob).exp(), th.ones_like(log_prob), atol=1e-4, rtol=0)
    th.testing.assert_close(values.flatten(), samples.old_values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(
    ("observation", "action"),
    [(observation, "discrete") for observation in OBSERVATIONS] + [("box", action) for action in ACTIONS],
)
def test_the_first_ratio_is_one(observation: str, action: str, share: bool) -> None:
    env = toy_venv(observation=observation, action=action, truncate=True)
    agent = toy_agent(env, policy_kwargs=dict(share_features_extractor=share), learning_rate=1e-2)
    agent.learn(96)  # so that memory comes from before the rollout, made by other parameters
    for _ in range(2):
        collect_more(agent)
        assert_learning_sees_what_acting_saw(agent)
        assert agent._first_ratio_error() < 1e-4
        agent.train()


@pytest.mark.parametrize("squash", [False, True])
def test_the_first_ratio_is_one_with_state_dependent_exploration(squash: bool) -> None:
    agent = toy_agent(toy_venv(action="box"), use_sde=True, policy_kwargs=dict(squash_output=squash))
    agent.learn(96)
    collect_more(agent)
    assert agent._first_ratio_error() < 1e-3  # squashing takes the logarithm of 1 - tanh^2


def test_the_first_ratio_is_one_under_vec_normalize() -> None:
    agent = toy_agent(VecNormalize(toy_venv()))
    agent.learn(96)
    collect_more(agent)
    assert_learning_sees_what_acting_saw(agent)


def test_metrics_are_logged(tmp_path: Any) -> None:
    agent = toy_agent()
    agent.set_logger(configure(str(tmp_path), []))
    agent.learn(96)
    logged = agent.logger.name_to_value
    assert 0 <= logged["memory/first_ratio_error"] < 1e-4
    assert logged["memory/state_drift"] > 0
    assert logged["memory/state_bytes_per_transition"] == agent.rollout_buffer.state_bytes_per_transition > 0


def test_a_wrong_memory_shows_in_the_first_ratio() -> None:
    agent = toy_agent(learning_rate=1e-2)
    agent.learn(480)
    collect_more(agent)
    assert agent._first_ratio_error() < 1e-4
    for leaf in tree_leaves(agent.rollout_buffer._window_states):
        if leaf.is_floating_point():
            leaf.copy_(th.randn_like(leaf))
    assert agent._first_ratio_error() > 1e-3


def test_rollouts_store_states_only_at_window_starts_and_below_one_kilobyte_per_transition() -> None:
    agent = PPO("CompressiveMemoryPolicy", toy_venv(16), device="cpu")
    agent.learn(2048)
    buffer = agent.rollout_buffer
    assert agent.n_steps == agent.sequence_length
    assert len(next(tree_leaves(buffer._window_states))) == 16
    assert not buffer._collected
    window = 4 * sum(leaf[0].numel() for leaf in tree_leaves(agent.policy.pack_state(agent.policy.initial_state(1))))
    assert buffer.state_bytes_per_transition < 1024
    assert buffer.state_bytes_per_transition < window / 50


class Clock(gym.Env[Any, Any]):
    """Observes its length and how far the episode has come; ends, or is cut, after so many steps. Integer rewards."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length: int, truncate: bool) -> None:
        self.length = length
        self.truncate = truncate

    def _obs(self) -> np.ndarray:
        return np.array([self.length / 10, self.t / 10], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        over = self.t == self.length
        return self._obs(), 1, over and not self.truncate, over and self.truncate, {}


@pytest.mark.parametrize("vec_env", [DummyVecEnv, SubprocVecEnv])
@pytest.mark.parametrize("truncate", [False, True])
def test_truncated_episodes_are_bootstrapped_with_their_own_memory(truncate: bool, vec_env: type) -> None:
    lengths = (6, 4, 4)
    env = vec_env([lambda length=length: Monitor(Clock(length, truncate)) for length in lengths])
    agent = toy_agent(env, n_steps=16, batch_size=16, learning_rate=1e-2, ent_coef=0.0)
    agent.learn(48 * 4)
    buffer = collect(agent)
    env.close()
    for index, length in enumerate(lengths):
        # The value of the observation after the last step, seen by a memory that has seen all before it.
        state, starts = agent.policy.initial_state(1), th.tensor([True])
        with th.no_grad():
            for t in range(length + 1):
                obs = th.tensor([[length / 10, t / 10]])
                value = float(agent.policy.predict_values(obs, state, starts))
                state, starts = agent.policy(obs, state, starts)[3], th.tensor([False])
        rewards = np.ones(16)
        rewards[length - 1 :: length] += agent.gamma * value if truncate else 0.0
        np.testing.assert_allclose(buffer.rewards[:, index], rewards, atol=1e-5)


def test_the_value_after_the_rollout_is_seen_with_memory() -> None:
    agent = toy_agent(make_vec_env(lambda: Clock(40, False), 1), n_steps=16, batch_size=16, learning_rate=1e-2)
    agent.learn(64)
    buffer = collect(agent)
    state, starts, obs = agent._memory_state, th.tensor([False]), th.tensor([[4.0, 1.6]])
    last_value = agent.policy.predict_values(obs, state, starts).item()
    advantage = buffer.rewards[-1, 0] + agent.gamma * last_value - buffer.values[-1, 0]
    np.testing.assert_allclose(buffer.advantages[-1, 0], advantage, atol=1e-5)
    fresh = agent.policy.predict_values(obs, agent.policy.initial_state(1), starts).item()
    assert abs(fresh - last_value) > 1e-3


def test_memory_goes_on_over_rollouts_and_starts_anew_with_episodes() -> None:
    agent = toy_agent(toy_venv(2), n_steps=16, batch_size=16)
    buffer = collect(agent)
    observations = [buffer.observations.copy()]
    starts = [buffer.episode_starts.copy()]
    log_probs, actions = [buffer.log_probs.copy()], [buffer.actions.copy()]
    for _ in range(2):
        collect_more(agent)
        observations.append(buffer.observations.copy())
        starts.append(buffer.episode_starts.copy())
        log_probs.append(buffer.log_probs.copy())
        actions.append(buffer.actions.copy())
    obs, start, log_prob, action = map(np.concatenate, (observations, starts, log_probs, actions))
    state = agent.policy.initial_state(2)
    with th.no_grad():
        for t in range(48):
            distribution = agent.policy.get_distribution(th.as_tensor(obs[t]), state, th.as_tensor(start[t] > 0))
            expected = distribution.log_prob(th.as_tensor(action[t]).flatten())
            np.testing.assert_allclose(log_prob[t], expected, atol=1e-5)
            state = agent.policy(th.as_tensor(obs[t]), state, th.as_tensor(start[t] > 0))[3]


def test_collection_is_not_disturbed_by_prediction() -> None:
    learned = []
    for meddle in (False, True):
        agent = toy_agent()
        collect(agent)
        if meddle:
            agent.predict(np.zeros((3, 3), np.float32), deterministic=True)
            agent.predict(np.zeros(3, np.float32), deterministic=True)
            state = tree_clone(agent._memory_state)
            agent.predict(np.ones((3, 3), np.float32), state=agent._memory_state, deterministic=True)
            for leaf, before in zip(tree_leaves(agent._memory_state), tree_leaves(state), strict=True):
                assert th.equal(leaf, before)
        agent.learn(96, reset_num_timesteps=False)
        learned.append([p.detach().clone() for p in agent.policy.parameters()])
    assert all(th.equal(a, b) for a, b in zip(*learned, strict=True))


def test_equal_seeds_give_equal_agents_and_other_seeds_others() -> None:
    agents = [toy_agent(toy_venv(seed=seed), seed=seed).learn(192) for seed in (3, 3, 4)]
    first, second, other = ([p.detach() for p in agent.policy.parameters()] for agent in agents)
    assert all(th.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(th.equal(a, b) for a, b in zip(first, other, strict=True))


def test_gradients_of_the_whole_loss_reach_every_parameter() -> None:
    agent = toy_agent(policy_kwargs=dict(share_features_extractor=False, net_arch=[8]), max_grad_norm=1e9, n_epochs=1)
    collect(agent)
    agent.train()
    for name, parameter in agent.policy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_state_refresh_changes_what_is_learned_only_with_several_windows() -> None:
    def parameters(**kwargs: Any) -> th.Tensor:
        agent = toy_agent(learning_rate=1e-2, **kwargs).learn(96)
        return th.cat([p.detach().flatten() for p in agent.policy.parameters()])

    assert not th.equal(parameters(refresh_states=True), parameters())
    whole = dict(sequence_length=32)
    assert th.equal(parameters(refresh_states=True, **whole), parameters(**whole))


def test_refreshed_states_are_those_of_the_present_parameters() -> None:
    agent = toy_agent(learning_rate=1e-2)
    agent.learn(96)
    buffer = collect(agent)
    agent.train()
    assert buffer.state_drift(agent.policy.replay) > 1e-3
    buffer.refresh_states(agent.policy.replay)
    assert buffer.state_drift(agent.policy.replay) < 1e-6


def test_state_refresh_can_be_switched_on_later() -> None:
    learned = []
    for refresh in (False, True):
        agent = toy_agent(learning_rate=1e-2)
        agent.refresh_states = refresh
        agent.learn(96)
        learned.append(th.cat([p.detach().flatten() for p in agent.policy.parameters()]))
    assert not th.equal(*learned)


def test_an_error_of_the_environment_leaves_no_half_seen_step(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = toy_agent()
    agent.learn(96)
    assert agent.env is not None
    with monkeypatch.context() as patch:
        patch.setattr(agent.env, "step_wait", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            agent.learn(96, reset_num_timesteps=False)
    agent.learn(96, reset_num_timesteps=False)
    assert agent.rollout_buffer.episode_starts[: agent.n_steps : 16].any()
    assert agent._first_ratio_error() < 1


def test_window_length_changes_what_is_learned() -> None:
    long, short = (toy_agent(sequence_length=length).learn(192) for length in (32, 4))
    assert not all(th.equal(a, b) for a, b in zip(long.policy.parameters(), short.policy.parameters(), strict=True))


def test_states_of_several_environments_are_states_of_each() -> None:
    policy = toy_agent().policy
    obs, starts = th.randn(3, 3), th.ones(3, dtype=th.bool)
    _, _, _, state = policy(obs, policy.initial_state(3), starts)
    values = policy.predict_values(obs, state, ~starts)
    one = policy.predict_values(obs[1:2], tree_select(state, th.tensor([1])), ~starts[:1])
    th.testing.assert_close(values[1:2], one)


def test_refreshed_states_are_those_of_acting() -> None:
    """``train()`` puts the policy into training mode, but dropout is for what is learned from, not for the state."""
    agent = toy_agent(policy_kwargs=dict(memory_kwargs={**TINY, "dropout": 0.5}))
    agent.learn(96)
    windows = agent.rollout_buffer.sample_windows(np.arange(2)).observations
    states = []
    for training in (False, True):
        agent.policy.set_training_mode(training)
        states.append(tree_leaves(agent.policy.replay(windows)))
        assert agent.policy.training is training
    assert all(th.equal(a, b) for a, b in zip(*states, strict=True))
