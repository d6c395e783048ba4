"""Modules and callbacks by others go on working where policies collect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor

from memory_agents import DQN, PPO
from memory_agents.common.collecting import collecting
from memory_agents.memory import LSTMMemory
from tests.dqn.toys import toy_agent as toy_dqn
from tests.dqn.toys import toy_qrdqn
from tests.ppo.toys import TINY, toy_agent, toy_venv


class Grid(BaseFeaturesExtractor):
    """Makes a table when it is first asked for it, and keeps it."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 3)
        self.linear = th.nn.Linear(3, 3)
        self.table: th.Tensor | None = None

    def forward(self, x: th.Tensor) -> th.Tensor:
        if self.table is None:
            self.table = th.linspace(1, 2, 3)
        y: th.Tensor = self.linear(x) * self.table
        return y


class Own(LSTMMemory):
    """Likewise."""

    table: th.Tensor | None = None

    def unroll(self, x: Any, state: Any, episode_starts: Any) -> Any:
        if self.table is None:
            self.table = th.ones(x.shape[-1])
        return super().unroll(x * self.table, state, episode_starts)

    def step_(self, x: Any, state: Any, episode_starts: Any) -> Any:
        outputs, state = self.unroll(x[:, None], state, episode_starts[:, None])
        return outputs[:, 0], state


def mode_of(agent: Any) -> tuple[bool, bool]:
    """Whether there are gradients where it collects, and whether there could be any later."""
    with collecting(agent.policy, 1)():
        return th.is_grad_enabled(), th.is_inference_mode_enabled()


OWN: list[dict[str, Any]] = [
    dict(features_extractor_class=Grid, memory_kwargs=TINY),
    dict(memory_class=Own, memory_kwargs=dict(hidden_size=8)),
]


@pytest.mark.parametrize("policy_kwargs", OWN, ids=["extractor", "memory"])
def test_own_modules_may_keep_what_they_make_in_a_step(policy_kwargs: dict[str, Any]) -> None:
    ppo = PPO("MemoryPolicy", toy_venv(), n_steps=8, policy_kwargs=policy_kwargs, device="cpu").learn(32)
    assert mode_of(ppo) == (False, False)
    dqn = toy_dqn(policy="MemoryPolicy", policy_kwargs=policy_kwargs, batch_size=8, learning_starts=16)
    assert isinstance(dqn, DQN)
    dqn.learn(48)
    assert dqn._n_updates > 0
    assert mode_of(dqn) == (False, False)


@pytest.mark.parametrize("make", [toy_agent, toy_dqn, toy_qrdqn])
@pytest.mark.parametrize("policy", ["CompressiveMemoryPolicy", "MemoryPolicy"])
def test_known_modules_collect_in_inference_mode(
    make: Callable[..., Any], policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, seen = make(policy=policy), list[bool]()
    assert mode_of(agent) == (False, True)
    forward = FlattenExtractor.forward

    def watched(extractor: FlattenExtractor, obs: th.Tensor) -> th.Tensor:
        seen.append(th.is_inference_mode_enabled())
        return forward(extractor, obs)

    monkeypatch.setattr(FlattenExtractor, "forward", watched)
    agent.learn(8)
    assert True in seen


def test_callbacks_may_learn_from_what_is_said() -> None:
    weight = th.ones((), requires_grad=True)

    class Bonus(BaseCallback):
        def _on_step(self) -> bool:
            loss = (weight * (self.locals["values"] + self.locals["log_probs"][:, None])).sum()
            th.autograd.backward(loss)
            return True

    toy_agent().learn(16, callback=Bonus())
    assert weight.grad is not None
    assert np.isfinite(float(weight.grad))
