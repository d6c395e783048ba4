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
