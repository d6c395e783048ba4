"""Bytes: of the process that an agent learns in, and of the memory states that its rollouts keep."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

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
        libraries imported and nothing made; on a CUDA device also ``cuda_mib``, the most that tensors had there
    """
    # Of a forked process the peak would be this one's, too.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_learn_once, (subject,))


def _learn_once(subject: Subject) -> dict[str, float]:
    th.set_num_threads(subject.config.threads or 1)
    # PyTorch loads some libraries only now.
    th.nn.Linear(4, 4)(th.ones(2, 4)).sum().backward()
    cuda = th.device(subject.config.device).type == "cuda"
    before = _resident("VmRSS")
    agent, venv = make(subject)
    agent.learn(2 * subject.transitions)
    venv.close()
    peak = _resident("VmHWM")
    found = {"process_mib": peak / MIB, "own_mib": (peak - before) / MIB}
    if cuda:
        found["cuda_mib"] = th.cuda.max_memory_allocated() / MIB
    return found


def _resident(name: str) -> float:
    """
    :param name: VmRSS for the bytes in memory now, VmHWM for the most there have been
    :return: bytes of this process; where the system does not tell the first, the second
    :raises OSError: where the system tells neither
    """
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage(), whose peak on Linux begins with that of the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
        return 1024 * float(line.split()[1])
    if sys.platform == "win32":
        raise OSError("Windows does not tell a process's memory in a way that Python knows")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


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
