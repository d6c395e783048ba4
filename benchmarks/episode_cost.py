"""What a step costs late in an episode against early in it."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch as th

from memory_agents.benchmarks.process_memory import most_memory
from memory_agents.memory import MemoryCore, tree_bytes, tree_clone
from memory_agents.memory.building import make_memory

INPUT_DIM = 32


def advance(core: MemoryCore[Any], state: Any, x: th.Tensor, steps: int) -> tuple[float, Any]:
    """
    :param core: a memory core
    :param state: the state to go on from; overwritten
    :param x: the input of every step, (n_envs, input_dim)
    :param steps: how many steps
    :return: seconds per step, and the state after them
    """
    starts = th.zeros(len(x), dtype=th.bool, device=x.device)
    begin = time.perf_counter()
    for _ in range(steps):
        _, state = core.step_(x, state, starts)
    return (time.perf_counter() - begin) / steps, state


def episode_cost(
    memory: str, memory_kwargs: dict[str, Any], n_envs: int, early: int, late: int, repeats: int, block: int = 200
) -> dict[str, Any]:
    """
    Act to step ``late`` of one episode, then time blocks of steps that start at step ``early`` and at step ``late``, in
    turns, so that whatever else the machine does hits both.

    :param memory: registered name of a memory core
    :param memory_kwargs: its arguments
    :param n_envs: environments acting at once
    :param early: an early step
    :param late: a late step
    :param repeats: pairs of blocks
    :param block: steps per block
    :return: milliseconds per step at both, their ratio, bytes of state at both, peak memory of the process up to
        both in MiB (None where the system does not tell it, as Windows)
    """
    th.manual_seed(0)
    core = make_memory(memory, INPUT_DIM, memory_kwargs)
    x = th.randn(n_envs, INPUT_DIM)
    states, peaks = {}, {}
    state, at = core.initial_state(n_envs), 0
    for step in (early, late):
        _, state = advance(core, state, x, step - at)
        at = step
        states[step] = tree_clone(state)
        peaks[step] = _peak_mib()
    seconds: dict[int, list[float]] = {early: [], late: []}
    for repeat in range(repeats):
        for step in (early, late) if repeat % 2 == 0 else (late, early):
            seconds[step].append(advance(core, tree_clone(states[step]), x, block)[0])
    medians = {step: 1e3 * statistics.median(times) for step, times in seconds.items()}
    return {
        "memory": memory,
        "memory_kwargs": memory_kwargs,
        "n_envs": n_envs,
        "threads": th.get_num_threads(),
        "milliseconds_per_step": {str(step): round(median, 4) for step, median in medians.items()},
        "ratio": round(statistics.median(b / a for a, b in zip(seconds[early], seconds[late], strict=True)), 4),
        "state_bytes": {str(step): tree_bytes(state) for step, state in states.items()},
        "peak_process_mib": {str(step): peak for step, peak in peaks.items()},
    }


def _peak_mib() -> float | None:
    try:
        return round(most_memory() / 2**20, 1)
    except OSError:
        return None
