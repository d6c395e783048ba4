"""What DQN learns from, against a reference in plain loops: targets, memory of cut episodes, burn-in, returns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.dqn import dqn as stock

from memory_agents import DQN
from memory_agents.memory import memory_registry
from tests.dqn.toys import all_windows, collected, reference, toy_agent
from tests.ppo.toys import TINY, toy_venv


def learned_from(agent: DQN, monkeypatch: pytest.MonkeyPatch) -> tuple[th.Tensor, th.Tensor]:
    """Values and targets as the inherited ``train()`` compares them, of all windows at once."""
    buffer, seen = agent.replay_buffer, []
    loss = th.nn.functional.smooth_l1_loss

    def record(values: th.Tensor, targets: th.Tensor) -> th.Tensor:
        seen.append((values.detach().flatten(), targets.detach().flatten()))
        return loss(values, targets)

    with monkeypatch.context() as patch:
        patch.setattr(stock, "F", SimpleNamespace(smooth_l1_loss=record))
        patch.setattr(buffer, "sample", lambda *args, **kwargs: all_windows(buffer))
        agent.train(1, agent.batch_size)
    return seen[0]


def assert_learned_as_by_reference(agent: DQN, monkeypatch: pytest.MonkeyPatch) -> None:
    # The target network is another one, as after some learning.
    with th.no_grad():
        for parameter in agent.policy.target_network.parameters():
            parameter.add_(0.1 * th.randn_like(parameter))
    buffer = agent.replay_buffer
    pairs = [
        pair
        for env in range(buffer.n_envs)
        for window in range(buffer.windows_per_env)
        for pair in reference(agent, env, window)
    ]
    expected_values, expected_targets = (th.stack(parts).flatten() for parts in zip(*pairs, strict=True))
    values, targets = learned_from(agent, monkeypatch)
    th.testing.assert_close(values, expected_values, atol=1e-4, rtol=1e-4)
    th.testing.assert_close(targets, expected_targets, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(double_q=False),
        dict(burn_in=0),
        dict(burn_in=11),
        dict(stored_state=False),
        dict(stored_state=False, burn_in=0, double_q=False),
        dict(n_steps=3),
        dict(n_steps=20, gamma=0.5),
        dict(sequence_length=1, n_steps=3),
    ],
)
def test_values_and_targets_are_those_of_plain_loops(
    options: dict[str, Any], truncate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = toy_agent(toy_venv(2, truncate=truncate), **options)
    collected(agent, 12 if agent.sequence_length == 1 else 35)
    assert_learned_as_by_reference(agent, monkeypatch)


@pytest.mark.parametrize("name", list(memory_registry))
def test_targets_of_every_core(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = toy_agent(
        toy_venv(1, truncate=True), policy="MemoryPolicy", policy_kwargs=dict(memory_class=name, memory_kwargs={})
    )
    collected(agent, 30)
    assert_learned_as_by_reference(agent, monkeypatch)


@pytest.mark.parametrize("judger", ["keep", "discard"])
def test_targets_with_a_judge(judger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory_kwargs = dict(memory_length=2, compressed_length=1, compression_rate=1, d_model=8, n_heads=1, judger=judger)
    agent = toy_agent(toy_venv(2, truncate=True), policy_kwargs=dict(memory_kwargs=memory_kwargs))
    assert collected(agent, 25)._choices.judged.any()
    assert_learned_as_by_reference(agent, monkeypatch)


def test_an_episode_that_a_reset_cut_short_has_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = toy_agent(toy_venv(2))
    collected(agent, 20)
    buffer = collected(agent, 23)
    assert buffer.episode_starts[20].all()
    assert not buffer.dones[19].all()
    assert_learned_as_by_reference(agent, monkeypatch)


def test_what_cut_episodes_are_worth_depends_on_their_memory() -> None:
    agent = toy_agent(toy_venv(1, truncate=True), burn_in=0)
    buffer = collected(agent)
    cut = int(np.flatnonzero(buffer.timeouts[:, 0])[3])
    window, step = divmod(cut, 8)
    assert step > 0
    network = agent.policy.network

    def worth() -> th.Tensor:
        with th.no_grad():
            values: th.Tensor = network(buffer.sample_windows(np.array([window])).next_observations)
            return values[step]

    before = worth()
    buffer.observations[cut, 0] += 1
    assert not th.allclose(before, worth())
    between = worth()
    # The next episode is none of its business.
    buffer.observations[cut + 1, 0] += 1
    assert th.equal(between, worth())


def test_nothing_crosses_episodes_or_environments() -> None:
    agent = toy_agent(toy_venv(2))
    buffer = collected(agent)
    start = int(np.flatnonzero(buffer.episode_starts[:, 0])[3])
    window = start // 8

    def values() -> th.Tensor:
        samples = buffer.sample_windows(np.array([window - 1, window, window + buffer.windows_per_env]))
        with th.no_grad():
            return th.cat([agent.q_net(samples.observations), agent.q_net_target(samples.next_observations)], dim=1)

    before = values()
    buffer.observations[:start, 0] = 7
    buffer.next_observations[:start, 0] = 7
    after = values()
    first = (window - 1) * 8 + buffer.burn_in
    changed = (before != after).any(dim=1)
    assert changed[: start - first].any()
    assert not changed[start - first :].any()


def test_burn_in_and_stored_states_carry_no_gradient_and_windows_do() -> None:
    agent = toy_agent(toy_venv(1))
    samples = all_windows(collected(agent))
    batch = samples.observations
    batch.burn_in.observations.requires_grad_()
    batch.window.observations.requires_grad_()
    agent.q_net(batch).sum().backward()
    assert batch.burn_in.observations.grad is None
    assert batch.window.observations.grad.abs().sum() > 0


def test_gradients_reach_every_parameter_of_the_learning_network_alone() -> None:
    agent = toy_agent()
    collected(agent)
    agent.train(1, agent.batch_size)
    for name, parameter in agent.policy.named_parameters():
        if name.startswith("q_net."):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


def test_dropout_is_for_what_is_learned_from_alone() -> None:
    agent = toy_agent(policy_kwargs=dict(memory_kwargs={**TINY, "dropout": 0.5}))
    batch = all_windows(collected(agent)).next_observations
    network = agent.policy.network
    states = []
    for training in (False, True):
        network.set_training_mode(training)
        states.append(network.after(batch.burn_in).layers[0].recent)
        assert network.training is training
    assert th.equal(*states)
    agent.q_net.set_training_mode(True)
    assert not th.equal(agent.q_net(batch), agent.q_net(batch))
    agent.policy.target_network.chosen_by(network)
    assert th.equal(agent.q_net_target(batch), agent.q_net_target(batch))
    assert network.training
