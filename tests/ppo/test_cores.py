"""Every registered memory core learns, acts, saves and loads behind the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th

from memory_agents import PPO
from memory_agents.memory import memory_registry, tree_leaves
from memory_agents.ppo import MemoryPolicy
from tests.ppo.toys import toy_agent, toy_venv

every_core = pytest.mark.parametrize("name", list(memory_registry))


def core_agent(name: str, **policy_kwargs: Any) -> PPO:
    policy_kwargs = dict(memory_class=name, memory_kwargs={}, **policy_kwargs)
    env = toy_venv(observation="dict", truncate=True)
    return toy_agent(env, policy="MemoryPolicy", n_epochs=1, policy_kwargs=policy_kwargs)


@every_core
@pytest.mark.parametrize("share", [True, False])
def test_learns_saves_loads_and_predicts(name: str, share: bool, tmp_path: Path) -> None:
    agent = core_agent(name, share_features_extractor=share)
    before = [parameter.detach().clone() for parameter in agent.policy.memories.parameters()]
    agent.learn(192)
    assert len(agent.policy.memories) == (1 if share else 2)
    after = list(agent.policy.memories.parameters())
    assert not all(th.equal(a, b) for a, b in zip(before, after, strict=True))

    agent.save(tmp_path / "agent")
    agent.policy.save(str(tmp_path / "policy"))
    loaded = PPO.load(tmp_path / "agent", device="cpu").policy, MemoryPolicy.load(str(tmp_path / "policy"), "cpu")
    obs: Any = toy_venv(observation="dict").reset()
    starts = np.ones(3, dtype=bool)
    _, state = agent.policy.predict(obs, None, starts)
    remembered = [leaf.clone() for leaf in tree_leaves(state)]
    _, expected = agent.policy.predict(obs, state, ~starts)
    for policy in loaded:
        _, state_after = policy.predict(obs, state, ~starts)
        assert all(th.equal(a, b) for a, b in zip(tree_leaves(expected), tree_leaves(state_after), strict=True))
    assert all(th.equal(a, b) for a, b in zip(remembered, tree_leaves(state), strict=True))


@every_core
def test_the_first_ratio_of_an_update_is_one(name: str) -> None:
    agent = core_agent(name)
    agent.learn(96)
    assert agent.logger.name_to_value["memory/first_ratio_error"] < 1e-4
