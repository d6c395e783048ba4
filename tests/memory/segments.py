"""What the references of memories of segments have in common: plain loops over single vectors."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch as th

from memory_agents.memory import MemoryCore, SegmentedMemory

#: Something that weighs vectors: (keys, values) of one head.
Seen = list[tuple[th.Tensor, th.Tensor]]


def mix(query: th.Tensor, seen: Seen, temperature: float = 1.0) -> th.Tensor:
    """Attention of one query of one head, without positions."""
    logits = th.stack([query @ key for key, _ in seen]) / math.sqrt(len(query)) / temperature
    weights = th.softmax(logits, dim=0)
    return sum((w * value for w, (_, value) in zip(weights, seen, strict=True)), th.zeros_like(seen[0][1]))


def heads(vector: th.Tensor, n_heads: int) -> list[th.Tensor]:
    """A vector in as many slices."""
    return list(vector.chunk(n_heads))


def episodes(inputs: th.Tensor, episode_starts: th.Tensor) -> list[th.Tensor]:
    """
    :param inputs: one time line, (steps, input_dim)
    :param episode_starts: (steps,) bool
    :return: its episodes
    """
    borders = sorted({0, len(inputs), *episode_starts.nonzero().flatten().tolist()})
    return [inputs[i:j] for i, j in pairwise(borders)]


def jolted(core: MemoryCore[Any]) -> Any:
    """In double precision, and with parameters that start at zero away from it, so that they count."""
    for parameter in core.parameters():
        parameter.data.add_(0.1 * th.randn_like(parameter))
    return core.double()


def learn(core: SegmentedMemory, x: th.Tensor, starts: th.Tensor) -> th.Tensor:
    """Outputs of a window from fresh states."""
    return core.unroll_outputs(x, core.initial_state(len(x)), starts)


def assert_gradients_reach_every_parameter(core: SegmentedMemory, steps: int) -> None:
    """From a loss on all outputs of an episode. (A state from before the window, the initial one too, gets none.)"""
    x, starts = th.randn(2, steps, core.input_dim), th.arange(steps).eq(0).expand(2, -1)
    learn(core, x, starts).square().sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in core.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
