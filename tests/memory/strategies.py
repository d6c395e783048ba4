"""Sizes for property tests, and a window run step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch as th
from hypothesis import strategies as st

from memory_agents.memory import MemoryCore
from memory_agents.nn import feedforward_registry, gate_registry, position_registry
from memory_agents.nn.block import NORMS
from memory_agents.nn.judger import POOLINGS

#: Judges that decide the same whenever they see the same; None for no judge.
SURE_JUDGES = (None, None, "keep", "discard", "oracle", "learned")


@st.composite
def compressive_kwargs(
    draw: st.DrawFn,
    judges: Sequence[str | None] = (None,),
    longest: int = 8,
    widest_rate: int = 4,
    every: bool = True,
) -> dict[str, Any]:
    """
    Arguments of a small compressive memory, over all sizes that fit together and all options, with one of these judges;
    those that let rounding grow, gates that do not start near the identity and layer norm on outputs that can be small,
    only with ``every``.
    """
    judge = draw(st.sampled_from(judges))
    rate = draw(st.integers(1, widest_rate))
    compression = draw(st.sampled_from(["convolution", "dilated", "max", "mean", "most_used"]))
    slots = draw(st.integers(2 if compression == "dilated" else 1, 3))
    block = rate * slots
    n_layers = draw(st.integers(1, 3))
    numbers_of_slots = [0, slots, slots + 1, slots + 5]
    m, n = draw(st.integers(block, block + longest)), draw(st.sampled_from(numbers_of_slots[judge is not None :]))
    lengths: dict[str, Any] = dict(memory_length=m, compressed_length=n)
    if draw(st.booleans()):
        # Layers that differ, some of them without slots, or without any memory.
        # A judge needs slots in the last layer, and equal lengths wherever there are slots.
        kinds = st.sampled_from([(0, 0), (m, 0), (m + 3, n if judge is None else 0), (m, n)])
        layers = draw(st.lists(kinds, min_size=n_layers, max_size=n_layers))
        layers[-1] = layers[-1] if judge is None else (m, n)
        lengths = dict(memory_length=[m for m, _ in layers], compressed_length=[n for _, n in layers])
    losses: list[str | None] = [None]
    if compression in ("convolution", "dilated") and lengths["compressed_length"] not in (0, [0] * n_layers):
        losses += ["autoencoding", "attention"]
    loss = draw(st.sampled_from(losses))
    return dict(
        **lengths,
        compression_rate=rate,
        block_length=block,
        compression=compression,
        compression_loss=loss,
        compression_gradient=draw(st.sampled_from([None, "auxiliary", "both"] if loss else [None, "task"])),
        n_layers=n_layers,
        n_heads=draw(st.sampled_from([1, 2])),
        d_head=draw(st.sampled_from([None, 6])),
        d_model=8,
        gating=draw(st.sampled_from(list(gate_registry) if every else ["output", "sigtanh", "gru", "nbrc"])),
        norm=draw(st.sampled_from(NORMS)),
        positions=draw(st.sampled_from(list(position_registry))),
        feedforward=draw(st.sampled_from(list(feedforward_registry))),
        dropout=draw(st.sampled_from([0.0, 0.3])),
        mogrifier_rounds=draw(st.sampled_from([0, 3])),
        recurrence_delay=draw(st.one_of(st.none(), st.integers(1, m - block + 1))),
        final_norm=draw(st.booleans()) if every else False,
        judger=judge and draw(judger_options(judge)),
    )


@st.composite
def judger_options(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Arguments of a small judge of a kind."""
    if kind == "random":
        return dict(kind=kind, probability=draw(st.sampled_from([0.1, 0.5, 0.9])))
    if kind == "learned":
        pooling, n_layers = draw(st.sampled_from(POOLINGS)), draw(st.integers(1, 2))
        return dict(kind=kind, hidden_size=4, n_layers=n_layers, pooling=pooling)
    return dict(kind=kind)


@st.composite
def segmented_kwargs(draw: st.DrawFn, longest: int = 12, every: bool = False) -> dict[str, Any]:
    """
    Arguments that all memories of segments share, with segments of at most ``longest`` steps.

    What goes from segment to segment can be chaotic: where a layer does not start near the identity, or slots attend
    sharply, a difference in the last bit grows with every write. And in small matrices rounding depends on where an
    entry of the batch lies. Such options and sizes are drawn only if ``every`` is set, for tests in double precision.
    """
    segment_length = draw(st.integers(1, longest))
    return dict(
        segment_length=segment_length,
        xl_memory=draw(st.sampled_from(sorted({0, 1, segment_length // 2, segment_length}))),
        learned_initial_memory=draw(st.booleans()),
        bptt_depth=draw(st.sampled_from([None, 1, 2])),
        memory_replay=draw(st.booleans()),
        n_layers=draw(st.integers(1, 3)),
        # In matrices that do not begin at whole multiples of 16 bytes, those of fewer heads, rounding depends on where
        # an entry of the batch lies.
        n_heads=draw(st.sampled_from([1, 2, 4])) if every else 4,
        d_model=draw(st.sampled_from([4, 8, 12] if every else [8, 12])),
        d_feedforward=draw(st.sampled_from([None, 20])),
        gating=draw(st.sampled_from(list(gate_registry))) if every else "gru",
        positions=draw(st.sampled_from(["sinusoidal", "learned"])),
        feedforward=draw(st.sampled_from(list(feedforward_registry))),
    )


@st.composite
def rmt_kwargs(draw: st.DrawFn, longest: int = 12, every: bool = False) -> dict[str, Any]:
    """Arguments of a small Recurrent Memory Transformer."""
    return dict(
        **draw(segmented_kwargs(longest, every)),
        n_memory_tokens=draw(st.integers(1, 5)),
        norm=draw(st.sampled_from(NORMS)) if every else "pre",
        d_head=draw(st.sampled_from([None, 6])),
        dropout=draw(st.sampled_from([0.0, 0.3])),
        mogrifier_rounds=draw(st.sampled_from([0, 3])) if every else 0,
        final_norm=draw(st.sampled_from([None, False, True])) if every else None,
    )


@st.composite
def memformer_kwargs(draw: st.DrawFn, longest: int = 12, every: bool = False) -> dict[str, Any]:
    """Arguments of a small Memformer."""
    shared = draw(segmented_kwargs(longest, every))
    del shared["learned_initial_memory"]
    if not every:
        shared["d_model"] = 16  # slots attend the more sharply the narrower they are
    return dict(
        **shared,
        n_slots=draw(st.integers(1, 5)),
        temperature=draw(st.sampled_from([0.25, 0.5, 1.0] if every else [0.5, 1.0])),
        forgetting=draw(st.booleans()),
        forgetting_scale=draw(st.sampled_from([0.1, 1.0])),
    )


@st.composite
def block_recurrent_kwargs(draw: st.DrawFn, longest: int = 12, every: bool = False) -> dict[str, Any]:
    """Arguments of a small Block-Recurrent Transformer."""
    shared = draw(segmented_kwargs(longest, every))
    del shared["xl_memory"]
    if not every:
        # Products of few columns that are no multiple of 4, of heads in this case, round by row.
        shared["d_model"] = draw(st.sampled_from([8, 16]))
        shared["gating"] = draw(st.sampled_from(["gru", "highway", "sigtanh"]))
    return dict(
        **shared,
        n_states=draw(st.integers(1, 5)),
        recurrent_layer=draw(st.sampled_from([None, 0, shared["n_layers"] - 1])),
        state_gate=draw(st.sampled_from(["fixed", "lstm"])),
        state_gate_bias=draw(st.sampled_from([None, -1.0, 1.0])),
        configuration=draw(st.sampled_from(["skip", "single", "dual"])),
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
