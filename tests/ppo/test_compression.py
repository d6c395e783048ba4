"""Agents with every compression function and every loss of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch as th

from memory_agents import PPO
from tests.ppo.toys import TINY, toy_agent

LOSSES = ["autoencoding", "attention"]


def agent(share: bool = True, kwargs: dict[str, Any] | None = None, **memory_kwargs: Any) -> PPO:
    policy_kwargs = dict(memory_kwargs={**TINY, **memory_kwargs}, share_features_extractor=share)
    return toy_agent(policy_kwargs=policy_kwargs, **(kwargs or {}))


def compressions(agent: PPO) -> dict[str, th.Tensor]:
    """Parameters of compression functions and their losses."""
    parameters = agent.policy.memories.named_parameters()
    return {name: parameter.detach().clone() for name, parameter in parameters if ".compression" in name}


@pytest.mark.parametrize("compression", ["convolution", "dilated", "max", "mean", "most_used"])
def test_agents_learn_with_every_compression_function(compression: str) -> None:
    learner = agent(compression=compression)
    learner.learn(192)
    assert learner.logger.name_to_value["memory/first_ratio_error"] < 1e-4
    assert "memory/compression_loss" not in learner.logger.name_to_value


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("gradient", "share", "coefficients"),
    [
        ("auxiliary", True, dict(vf_coef=0.0, ent_coef=0.0)),
        ("auxiliary", False, {}),
        ("both", True, {}),
    ],
)
def test_the_loss_falls(loss: str, gradient: str, share: bool, coefficients: dict[str, float]) -> None:
    kwargs = dict(learning_rate=1e-2, n_epochs=2, **coefficients)
    learner = agent(share, kwargs, compression_loss=loss, compression_gradient=gradient)
    logged = []
    for _ in range(3):
        learner.learn(96)
        logged.append(learner.logger.name_to_value["memory/compression_loss"])
        assert learner.logger.name_to_value["memory/first_ratio_error"] < 1e-4
    assert logged[-1] < 0.8 * logged[0], logged


def test_without_a_task_the_loss_alone_moves_compression_functions() -> None:
    """Advantages of zero and no other term: what then still has a gradient is the auxiliary loss."""
    quiet: dict[str, Any] = dict(vf_coef=0.0, ent_coef=0.0, gamma=0.0, gae_lambda=0.0, learning_rate=1e-3)
    for loss in (None, *LOSSES):
        learner = agent(kwargs=dict(quiet, normalize_advantage=False), compression_loss=loss)
        before = {name: parameter.detach().clone() for name, parameter in learner.policy.named_parameters()}
        collect = learner.rollout_buffer.compute_returns_and_advantage

        def no_advantages(*args: Any, collect: Any = collect, learner: PPO = learner, **kwargs: Any) -> None:
            collect(*args, **kwargs)
            learner.rollout_buffer.advantages[:] = 0

        learner.rollout_buffer.compute_returns_and_advantage = no_advantages  # type: ignore[method-assign]
        learner.learn(96)
        moved = {name for name, p in learner.policy.named_parameters() if not th.equal(p, before[name])}
        expected = compressions(learner) if loss else {}
        assert moved == {f"memories.{name}" for name in expected}


@pytest.mark.parametrize("loss", LOSSES)
def test_saved_agents_keep_what_the_loss_has_learned(loss: str, tmp_path: Path) -> None:
    learner = agent(compression_loss=loss)
    learner.learn(192)
    learner.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", env=learner.get_env(), device="cpu")
    learned, kept = compressions(learner), compressions(loaded)
    assert any("decoder" in name for name in learned) == (loss == "autoencoding")
    assert learned.keys() == kept.keys()
    assert all(th.equal(learned[name], kept[name]) for name in learned)
    loaded.learn(96)
    assert "memory/compression_loss" in loaded.logger.name_to_value
