"""Bytes: of the process that an agent learns in, and of the memory states that its rollouts keep."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import torch as th
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from memory_agents.benchmarks.arguments import chosen_device
from memory_agents.benchmarks.process_memory import memory_now, most_memory
from memory_agents.benchmarks.throughput.subject import Subject, make
from memory_agents.common import MemoryActorCriticPolicy
from memory_agents.common.buffers import SequenceRolloutBuffer
from memory_agents.memory import tree_bytes

MIB = 2**20


def peak_memory(subject: Subject) -> dict[str, float]:
    """
    Collect a rollout and learn from it in a process of its own.

    :param subject: the agent and its environments
    :return: ``process_mib``, the most memory the process had; ``own_mib``, how much more that is than it had with all
        libraries imported, the device at work and nothing made; on a CUDA device also ``cuda_mib``, the most that
        tensors had there
    """
    # Of a forked process the peak would be this one's, too.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_learn_once, (subject,))


def _learn_once(subject: Subject) -> dict[str, float]:
    th.set_num_threads(subject.config.threads or 1)
    # PyTorch loads some libraries only now.
    th.nn.Linear(4, 4)(th.ones(2, 4)).sum().backward()
    device = chosen_device(subject.config.device)
    _context(device)
    before = memory_now()
    agent, venv = make(subject)
    agent.learn(2 * subject.transitions)
    venv.close()
    peak = most_memory()
    found = {"process_mib": peak / MIB, "own_mib": (peak - before) / MIB}
    if device.type == "cuda":
        found["cuda_mib"] = th.cuda.max_memory_allocated(device) / MIB
    return found


def _context(device: th.device) -> None:
    """Make a CUDA device's context, which is there whatever is made later, so that it is not counted as an agent's."""
    if device.type == "cuda":
        th.ones(1, device=device)
        th.cuda.synchronize(device)


def state_bytes(agent: OnPolicyAlgorithm) -> tuple[float, float]:
    """
    :param agent: an agent with a full rollout buffer
    :return: bytes of memory states that it holds for each transition, and the bytes of one environment's memory after a
        step, which a rollout that kept the memory for every step would hold for each
    """
    buffer, policy = agent.rollout_buffer, agent.policy
    if isinstance(buffer, SequenceRolloutBuffer) and isinstance(policy, MemoryActorCriticPolicy):
        whole = tree_bytes(policy.pack_state(policy.initial_state(1)))
        return buffer.state_bytes_per_transition, float(whole)
    if isinstance(agent, RecurrentPPO):
        names = ("hidden_states_pi", "cell_states_pi", "hidden_states_vf", "cell_states_vf")
        stored: list[Any] = [getattr(buffer, name) for name in names]
        each = sum(np.asarray(states).nbytes for states in stored) / (agent.n_steps * agent.n_envs)
        return each, each
    return 0.0, 0.0
