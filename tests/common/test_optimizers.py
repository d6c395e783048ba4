"""Which optimizers are made of one kernel."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th

from memory_agents.common.optimizers import fused_arguments
from tests.ppo.toys import toy_agent


@pytest.mark.parametrize(
    ("optimizer", "given", "passed_on"),
    [
        (th.optim.Adam, None, {"eps": 1e-5, "fused": True}),
        (th.optim.Adam, {"weight_decay": 0.1}, {"weight_decay": 0.1, "fused": True}),
        (th.optim.AdamW, None, {"fused": True}),
        (th.optim.Adam, {"fused": False}, {"fused": False}),
        (th.optim.Adam, {"foreach": True}, {"foreach": True}),
        (th.optim.RMSprop, None, None),
        (th.optim.SGD, {"momentum": 0.9}, {"momentum": 0.9}),
    ],
)
def test_arguments(optimizer: type[th.optim.Optimizer], given: dict[str, Any] | None, passed_on: Any) -> None:
    before = None if given is None else dict(given)
    assert fused_arguments(optimizer, given) == passed_on
    assert given == before


def test_agents_have_it_and_it_steps_as_the_other_does() -> None:
    agents = [toy_agent(policy_kwargs={"optimizer_kwargs": kwargs}) for kwargs in (None, {"eps": 1e-5, "fused": False})]
    assert [agent.policy.optimizer.param_groups[0]["fused"] for agent in agents] == [True, False]
    assert agents[0].policy.optimizer.param_groups[0]["eps"] == 1e-5
    for numbers in zip(*(agent.policy.parameters() for agent in agents), strict=True):
        start, gradient = th.randn_like(numbers[0]), th.randn_like(numbers[0])
        for parameter in numbers:
            parameter.data.copy_(start)
            parameter.grad = gradient.clone()
    for agent in agents:
        agent.policy.optimizer.step()
    for fused, single in zip(*(agent.policy.parameters() for agent in agents), strict=True):
        th.testing.assert_close(fused, single, atol=1e-6, rtol=1e-6)
