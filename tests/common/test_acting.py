"""What policies are given when they act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from memory_agents.memory import memory_registry
from tests.dqn.toys import toy_agent as toy_dqn
from tests.ppo.toys import TINY, toy_agent

NAMES = list(memory_registry)


def agent_of(make: Callable[..., Any], name: str, **kwargs: Any) -> Any:
    return make(policy="MemoryPolicy", policy_kwargs=dict(memory_class=name, memory_kwargs=kwargs))


def state_of(agent: Any) -> Any:
    return agent.predict(np.zeros((3, 3), np.float32))[1]


@pytest.mark.parametrize("make", [toy_agent, toy_dqn])
def test_states_of_other_memories_are_refused(make: Callable[..., Any]) -> None:
    agents = {name: agent_of(make, name) for name in NAMES}
    agents["small"] = agent_of(make, "compressive", **TINY)
    states = {name: state_of(agent) for name, agent in agents.items()}
    obs = np.zeros((3, 3), np.float32)
    for mine, agent in agents.items():
        for theirs, state in states.items():
            if {mine, theirs} == {"block_recurrent", "rmt"}:
                # Alike but for what follows from them.
                continue
            # The state of either cell is one vector of the same width.
            if mine == theirs or {mine, theirs} <= {"gru", "brc", "nbrc"}:
                _, after = agent.predict(obs, state)
                agent.predict(obs, agent.policy.pack_state(after))
                agent.predict(obs, agent.policy.unpack_state(after))
            else:
                with pytest.raises(ValueError, match="no state of this agent's memory; pass what its own predict"):
                    agent.predict(obs, state)


@pytest.mark.parametrize("judger", [True, "keep", "random", {"kind": "random", "probability": 0.5}])
def test_states_of_judged_memories_are_their_own(judger: Any) -> None:
    agent = agent_of(toy_agent, "compressive", **TINY, judger=judger)
    state, obs = None, np.zeros((3, 3), np.float32)
    for _ in range(20):
        _, state = agent.predict(obs, state)


@pytest.mark.parametrize("state", [(), np.zeros(3), 5, ((),), "memory"])
@pytest.mark.parametrize("make", [toy_agent, toy_dqn])
def test_what_is_no_state_is_refused(make: Callable[..., Any], state: Any) -> None:
    with pytest.raises(ValueError, match=r"state is .* which is no state of this agent's memory"):
        make().predict(np.zeros((3, 3), np.float32), state)


@pytest.mark.parametrize("make", [toy_agent, toy_dqn])
def test_no_environment_at_all(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="observation is of no environment; give one of at least one"):
        make().predict(np.zeros((0, 3), np.float32))
