"""What every algorithm keeps: acting equals learning, episodes stay apart, one seed gives one agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.vec_env import VecNormalize

from memory_agents import MemoryActorCriticPolicy
from memory_agents.common.presets import MEMORY_POLICIES
from memory_agents.common.stock import stock_algorithm
from memory_agents.memory import tree_leaves
from tests.algorithms.agents import ALGORITHMS, EVERY_CORE, SMALL, make, takes, venv
from tests.ppo.toys import ACTIONS

every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)


def parameters(agent: Any) -> list[th.Tensor]:
    return [parameter.detach().clone() for parameter in agent.policy.parameters()]


def equal(one: list[th.Tensor], other: list[th.Tensor]) -> bool:
    return all(th.equal(a, b) for a, b in zip(one, other, strict=True))


def collect(agent: Any) -> Any:
    """The next rollout, without learning."""
    agent.collect_rollouts(agent.env, agent._init_callback(None), agent.rollout_buffer, agent.n_steps)
    return agent.rollout_buffer


def assert_learning_sees_what_acting_saw(agent: Any) -> None:
    """Ratio 1 and equal values over all windows of the present rollout."""
    buffer = agent.rollout_buffer
    samples = buffer.sample_windows(np.arange(buffer.n_envs * buffer.windows_per_env))
    actions = samples.actions.long().flatten() if samples.actions.shape[1] == 1 else samples.actions
    with th.no_grad():
        masks = getattr(samples, "action_masks", None)
        values, log_prob, _ = agent.policy.evaluate_actions(samples.observations, actions, masks)
    th.testing.assert_close((log_prob - samples.old_log_prob).exp(), th.ones_like(log_prob), atol=1e-4, rtol=0)
    th.testing.assert_close(values.flatten(), samples.old_values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "memory", "share"), EVERY_CORE)
def test_every_core_learns_and_its_first_ratio_is_one(name: str, memory: str, share: bool) -> None:
    kwargs = dict(memory_class=memory, memory_kwargs=SMALL.get(memory, {}), share_features_extractor=share)
    sizes: dict[str, Any] = dict(n_steps=16, sequence_length=8, **({} if name == "A2C" else dict(batch_size=24)))
    env = venv(name, observation="dict", truncate=True)
    agent = make(name, env, policy="MemoryPolicy", policy_kwargs=kwargs, **sizes)
    before = {key: parameter.detach().clone() for key, parameter in agent.policy.named_parameters()}
    agent.learn(96)  # so that memory comes from before the rollout, made by other parameters
    assert agent.logger.name_to_value.get("memory/first_ratio_error", 0.0) < 1e-4
    # Whatever has a part in actions or values has moved, attention's keys and values included.
    still = [key for key, parameter in agent.policy.named_parameters() if th.equal(parameter, before[key])]
    assert not still
    collect(agent)
    assert_learning_sees_what_acting_saw(agent)
    assert agent._first_ratio_error() < 1e-4


@every_algorithm
@pytest.mark.parametrize("action", ACTIONS)
def test_the_first_ratio_is_one_for_every_kind_of_action(name: str, action: str) -> None:
    if not takes(name, ACTIONS[action]):
        pytest.skip("has no masks")
    agent = make(name, venv(name, action=action)).learn(96)
    collect(agent)
    assert_learning_sees_what_acting_saw(agent)


@every_algorithm
@pytest.mark.parametrize("policy", MEMORY_POLICIES)
def test_every_policy_is_taken_by_name_and_by_class(name: str, policy: str) -> None:
    small = dict(policy_kwargs=dict(memory_kwargs=dict(memory_length=6, d_model=16, n_heads=2)))
    by_name, by_class = (make(name, policy=each, **small).learn(96) for each in (policy, MEMORY_POLICIES[policy]))
    assert isinstance(by_name.policy, MemoryActorCriticPolicy)
    assert equal(parameters(by_name), parameters(by_class))


@every_algorithm
def test_equal_seeds_give_equal_agents_and_other_seeds_others(name: str) -> None:
    first, second, other = (parameters(make(name, venv(name, seed=seed), seed=seed).learn(192)) for seed in (3, 3, 4))
    assert equal(first, second)
    assert not equal(first, other)


@every_algorithm
def test_episodes_and_environments_stay_apart(name: str) -> None:
    """What one environment did before an episode began changes nothing of what is thought in it or beside it."""
    agent = make(name).learn(96)
    collect(agent)
    buffer = agent.rollout_buffer
    samples = buffer.sample_windows(np.arange(buffer.n_envs * buffer.windows_per_env))
    batch = samples.observations
    window = int(batch.episode_starts[:, 1:].any(1).nonzero()[0])
    start = int(batch.episode_starts[window, 1:].nonzero()[0]) + 1
    changed = batch.observations.clone().unflatten(0, batch.episode_starts.shape)
    changed[window, :start] += 1.0
    with th.no_grad():
        values = agent.policy.predict_values(batch).view_as(batch.episode_starts)
        others = agent.policy.predict_values(batch._replace(observations=changed.flatten(0, 1)))
    same = values == others.view_as(values)
    assert same[window, start:].all()
    assert same[th.arange(len(same)) != window].all()
    assert not same[window, :start].any()


@every_algorithm
def test_saved_agents_act_and_go_on_learning(name: str, tmp_path: Path) -> None:
    agent = make(name, policy_kwargs=dict(share_features_extractor=False)).learn(192)
    agent.save(tmp_path / "agent")
    agent.policy.save(str(tmp_path / "policy"))
    cls = ALGORITHMS[name][0]
    loaded = cls.load(tmp_path / "agent", env=venv(name), device="cpu")
    alone = type(agent.policy).load(str(tmp_path / "policy"), device="cpu")
    obs = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)
    states = []
    for policy in (agent.policy, loaded.policy, alone):
        _, state = policy.predict(obs, deterministic=True)
        actions, state = policy.predict(-obs, state, np.zeros(3, bool), deterministic=True)
        states.append([th.as_tensor(actions), *tree_leaves(state)])
    assert equal(states[0], states[1])
    assert equal(states[0], states[2])
    before = parameters(loaded)
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded.num_timesteps == 288
    assert not equal(before, parameters(loaded))


@every_algorithm
def test_learning_continued_is_learning_without_a_break(name: str) -> None:
    whole = make(name).learn(192)
    parts = make(name).learn(96)
    parts.learn(96, reset_num_timesteps=False)
    assert equal(parameters(whole), parameters(parts))


@every_algorithm
def test_vec_normalize_keeps_the_first_ratio(name: str) -> None:
    agent = make(name, VecNormalize(venv(name))).learn(192)
    collect(agent)
    assert_learning_sees_what_acting_saw(agent)


@every_algorithm
def test_a_judger_learns_beside_every_algorithm(name: str) -> None:
    memory = dict(memory_length=4, compressed_length=2, compression_rate=2, d_model=16, n_heads=2, judger=True)
    agent = make(name, policy_kwargs=dict(memory_kwargs=memory), judger_kwargs=dict(n_epochs=1))
    before = [parameter.detach().clone() for parameter in agent.judger_training.parameters]
    agent.learn(192)
    assert not equal(before, agent.judger_training.parameters)


@every_algorithm
@pytest.mark.parametrize("share", [True, False])
def test_losses_of_the_memory_fall(name: str, share: bool) -> None:
    memory = dict(memory_length=6, compressed_length=4, compression_rate=2, d_model=16, n_heads=2)
    kwargs = dict(memory_kwargs=dict(memory, compression_loss="autoencoding"), share_features_extractor=share)
    agent = make(name, policy_kwargs=kwargs, learning_rate=1e-2)
    logged = []
    for _ in range(4):
        agent.learn(96, log_interval=None, reset_num_timesteps=False)
        logged.append(agent.logger.name_to_value["memory/compression_loss"])
        assert agent.logger.name_to_value["memory/first_ratio_error"] < 1e-4
    assert logged[-1] < 0.8 * logged[0], logged


@every_algorithm
@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        (dict(policy="MlpPolicy"), ValueError, "policy='MlpPolicy' is not known here; use one of Compressive"),
        (dict(n_steps=100, sequence_length=32), ValueError, "n_steps=100 must be a multiple of sequence_length=32"),
        (dict(sequence_length=0), ValueError, "sequence_length must be a positive integer, got 0"),
    ],
)
def test_arguments_that_do_not_fit_fail_at_construction(
    name: str, kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(name, **kwargs)


@every_algorithm
def test_what_has_no_memory_belongs_to_the_stock_algorithm(name: str) -> None:
    from stable_baselines3.common.buffers import RolloutBuffer
    from stable_baselines3.common.policies import ActorCriticPolicy

    package, stock = stock_algorithm(ALGORITHMS[name][0])
    with pytest.raises(ValueError, match=f"belong to {package}.{stock}"):
        make(name, policy="MlpPolicy")
    with pytest.raises(TypeError, match=f"ActorCriticPolicy has no memory; use {package}'s own {stock}"):
        ALGORITHMS[name][0](ActorCriticPolicy, venv(name))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="RolloutBuffer keeps no memory states; use a subclass of"):
        make(name, rollout_buffer_class=RolloutBuffer)


@every_algorithm
def test_agents_with_dictionary_observations_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    env = venv(name, observation="dict")
    agent = make(name, env).learn(96)
    agent.save(tmp_path / "agent")
    loaded = ALGORITHMS[name][0].load(tmp_path / "agent", env=env, device="cpu")
    assert type(loaded.rollout_buffer) is type(agent.rollout_buffer)
    assert equal(parameters(agent), parameters(loaded))
    with pytest.raises(TypeError, match=r"RolloutBuffer keeps no memory states; use a subclass of .*Dict"):
        make(name, env, rollout_buffer_class=agent.buffer_classes[0])
