"""DQN with memory: acting equals learning, options, determinism, exploration, arguments."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecNormalize

import memory_agents
from memory_agents import DQN, VecPreviousActionReward, dqn
from memory_agents.common import off_policy
from memory_agents.envs import ShowImportance
from memory_agents.memory import memory_registry, tree_clone, tree_leaves
from tests.dqn.toys import all_windows, collected, parameters, toy_agent
from tests.ppo.toys import TINY, Toy, toy_venv


def acted_values(agent: Any, monkeypatch: pytest.MonkeyPatch, steps: int) -> np.ndarray:
    """Expected returns as acting computed them, (steps, n_envs, actions)."""
    act, seen = agent.policy.act, []

    def record(*args: Any, **kwargs: Any) -> Any:
        values, state = act(*args, **kwargs)
        seen.append(values.numpy())
        return values, state

    with monkeypatch.context() as patch:
        patch.setattr(agent.policy, "act", record)
        collected(agent, steps)
    return np.stack(seen)


def assert_learning_sees_what_acting_saw(agent: Any, acted: np.ndarray) -> None:
    buffer = agent.replay_buffer
    windows = np.arange(buffer.n_envs * buffer.windows_per_env)
    network = agent.policy.network
    with th.no_grad():
        learned = network.expected(network(buffer.sample_windows(windows).observations))
    rows, columns = buffer._steps(windows, buffer.burn_in + buffer.sequence_length)
    # Rows of the ring as steps of the time line.
    last = len(acted) - 1 - (buffer.pos - 1 - rows) % buffer.buffer_size
    expected = acted[last[:, buffer.burn_in :], columns]
    np.testing.assert_allclose(learned.numpy(), expected.reshape(learned.shape), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", list(memory_registry))
def test_learning_sees_the_values_that_acting_saw(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = toy_venv(2, observation="dict", truncate=True)
    # The ring is written over one and a half times.
    agent = toy_agent(
        env, policy="MemoryPolicy", buffer_size=64, policy_kwargs=dict(memory_class=name, memory_kwargs={})
    )
    acted = acted_values(agent, monkeypatch, 51)
    assert agent.replay_buffer.full
    assert_learning_sees_what_acting_saw(agent, acted)


@pytest.mark.parametrize("judger", ["keep", "discard", "oracle", dict(kind="random", probability=0.5)])
def test_learning_sees_the_memory_that_judges_have_left(judger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_vec_env("MemoryAgents/CueStream-v0", 2, seed=0, wrapper_class=ShowImportance)
    memory_kwargs = dict(memory_length=4, compressed_length=2, compression_rate=1, d_model=8, n_heads=2, judger=judger)
    agent = toy_agent(env, policy_kwargs=dict(memory_kwargs=memory_kwargs))
    acted = acted_values(agent, monkeypatch, 51)
    assert agent.replay_buffer._choices.judged.any()
    assert_learning_sees_what_acting_saw(agent, acted)


@pytest.mark.parametrize(
    "option",
    [
        dict(double_q=False),
        dict(burn_in=0),
        dict(stored_state=False),
        dict(sequence_length=16),
        dict(n_steps=2),
        dict(batch_size=16),
        dict(train_freq=4),
        dict(gradient_steps=2),
        dict(target_update_interval=12),
        dict(tau=0.5),
        dict(gamma=0.5),
        dict(max_grad_norm=1e-3),
        dict(exploration_fraction=0.9),
        dict(exploration_final_eps=0.5),
        dict(learning_starts=96),
        dict(buffer_size=96),
    ],
    ids=str,
)
def test_every_option_changes_what_is_learned(option: dict[str, Any]) -> None:
    settings = dict(policy="MemoryPolicy", policy_kwargs=dict(memory_class="gru", memory_kwargs=dict(hidden_size=8)))
    learned = [parameters(toy_agent(**settings, **kwargs).learn(240)) for kwargs in ({}, option)]
    assert not th.equal(*learned)


def test_equal_seeds_give_equal_agents_and_other_seeds_others() -> None:
    first, second, other = (parameters(toy_agent(toy_venv(seed=seed), seed=seed).learn(120)) for seed in (3, 3, 4))
    assert th.equal(first, second)
    assert not th.equal(first, other)


def test_collection_is_not_disturbed_by_prediction() -> None:
    learned = []
    for meddle in (False, True):
        agent = toy_agent()
        collected(agent)
        if meddle:
            agent.predict(np.zeros((3, 3), np.float32), deterministic=True)
            state = tree_clone(agent._memory_state)
            agent.predict(np.ones((3, 3), np.float32), state=agent._memory_state, deterministic=True)
            for leaf, before in zip(tree_leaves(agent._memory_state), tree_leaves(state), strict=True):
                assert th.equal(leaf, before)
        agent.learn(96, reset_num_timesteps=False)
        learned.append(parameters(agent))
    assert th.equal(*learned)


def test_random_actions_are_drawn_for_every_environment_and_memory_sees_their_steps() -> None:
    agent = toy_agent(toy_venv(200), buffer_size=5_000)
    obs, starts = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32), np.ones(200, bool)
    greedy, state = agent.predict(obs, None, starts, deterministic=True)
    agent.exploration_rate = 0.5
    explored, explored_state = agent.predict(obs, None, starts)
    # Of three actions a random one is the greedy one in a third of all cases.
    assert 0.2 < np.mean(explored != greedy) < 0.5
    assert all(th.equal(a, b) for a, b in zip(tree_leaves(state), tree_leaves(explored_state), strict=True))
    agent.exploration_rate = 0.0
    np.testing.assert_array_equal(agent.predict(obs, None, starts)[0], greedy)
    action, _ = agent.predict(obs[0])
    assert np.shape(action) == ()


def test_before_learning_starts_actions_are_random() -> None:
    agent = toy_agent(toy_venv(3), learning_starts=1_000, exploration_initial_eps=0.0).learn(300)
    assert agent._n_updates == 0
    actions = agent.replay_buffer.actions[:100]
    assert all(50 < np.sum(actions == action) < 150 for action in range(3))


def test_actions_that_do_not_start_at_zero() -> None:
    agent = toy_agent(toy_venv(action="discrete_from_three")).learn(120)
    assert set(np.unique(agent.replay_buffer.actions)) == {0, 1, 2}
    actions, _ = agent.predict(np.zeros((3, 3), np.float32), deterministic=True)
    assert all(agent.action_space.contains(action) for action in actions)


def test_learning_waits_for_the_first_whole_window() -> None:
    agent = toy_agent(learning_starts=0, sequence_length=16, burn_in=16)
    agent.learn(3 * 24)
    assert agent._n_updates == 0
    agent.learn(3 * 16, reset_num_timesteps=False)
    assert agent._n_updates > 0


def test_a_callback_that_stops_loses_no_transition() -> None:
    whole, stopped = toy_agent(gradient_steps=0), toy_agent(gradient_steps=0)
    whole.learn(96, callback=lambda *_: True)
    stopped.learn(96, callback=lambda *_: stopped.num_timesteps < 33)
    assert stopped.num_timesteps == 33
    stopped._total_timesteps = 96
    stopped.learn(96 - 33, reset_num_timesteps=False)
    for name in ("observations", "next_observations", "episode_starts", "dones"):
        np.testing.assert_array_equal(
            getattr(whole.replay_buffer, name)[:11], getattr(stopped.replay_buffer, name)[:11]
        )
    steps = stopped.replay_buffer
    continues = ~steps.episode_starts[1:32]
    np.testing.assert_array_equal(steps.observations[1:32][continues], steps.next_observations[:31][continues])


def test_an_error_of_the_environment_leaves_no_half_seen_step(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = toy_agent()
    agent.learn(96)
    assert agent.env is not None
    with monkeypatch.context() as patch:
        patch.setattr(agent.env, "step_wait", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            agent.learn(96, reset_num_timesteps=False)
    agent.learn(96, reset_num_timesteps=False)
    assert agent.replay_buffer.episode_starts[32].all()


def test_what_is_logged(tmp_path: Any) -> None:
    agent = toy_agent(policy_kwargs=dict(memory_kwargs={**TINY, "compression_loss": "attention"}))
    agent.set_logger(configure(str(tmp_path), ["csv"]))
    agent.learn(240, log_interval=10_000)
    logged = agent.logger.name_to_value
    assert logged["memory/compression_loss"] > 0
    assert logged["memory/state_drift"] > 0
    state = agent.policy.pack_state(agent.policy.initial_state(1))
    size = sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(state))
    assert logged["memory/state_bytes_per_transition"] == size / 8


def test_states_drift_only_when_parameters_change() -> None:
    agent = toy_agent()
    assert agent.state_drift() == 0
    collected(agent)
    assert agent.state_drift() < 1e-6
    agent.train(3, agent.batch_size)
    assert agent.state_drift() > 1e-4
    agent = toy_agent(stored_state=False).learn(240)
    assert agent.state_drift() == 0
    assert agent.replay_buffer.state_bytes_per_transition == 0


def test_drift_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = toy_agent()
    looked_at: list[int] = []
    collected(agent)

    def look() -> float:
        looked_at.append(agent._n_updates)
        return 0.5

    monkeypatch.setattr(off_policy, "DRIFT_INTERVAL", 3)
    monkeypatch.setattr(agent, "state_drift", look)
    for _ in range(7):
        agent.train(1, agent.batch_size)
    # After the first update, and after every third.
    assert looked_at == [1, 3, 6]


def test_acting_goes_on_with_what_new_parameters_make_of_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = toy_agent(learning_starts=10**9).learn(60)
    policy = agent.policy
    with th.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * th.randn_like(parameter))
    obs, starts = th.as_tensor(agent._last_obs), th.as_tensor(agent._last_episode_starts)
    assert not starts.all()
    state = tree_clone(agent._memory_state)
    with th.no_grad():
        outdated, expected = (policy.act(obs, each, starts)[0] for each in (state, policy.unpack_state(state)))
    assert not np.allclose(outdated, expected, atol=1e-4)
    act, acted = policy.act, []

    def record(*args: Any, **kwargs: Any) -> Any:
        acted.append(act(*args, **kwargs))
        return acted[-1]

    monkeypatch.setattr(policy, "act", record)
    agent.learn(3, reset_num_timesteps=False)
    np.testing.assert_allclose(acted[0][0], expected, atol=1e-5)


def test_states_that_a_loaded_agent_begins_with_have_not_drifted(tmp_path: Path) -> None:
    agent = toy_agent(learning_starts=10**9, sequence_length=8)
    agent.learn(16 * agent.n_envs)  # as far as the end of a window
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "buffer")
    loaded = DQN.load(tmp_path / "agent", env=toy_venv(agent.n_envs), device="cpu")
    loaded.load_replay_buffer(tmp_path / "buffer")
    loaded.learn(8 * agent.n_envs, reset_num_timesteps=False)
    assert loaded.state_drift() < 1e-6


def test_the_memorys_own_loss_trains_its_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    memory_kwargs = {**TINY, "compression_loss": "attention"}
    agent = toy_agent(policy_kwargs=dict(memory_kwargs=memory_kwargs), max_grad_norm=1e9)
    buffer = collected(agent)
    monkeypatch.setattr(buffer, "sample", lambda *args, **kwargs: all_windows(buffer))
    network, batch = agent.policy.network, all_windows(buffer).observations
    compressions = list(network.memory.compressions.parameters())  # type: ignore[union-attr]
    inputs, starts = network._memory_inputs(batch.window), batch.window.episode_starts
    loss = network.memory.unroll_with_loss(inputs, network.after(batch.burn_in), starts)[1]
    assert loss is not None
    expected = th.autograd.grad(loss, compressions)
    agent.train(1, agent.batch_size)
    for parameter, gradient in zip(compressions, expected, strict=True):
        th.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("observation", ["box", "dict"])
def test_what_goes_around_normalisation_would_not_be_replayed(observation: str) -> None:
    with pytest.raises(ValueError, match=r"replay buffers keep what VecNormalize is given; put that around everything"):
        toy_agent(VecPreviousActionReward(VecNormalize(toy_venv(observation=observation), norm_obs=False)))
    # The mend.
    keys = ["observation"] if observation == "box" else ["previous_reward"]
    env = VecNormalize(VecPreviousActionReward(toy_venv(observation=observation)), norm_obs_keys=keys)
    agent = toy_agent(env, batch_size=8, learning_starts=16).learn(48)
    assert agent._n_updates > 0


@pytest.mark.parametrize("observation", ["box", "number", "integers", "discrete", "dict"])
@pytest.mark.parametrize("norm_obs", [True, False])
def test_last_observations_are_stored_as_they_were(observation: str, norm_obs: bool) -> None:
    if norm_obs and observation == "discrete":
        return  # VecNormalize refuses it
    seen: list[list[Any]] = [[] for _ in range(3)]
    inside = toy_venv(observation=observation, truncate=True)
    step_wait = inside.step_wait

    def listening() -> Any:
        found = step_wait()
        for env, info in enumerate(found[3]):
            seen[env] += [deepcopy(info["terminal_observation"])] if found[2][env] else []
        return found

    inside.step_wait = listening  # type: ignore[method-assign]
    keys = ["x"] if observation == "dict" else None
    buffer = collected(toy_agent(VecNormalize(inside, norm_obs=norm_obs, norm_obs_keys=keys, clip_obs=1e9)))
    for env, observations in enumerate(seen):
        ends = (buffer.dones[: buffer.pos, env] > 0).nonzero()[0]
        assert len(ends) == len(observations) > 3
        for end, expected in zip(ends, observations, strict=True):
            stored: Any = buffer.next_observations
            pairs = [(stored, expected)]
            if isinstance(stored, dict):
                pairs = [(stored[key], expected[key]) for key in stored]
            for values, last in pairs:
                found = values[end, env].reshape(np.shape(last))
                if np.issubdtype(values.dtype, np.integer):
                    np.testing.assert_array_equal(found, last)
                else:
                    np.testing.assert_allclose(found, last, atol=1e-5)


@pytest.mark.parametrize("name", list(memory_registry))
def test_every_memory_reads_choices(name: str) -> None:
    env = toy_venv(observation="multi_discrete")
    agent = toy_agent(env, policy="MemoryPolicy", policy_kwargs=dict(memory_class=name, memory_kwargs={}), batch_size=8)
    assert agent.learn(96)._n_updates > 0


def test_observations_and_rewards_are_normalised_when_replayed() -> None:
    env = VecNormalize(toy_venv())
    agent = toy_agent(env)
    buffer = collected(agent)
    last = buffer.rewards[buffer.pos - 1]
    np.testing.assert_allclose(last, env.get_original_reward(), rtol=1e-6)
    assert not np.allclose(last, env.normalize_reward(last))
    raw = buffer.sample_windows(np.array([1]))
    scaled = buffer.sample_windows(np.array([1]), env)
    expected: Any = env.normalize_obs(raw.observations.window.observations.numpy())
    np.testing.assert_allclose(scaled.observations.window.observations, expected, rtol=1e-5)
    np.testing.assert_allclose(scaled.rewards, env.normalize_reward(raw.rewards.numpy()), rtol=1e-5)
    agent.learn(96, reset_num_timesteps=False)
    assert agent._n_updates > 0


@pytest.mark.parametrize(("n_envs", "train_freq"), [(1, 32), (16, 2), (100, 1)])
def test_default_sizes(n_envs: int, train_freq: int) -> None:
    agent = DQN("CompressiveMemoryPolicy", toy_venv(n_envs), device="cpu")
    assert agent.train_freq == (train_freq, agent.train_freq[1])  # type: ignore[index]
    assert agent.batch_size == 8 * agent.sequence_length


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        (
            dict(policy="MlpPolicy"),
            ValueError,
            "policy='MlpPolicy' is not known here.* belong to stable_baselines3.DQN",
        ),
        (
            dict(policy=stable_baselines3.dqn.MlpPolicy),
            TypeError,
            "DQNPolicy has no memory; use stable_baselines3's own DQN",
        ),
        (
            dict(policy=memory_agents.CompressiveMemoryPolicy),
            TypeError,
            "pass policy='CompressiveMemoryPolicy' as a string, or the class from memory_agents.dqn",
        ),
        (dict(batch_size=33), ValueError, "batch_size=33 must be a multiple of sequence_length=8"),
        (dict(sequence_length=0), ValueError, "sequence_length must be a positive integer, got 0"),
        (dict(burn_in=-1), ValueError, "burn_in must be an integer of at least 0, got -1"),
        (dict(n_steps=0), ValueError, "n_steps must be a positive integer, got 0"),
        (dict(stored_state="no"), ValueError, "stored_state must be True or False"),
        (dict(double_q="no"), ValueError, "double_q must be True or False"),
        (dict(optimize_memory_usage=True), ValueError, "optimize_memory_usage=True would drop"),
        (dict(buffer_size=40), ValueError, "buffer_size=40 holds 1 windows .* use buffer_size=72 or more"),
        (
            dict(replay_buffer_class=stable_baselines3.common.buffers.ReplayBuffer),
            TypeError,
            "ReplayBuffer keeps no memory states; use a subclass of SequenceReplayBuffer",
        ),
        (
            dict(replay_buffer_kwargs=dict(burn_in=3)),
            ValueError,
            "replay_buffer_kwargs has burn_in=3, but the buffer gets burn_in=4; pass burn_in to DQN itself",
        ),
        (dict(env=toy_venv(action="box")), ValueError, "env has actions in Box.* need a Discrete space"),
        (
            dict(policy_kwargs=dict(memory_kwargs={**TINY, "judger": True})),
            ValueError,
            "a judger that learns, .* use memory_agents.PPO, or judger='keep'",
        ),
        (
            dict(policy_kwargs=dict(memory_kwargs={**TINY, "judger": dict(decisions="batch")})),
            ValueError,
            "makes one decision for all of a batch, but environments do not depend on each other",
        ),
        (
            dict(policy="GTrXLPolicy", policy_kwargs=dict(memory_kwargs=dict(compressed_length=4))),
            ValueError,
            "GTrXLPolicy is what it is by compressed_length=0",
        ),
        (dict(policy_kwargs=dict(memory_kwargs=dict(size=4))), TypeError, "memory_kwargs has 'size'"),
    ],
)
def test_arguments_that_do_not_fit_fail_at_construction(kwargs: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        toy_agent(**kwargs)


def test_stock_dqn_with_a_memory_policy_names_the_mend() -> None:
    agent = stable_baselines3.DQN(dqn.CompressiveMemoryPolicy, Toy(), learning_starts=4, exploration_fraction=1.0)
    with pytest.raises(TypeError, match="use the DQN or QRDQN of memory_agents"):
        agent.learn(64)
