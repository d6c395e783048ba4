"""QR-DQN with memory: targets, acting equals learning, double Q-learning, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from sb3_contrib.common.utils import quantile_huber_loss
from sb3_contrib.qrdqn import qrdqn as stock

import memory_agents
from memory_agents import QRDQN
from memory_agents.memory import memory_registry
from tests.dqn.test_dqn import acted_values, assert_learning_sees_what_acting_saw
from tests.dqn.test_sb3 import assert_same_play
from tests.dqn.toys import all_windows, collected, parameters, reference, toy_qrdqn
from tests.ppo.toys import toy_venv


@pytest.mark.parametrize("options", [dict(), dict(double_q=False, n_steps=3)])
def test_quantiles_and_targets_are_those_of_plain_loops(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = toy_qrdqn(toy_venv(2, truncate=True), **options)
    buffer = collected(agent, 43)
    with th.no_grad():
        for parameter in agent.policy.target_network.parameters():
            parameter.add_(0.3 * th.randn_like(parameter))
    pairs = [
        pair
        for env in range(buffer.n_envs)
        for window in range(buffer.windows_per_env)
        for pair in reference(agent, env, window)
    ]
    seen = []
    loss = quantile_huber_loss

    def record(quantiles: th.Tensor, targets: th.Tensor, **kwargs: Any) -> th.Tensor:
        seen.append((quantiles.detach(), targets.detach()))
        return loss(quantiles, targets, **kwargs)

    monkeypatch.setattr(stock, "quantile_huber_loss", record)
    monkeypatch.setattr(buffer, "sample", lambda *args, **kwargs: all_windows(buffer))
    agent.train(1, len(pairs))
    for got, expected in zip(seen[0], zip(*pairs, strict=True), strict=True):
        th.testing.assert_close(got, th.cat(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", list(memory_registry))
def test_every_core_sees_what_acting_saw_then_learns_and_loads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = toy_venv(2, observation="dict", truncate=True)
    agent = toy_qrdqn(env, policy="MemoryPolicy", policy_kwargs=dict(memory_class=name, memory_kwargs={}))
    assert_learning_sees_what_acting_saw(agent, acted_values(agent, monkeypatch, 40))
    agent.learn(48, reset_num_timesteps=False)
    assert agent._n_updates > 0
    agent.save(tmp_path / "agent")
    assert_same_play(agent, QRDQN.load(tmp_path / "agent", device="cpu"), env)


@pytest.mark.parametrize("option", [dict(double_q=False), dict(policy_kwargs=dict(n_quantiles=7)), dict(burn_in=0)])
def test_options_change_what_is_learned(option: dict[str, Any]) -> None:
    first, other = (parameters(toy_qrdqn(**kwargs).learn(240)) for kwargs in ({}, option))
    assert first.shape != other.shape or not th.equal(first, other)


def test_equal_seeds_give_equal_agents() -> None:
    assert th.equal(*(parameters(toy_qrdqn().learn(120)) for _ in range(2)))


def test_expected_returns_are_means_of_quantiles() -> None:
    agent = toy_qrdqn()
    obs, starts = th.zeros(3, 3), th.ones(3, dtype=th.bool)
    state = agent.policy.initial_state(3)
    with th.no_grad():
        values, _ = agent.policy.act(obs, state, starts)
        network = agent.policy.network
        latents, _ = network.memory.step(network._features(obs), state, starts)
        quantiles = network.quantile_net(latents).view(3, 5, 3)
    th.testing.assert_close(values, quantiles.mean(dim=1))
    np.testing.assert_array_equal(agent.predict(obs.numpy(), None, starts.numpy(), True)[0], values.argmax(dim=1))


def test_policies_of_others_name_the_mend() -> None:
    with pytest.raises(TypeError, match=r"or the class from memory_agents\.qrdqn"):
        toy_qrdqn(policy=memory_agents.CompressiveMemoryPolicy)
    with pytest.raises(TypeError, match="CompressiveMemoryPolicy is a policy of another algorithm"):
        toy_qrdqn(policy=memory_agents.dqn.CompressiveMemoryPolicy)
    with pytest.raises(ValueError, match=r"belong to sb3_contrib\.QRDQN"):
        toy_qrdqn(policy="MlpPolicy")
