"""A memory's own loss is minimised by the inherited ``train()``, and logged."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th

from memory_agents import PPO
from memory_agents.memory import GRUMemory, HiddenState
from tests.ppo.toys import toy_agent, toy_venv


class SettlingMemory(GRUMemory):
    """A GRU with a parameter that nothing but its own loss moves."""

    def __init__(self, input_dim: int, **kwargs: Any) -> None:
        super().__init__(input_dim, **kwargs)
        self.settled = th.nn.Parameter(th.tensor(2.0))

    def unroll_with_loss(
        self, x: th.Tensor, state: HiddenState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor | None]:
        return self.unroll_outputs(x, state, episode_starts), self.settled.square()


def agent(memory_class: Any = SettlingMemory, share: bool = True, **kwargs: Any) -> PPO:
    policy_kwargs = dict(memory_class=memory_class, memory_kwargs=dict(hidden_size=8), share_features_extractor=share)
    return toy_agent(toy_venv(), policy="MemoryPolicy", policy_kwargs=policy_kwargs, **kwargs)


def windows(agent: PPO) -> Any:
    agent.learn(96)
    return next(iter(agent.rollout_buffer.get(96)))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("coefficients", [{}, dict(vf_coef=0.0), dict(ent_coef=0.0, vf_coef=0.0)])
def test_it_falls_whatever_the_coefficients_and_is_logged(share: bool, coefficients: dict[str, float]) -> None:
    settling = agent(share=share, learning_rate=0.05, **coefficients)
    logged = []
    for _ in range(4):
        settling.learn(96)
        logged.append(settling.logger.name_to_value["memory/compression_loss"])
    memories = 1 if share else 2
    assert 0.9 * memories * 4 > logged[0]
    assert logged == sorted(logged, reverse=True)
    assert logged[-1] < 0.3 * logged[0]
    assert all(memory.settled.item() < 1.2 for memory in settling.policy.memories if isinstance(memory, SettlingMemory))


def test_it_changes_no_other_gradient() -> None:
    gradients: list[dict[str, th.Tensor]] = []
    for memory_class in ("gru", SettlingMemory):
        learner = agent(memory_class)
        batch = windows(learner)
        th.manual_seed(0)
        for parameter in learner.policy.parameters():
            parameter.data.copy_(
                th.full_like(parameter, 2.0) if parameter.dim() == 0 else 0.3 * th.randn_like(parameter)
            )
            parameter.grad = None
        values, log_prob, _ = learner.policy.evaluate_actions(batch.observations, batch.actions.long().flatten())
        (values.square().mean() + 3 * log_prob.mean()).backward()  # type: ignore[no-untyped-call]
        gradients.append({name: p.grad for name, p in learner.policy.named_parameters() if p.grad is not None})
    plain, settling = gradients
    assert settling.pop("memories.0.settled").item() == 4
    assert plain.keys() == settling.keys()
    assert all(th.equal(plain[name], settling[name]) for name in plain)


def test_nothing_is_logged_without_a_loss_or_without_gradients() -> None:
    plain = agent("gru")
    plain.learn(96)
    assert "memory/compression_loss" not in plain.logger.name_to_value

    settling = agent()
    batch = windows(settling)
    with th.no_grad():
        settling.policy.evaluate_actions(batch.observations, batch.actions.long().flatten())
    assert settling.policy.memory_loss.take() is None
