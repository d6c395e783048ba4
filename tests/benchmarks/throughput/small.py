"""Agents and measurements that take a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from memory_agents.benchmarks.throughput.measurement import Measurement
from memory_agents.benchmarks.throughput.results import Measured
from memory_agents.benchmarks.throughput.subject import Conditions

#: CartPole without velocities: two numbers are seen, and there are two actions.
CARTPOLE = Conditions(n_envs=4, window=16, n_epochs=2)
TMAZE = replace(CARTPOLE, env="MemoryAgents/TMaze-v0", env_kwargs={"corridor": 5})


def measurement(agent: str, **known: Any) -> Measurement:
    """
    :param agent: its name
    :param known: what is not as in the others
    :return: three rounds that might have been measured
    """
    values: dict[str, Any] = dict(
        n_envs=8,
        window=100,
        threads=1,
        device="cpu",
        arguments={"memory_kwargs": {}, "device": "cpu"},
        n_epochs=4,
        batch_size=200,
        parameters=1234,
        acting_ms=[1.0, 2.0, 3.0],
        collecting_s=[0.2, 0.1, 0.3],
        environment_s=[0.05, 0.05, 0.06],
        learning_s=[0.4, 0.8, 0.6],
        total_s=[1.0, 2.0, 4.0],
        busy_shares=[1.0, 0.95, 1.0],
        updates=16,
        state_bytes=512.0,
        whole_state_bytes=51200.0,
        flops=3e6,
        peak={"float32": 5e10, "float32, oneDNN": 1e11},
        memory={"process_mib": 300.4, "own_mib": 50.6},
    )
    return Measurement(agent, **{**values, **known})


def measured(*agents: Measurement, **known: Any) -> Measured:
    """
    :param agents: measurements of a group
    :param known: what is not as in the others
    :return: the group
    """
    values: dict[str, Any] = dict(case="small", title="A moment", axis=None, at=(None,) * len(agents), agents=agents)
    return Measured(**{**values, **known})
