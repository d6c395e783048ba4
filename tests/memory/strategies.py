"""Sizes for property tests, and a window run step by step."""

from __future__ import annotations

from typing import Any

import torch as th
from hypothesis import strategies as st

from memory_agents.memory import MemoryCore


@st.composite
def compressive_kwargs(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of a small compressive memory, over all sizes that fit together."""
    rate = draw(st.integers(1, 4))
    block = rate * draw(st.integers(1, 3))
    slots = block // rate
    return dict(
        memory_length=draw(st.integers(block, block + 8)),
        compressed_length=draw(st.sampled_from([0, slots, slots + 1, slots + 5])),
        compression_rate=rate,
        block_length=block,
        n_layers=draw(st.integers(1, 3)),
        n_heads=draw(st.sampled_from([1, 2])),
        d_model=8,
    )


@st.composite
def segmented_kwargs(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments that all memories of segments share."""
    segment_length = draw(st.integers(1, 12))
    return dict(
        segment_length=segment_length,
        xl_memory=draw(st.sampled_from(sorted({0, 1, segment_length // 2, segment_length}))),
        learned_initial_memory=draw(st.booleans()),
        bptt_depth=draw(st.sampled_from([None, 1, 2])),
        memory_replay=draw(st.booleans()),
        n_layers=draw(st.integers(1, 3)),
        n_heads=draw(st.sampled_from([1, 2])),
        d_model=draw(st.sampled_from([8, 12])),
        d_feedforward=draw(st.sampled_from([None, 20])),
    )


@st.composite
def rmt_kwargs(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of a small Recurrent Memory Transformer."""
    return dict(**draw(segmented_kwargs()), n_memory_tokens=draw(st.integers(1, 5)))


def recurrent_kwargs(*sizes: int) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of recurrent cells of these sizes."""
    return st.fixed_dictionaries(dict(hidden_size=st.sampled_from(sizes), n_layers=st.integers(1, 3)))


def run_steps(core: MemoryCore[Any], x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
    """A window, one step at a time."""
    outputs = []
    for t in range(x.shape[1]):
        y, state = core.step(x[:, t], state, episode_starts[:, t])
        outputs.append(y)
    return th.stack(outputs, dim=1), state
