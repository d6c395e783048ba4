"""The Recurrent Memory Transformer, and with it what all memories of segments share."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.memory import (
    BlockRecurrentMemory,
    MemformerMemory,
    RecurrentTransformerMemory,
    SegmentedMemory,
    tree_leaves,
)
from memory_agents.memory.segmented.layout import WindowLayout
from memory_agents.nn import GatedBlock, LearnedPositionAttention, SinusoidalAttention, gate_registry
from tests.memory.reference import run_block, sinusoid
from tests.memory.strategies import rmt_kwargs

SMALL: dict[str, Any] = dict(segment_length=4, n_memory_tokens=3, n_heads=2, d_model=8)


def position(core: RecurrentTransformerMemory, query: tuple[str, int], key: tuple[str, int], length: int) -> int | None:
    """
    Relative position of two rows ``(kind, place)``: the distance of tokens, the number of a memory token beyond those.

    :param length: of the segment
    :return: ``None`` when the query must not see the key
    """
    (query_kind, at), (kind, place) = query, key
    if kind == "read":
        return core.n_rows + 1 + place
    if kind == "write":
        return core.n_rows + 1 + core.n_slots + place if query_kind == "write" else None
    if query_kind == "write":  # right after the last token
        return length - place
    return at - place if query_kind == "token" and place <= at else None


def layer(block: GatedBlock, hidden: th.Tensor, keys: th.Tensor, positions: list[list[int | None]]) -> th.Tensor:
    """One layer, with logits for all pairs and minus infinity where a query does not see."""
    attention, norm = block.attention, block.attention_norm if block.pre_norm else th.nn.Identity()
    assert isinstance(attention, SinusoidalAttention | LearnedPositionAttention)
    w_key, w_value = attention.key_value.weight.chunk(2)
    hides = th.tensor([[p is None for p in row] for row in positions])
    index = th.tensor([[p or 0 for p in row] for row in positions])
    mixed = []
    for head in range(attention.n_heads):
        part = slice(head * attention.d_head, (head + 1) * attention.d_head)
        q = (norm(hidden) @ attention.query.weight.T)[:, part]
        k, v = (norm(keys) @ w_key.T)[:, part], (norm(keys) @ w_value.T)[:, part]
        if isinstance(attention, SinusoidalAttention):
            width = hidden.shape[1]
            table = th.stack([sinusoid(p, width, hidden.dtype) for p in range(1 + int(index.max()))])
            table = attention.position.weight[part] @ table.T
        else:
            table = attention.position_table[head]
        places = (q + attention.position_bias[head]) @ table
        content = (q + attention.content_bias[head]) @ k.T
        logits = (content + places.gather(1, index)) / math.sqrt(attention.d_head)
        mixed.append(logits.masked_fill(hides, -math.inf).softmax(dim=1) @ v)
    attended = th.cat(mixed, dim=1) @ attention.output.weight.T
    return th.stack([run_block(block, x, y) for x, y in zip(hidden, attended, strict=True)])


def whole_segment(
    core: RecurrentTransformerMemory, memory: th.Tensor, xl: list[th.Tensor], tokens: th.Tensor
) -> tuple[th.Tensor, th.Tensor, list[th.Tensor]]:
    """
    [read memory; tokens; write memory] through all layers at once.

    :param memory: (m, d_model)
    :param xl: per layer, its inputs for the last tokens of the segment before, (up to X, d_model)
    :param tokens: inputs of the first layer, (s, d_model); s < S for a segment that is not full
    :return: outputs for the tokens, next memory, next XL memory
    """
    m, s = core.n_slots, len(tokens)
    slots = [("read", i) for i in range(m)], [("write", i) for i in range(m)]
    queries = [*slots[0], *(("token", i) for i in range(s)), *slots[1]]
    keys = [*(("token", i) for i in range(-len(xl[0]), 0)), *queries]
    positions = [[position(core, query, key, s) for key in keys] for query in queries]
    sequence, next_xl = th.cat([memory, tokens, memory]), []
    for block, before in zip(core.blocks, xl, strict=True):
        assert isinstance(block, GatedBlock)
        next_xl.append(sequence[m : m + s][s - core.xl_memory :])
        sequence = layer(block, sequence, th.cat([before, sequence]), positions)
    sequence = core.norm(sequence)
    return sequence[m : m + s], sequence[m + s :], next_xl


def reference_episode(core: RecurrentTransformerMemory, inputs: th.Tensor) -> th.Tensor:
    """
    :param inputs: one episode, (steps, input_dim)
    :return: outputs, (steps, d_model)
    """
    memory, outputs = core.initial_memory(), []
    xl = [inputs.new_zeros(0, core.output_dim) for _ in core.blocks]
    for number, start in enumerate(range(0, len(inputs), core.segment_length)):
        if core.bptt_depth is not None and number % core.bptt_depth == 0 and number:
            memory, xl = memory.detach(), [rows.detach() for rows in xl]
        tokens = core.input(inputs[start : start + core.segment_length])
        y, memory, xl = whole_segment(core, memory, xl, tokens)
        outputs.append(y)
    return th.cat(outputs)


def jolted(core: RecurrentTransformerMemory) -> RecurrentTransformerMemory:
    """With parameters that start at zero away from it, so that they count."""
    for parameter in core.parameters():
        parameter.data.add_(0.1 * th.randn_like(parameter))
    return core


def reference(core: RecurrentTransformerMemory, x: th.Tensor, episode_starts: th.Tensor) -> th.Tensor:
    """Windows (batch, T, input_dim) from fresh states, episode by episode."""
    outputs = []
    for inputs, starts in zip(x, episode_starts, strict=True):
        borders = sorted({0, len(inputs), *starts.nonzero().flatten().tolist()})
        outputs.append(th.cat([reference_episode(core, inputs[i:j]) for i, j in pairwise(borders)]))
    return th.stack(outputs)


def make(**kwargs: Any) -> RecurrentTransformerMemory:
    """A core whose parameters that start at zero are away from it, so that they count."""
    core = RecurrentTransformerMemory(3, **SMALL | kwargs).eval()  # dropout is for training only
    for parameter in core.parameters():
        parameter.data.add_(0.1 * th.randn_like(parameter))
    return core


def no_starts(batch: int, steps: int) -> th.Tensor:
    return th.zeros(batch, steps, dtype=th.bool)


@settings(max_examples=10)
@given(
    kwargs=rmt_kwargs(longest=4, every=True),
    seed=st.integers(0, 2**16),
    steps=st.integers(1, 10),
)
def test_values_and_gradients_equal_the_reference(kwargs: dict[str, Any], seed: int, steps: int) -> None:
    th.manual_seed(seed)
    core = make(**kwargs).double()
    x, starts = th.randn(2, steps, 3, dtype=th.double, requires_grad=True), th.rand(2, steps) < 0.1
    starts[:, 0] = True
    weights, learned = th.randn(2, steps, core.output_dim, dtype=th.double), [x, *core.parameters()]
    expected = reference(core, x, starts)
    outputs = core.unroll_outputs(x, core.initial_state(2), starts)
    th.testing.assert_close(outputs, expected, atol=1e-9, rtol=1e-9)
    for gradient, expected_gradient in zip(
        *(gradients((weights * y).sum(), learned) for y in (outputs, expected)), strict=True
    ):
        assert (gradient is None) == (expected_gradient is None)
        if gradient is not None:
            th.testing.assert_close(gradient, expected_gradient, atol=1e-9, rtol=1e-9)


def gradients(loss: th.Tensor, tensors: list[th.Tensor]) -> list[th.Tensor | None]:
    """None for what has no part in the loss."""
    return list(th.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True))


@pytest.mark.parametrize("kwargs", [{}, dict(xl_memory=4), dict(bptt_depth=2), dict(learned_initial_memory=False)])
def test_memory_replay_gives_the_same_gradients(kwargs: dict[str, Any]) -> None:
    x, weights, starts = th.randn(3, 30, 3), th.randn(3, 30, 8), th.rand(3, 30) < 0.05
    found = []
    for memory_replay in (False, True):
        th.manual_seed(0)
        core = make(memory_replay=memory_replay, **kwargs)
        _, state = core.unroll(x, core.initial_state(3), starts)
        loss = (weights * core.unroll_outputs(x, state, starts)).sum()
        found.append(dict(zip(dict(core.named_parameters()), gradients(loss, list(core.parameters())), strict=True)))
    for name, gradient in found[0].items():
        replayed = found[1][name]
        assert gradient is not None
        assert replayed is not None
        assert gradient.abs().sum() > 0
        assert th.equal(gradient, replayed), name


def bytes_saved(core: RecurrentTransformerMemory, steps: int) -> int:
    """Bytes that a forward pass saves for the backward pass, apart from what checkpoints themselves are given."""
    saved: dict[int, int] = {}

    def note(tensor: th.Tensor) -> th.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with th.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = core.unroll_outputs(th.randn(4, steps, 3), core.initial_state(4), no_starts(4, steps))
    assert outputs.requires_grad
    return sum(saved.values())


def test_memory_replay_saves_little_for_the_backward_pass() -> None:
    saved = {replay: bytes_saved(make(segment_length=8, memory_replay=replay), 64) for replay in (False, True)}
    # A checkpoint is given the memory, and the tokens, which all of them share.
    floats = 8 * SMALL["n_memory_tokens"] * SMALL["d_model"] + 64 * SMALL["d_model"]
    given = 4 * 4 * floats
    assert saved[True] + given < saved[False] / 10


@pytest.mark.parametrize("xl_memory", [0, 2])
@pytest.mark.parametrize(("bptt_depth", "first_reached"), [(None, 0), (1, 16), (2, 16), (3, 12), (4, 16), (5, 0)])
def test_gradients_reach_as_far_as_they_should(xl_memory: int, bptt_depth: int | None, first_reached: int) -> None:
    """The last output is in segment 4, steps 16 to 19. Cut are the borders before segments k * bptt_depth."""
    core = make(bptt_depth=bptt_depth, xl_memory=xl_memory)
    x = th.randn(1, 20, 3, requires_grad=True)
    y = core.unroll_outputs(x, core.initial_state(1), no_starts(1, 20))
    (gradient,) = th.autograd.grad(y[:, -1].square().sum(), x)
    assert (gradient[0].abs().sum(1) > 0).tolist() == [t >= first_reached for t in range(20)]


def test_depth_counts_segments_of_the_episode_and_not_of_the_window() -> None:
    core = make(bptt_depth=2)
    x = th.randn(1, 20, 3, requires_grad=True)
    _, state = core.unroll(x[:, :6], core.initial_state(1), no_starts(1, 6))
    y = core.unroll_outputs(x[:, 6:], state, no_starts(1, 14))
    for step, first_reached in ((7, 6), (11, 8), (15, 8), (19, 16)):
        (gradient,) = th.autograd.grad(y[:, step - 6].square().sum(), x, retain_graph=True)
        assert (gradient[0].abs().sum(1) > 0).tolist() == [first_reached <= t <= step for t in range(20)]


def test_gradients_stop_at_episode_starts_and_at_the_state() -> None:
    core, x, starts = make(xl_memory=2), th.randn(2, 19, 3, requires_grad=True), no_starts(2, 19)
    starts[0, 6] = True
    _, state = core.unroll(th.randn(2, 7, 3), core.initial_state(2), no_starts(2, 7))
    state = core.pack_state(state)
    leaves = [state.memory.requires_grad_(), *(recent.requires_grad_() for recent in state.recent)]
    y = core.unroll_outputs(x, state, starts)
    gradient, *into_state = gradients(y[:, -1].square().sum(), [x, *leaves])
    assert gradient is not None
    reached = gradient.abs().sum(2) > 0
    assert reached[0].tolist() == [False] * 6 + [True] * 13
    assert reached[1].all()
    assert into_state == [None] * len(leaves)


def test_the_initial_memory_learns_where_an_episode_starts() -> None:
    core, x = make(), th.randn(2, 6, 3)
    assert isinstance(core.initial_table, th.nn.Parameter)
    _, state = core.unroll(x, core.initial_state(2), no_starts(2, 6))
    for start, learns in ((False, False), (True, True)):
        starts = no_starts(2, 6)
        starts[1, 3] = start
        y = core.unroll_outputs(x, state, starts)
        (gradient,) = th.autograd.grad(y.square().sum(), core.initial_table)
        assert bool(gradient.abs().sum() > 0) == learns


def test_a_fixed_initial_memory_is_no_parameter_and_differs_between_slots() -> None:
    core = make(learned_initial_memory=False)
    assert "initial_table" not in {*dict(core.named_parameters()), *core.state_dict()}
    assert len({tuple(slot) for slot in core.initial_memory().tolist()}) == core.n_slots


def test_what_is_segments_back_is_heard_through_the_memory() -> None:
    for kwargs in ({}, dict(xl_memory=4)):
        core, x = make(**kwargs), th.randn(1, 20, 3)
        other = x.clone()
        other[0, 1] += 1.0
        y, y_other = (core.unroll_outputs(z, core.initial_state(1), no_starts(1, 20)) for z in (x, other))
        changed = (y - y_other).abs().amax(2)[0] > 1e-6
        assert changed.tolist() == [False] + [True] * 19


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(n_memory_tokens=2),
        dict(segment_length=5),
        dict(xl_memory=3),
        dict(learned_initial_memory=False),
        dict(n_layers=3),
        dict(n_heads=4),
        dict(d_model=16),
        dict(d_feedforward=5),
        dict(gate_bias=0.0),
        dict(gating="none"),
        dict(norm="post"),
        dict(positions="learned"),
        dict(feedforward="geglu"),
        dict(d_head=2),
        dict(mogrifier_rounds=1),
        dict(final_norm=True),
        dict(gating="none", final_norm=False),
    ],
)
def test_every_option_changes_the_outputs(kwargs: dict[str, Any]) -> None:
    x, outputs = th.randn(1, 12, 3), []
    for options in ({}, kwargs):
        th.manual_seed(0)
        core = make(**options)
        outputs.append(core.unroll_outputs(x, core.initial_state(1), no_starts(1, 12)))
    same_shape = outputs[0].shape == outputs[1].shape
    assert same_shape == ("d_model" not in kwargs)
    assert not same_shape or not th.allclose(outputs[0], outputs[1], atol=1e-3)


def test_a_write_starts_close_to_the_identity() -> None:
    core = RecurrentTransformerMemory(3)
    _, state = core.unroll(th.randn(4, 32, 3), core.initial_state(4), no_starts(4, 32))
    before = core.initial_memory().expand_as(state.memory)
    assert 0.01 < (state.memory - before).norm() / before.norm() < 0.6


def test_dropout_is_for_training_alone() -> None:
    core, x = make(dropout=0.5), th.randn(1, 12, 3)
    state, starts = core.initial_state(1), no_starts(1, 12)
    y = core.unroll_outputs(x, state, starts)
    assert th.equal(core.unroll_outputs(x, state, starts), y)
    core.train()
    assert not th.allclose(core.unroll_outputs(x, state, starts), y, atol=1e-3)


def test_what_acting_begins_with_drops_nothing_in_training_mode_either() -> None:
    core, x, starts = make(dropout=0.5, n_layers=2), th.randn(1, 12, 3), no_starts(1, 12)
    _, state = core.unroll(x, core.initial_state(1), starts)
    states = core.initial_state(1), core.unpack_state(core.pack_state(state))
    core.train()
    again = core.initial_state(1), core.unpack_state(core.pack_state(state))
    assert core.training
    assert all(map(th.equal, tree_leaves(states), tree_leaves(again)))


@pytest.mark.parametrize("kwargs", [dict(dropout=0.5), dict(dropout=0.5, bptt_depth=2)])
def test_memory_replay_drops_the_same_numbers_twice(kwargs: dict[str, Any]) -> None:
    x, starts, found = th.randn(1, 12, 3), no_starts(1, 12), []
    for memory_replay in (False, True):
        th.manual_seed(0)
        core = make(memory_replay=memory_replay, **kwargs).train()
        y = core.unroll_outputs(x, core.initial_state(1), starts)
        found.append(gradients(y.square().sum(), list(core.parameters())))
    for gradient, replayed in zip(*found, strict=True):
        assert gradient is not None
        assert replayed is not None
        assert th.equal(gradient, replayed)


@pytest.mark.parametrize("gating", list(gate_registry))
@pytest.mark.parametrize("mogrifier_rounds", [0, 2])
def test_memory_stays_bounded(gating: str, mogrifier_rounds: int) -> None:
    core = make(gating=gating, mogrifier_rounds=mogrifier_rounds)
    with th.no_grad():
        _, state = core.unroll(th.randn(1, 400, 3), core.initial_state(1), no_starts(1, 200))
    assert state.memory.abs().max() < 10


@given(data=st.data(), batch=st.integers(1, 5), steps=st.integers(1, 40), length=st.integers(1, 9))
def test_every_step_stands_once_in_the_rounds(data: st.DataObject, batch: int, steps: int, length: int) -> None:
    th.manual_seed(data.draw(st.integers(0, 2**16)))
    starts = th.rand(batch, steps) < data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    seen = th.randint(0, 30, (batch,))
    layout = WindowLayout(length, seen, starts, 4)
    assert len(layout.rounds) <= steps // length + 2
    assert all(len(segments.tokens) % 4 == 0 for segments in layout.rounds)
    token = th.arange(batch * steps, dtype=th.float32).view(batch, steps, 1)
    rows = [segments.tokens[:, :, None].float() for segments in layout.rounds]
    assert th.equal(layout.join(rows), token)
    # Number of the segment and position in it, counted step by step.
    counted = th.empty(batch, steps)
    for b in range(batch):
        count = int(seen[b])
        for t in range(steps):
            count = 0 if starts[b, t] else count
            counted[b, t] = count
            count += 1
        assert layout.steps_after[b] == count
    numbers = [
        (segments.numbers[:, None] * length + th.arange(length))[..., None].float() for segments in layout.rounds
    ]
    assert th.equal(layout.join(numbers)[..., 0], counted)
    assert sorted(th.cat([segments.ending_entries for segments in layout.rounds]).tolist()) == list(range(batch))


@pytest.mark.parametrize("argument", ["n_memory_tokens", "segment_length", "n_layers", "n_heads", "d_model"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "8", None])
def test_sizes_are_checked(argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be a positive integer, got {value!r}"):
        RecurrentTransformerMemory(3, **{argument: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(bptt_depth=0), "bptt_depth must be a positive integer, got 0"),
        (dict(d_feedforward=-2), "d_feedforward must be a positive integer, got -2"),
        (dict(xl_memory=-1), "xl_memory must be an integer from 0 to segment_length=32, got -1"),
        (dict(xl_memory=9, segment_length=8), "xl_memory must be an integer from 0 to segment_length=8, got 9"),
        (dict(xl_memory=True), "xl_memory must be an integer from 0 to segment_length=32, got True"),
        (dict(memory_replay=1), "memory_replay must be True or False, got 1"),
        (dict(learned_initial_memory="yes"), "learned_initial_memory must be True or False, got 'yes'"),
        (dict(learned_initial_memory=None), "learned_initial_memory must be True or False, got None"),
        (dict(d_model=30, n_heads=4), "d_model=30 must be a multiple of n_heads=4; use d_model=32"),
        (dict(d_head=0), "d_head must be a positive integer, got 0"),
        (dict(positions="rotary"), "positions='rotary' turns .* use one of 'sinusoidal', 'learned'"),
        (dict(gating="gate"), "unknown gate 'gate'"),
        (dict(norm="none"), "norm must be one of 'pre', 'post', got 'none'"),
        (dict(dropout=1.0), "dropout is 1.0; give a probability, at least 0 and below 1"),
    ],
)
def test_arguments_are_checked(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecurrentTransformerMemory(3, **kwargs)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        (dict(gating="nbrc"), False),
        (dict(gating="highway"), True),
        (dict(mogrifier_rounds=1), True),
        (dict(gating="none"), True),
        (dict(gating="none", norm="post"), False),
        (dict(gating="none", final_norm=False), False),
        (dict(final_norm=True), True),
    ],
    ids=str,
)
def test_outputs_are_normalised_where_they_could_grow(options: dict[str, Any], expected: bool) -> None:
    assert isinstance(RecurrentTransformerMemory(3, d_model=8, **options).norm, th.nn.LayerNorm) == expected


@pytest.mark.parametrize("memory", [RecurrentTransformerMemory, MemformerMemory, BlockRecurrentMemory])
def test_the_mlp_is_twice_as_wide_as_the_residual_stream_unless_said_otherwise(memory: type[SegmentedMemory]) -> None:
    cases: list[tuple[dict[str, Any], int]] = [({}, 48), ({"d_feedforward": 20}, 20)]
    for options, expected in cases:
        core = memory(3, d_model=24, **options)
        assert core.d_feedforward == expected
        assert (expected, 24) in {tuple(parameter.shape) for parameter in core.parameters()}


def test_sizes_may_be_numpys() -> None:
    sizes: dict[str, Any] = dict(d_model=np.int64(8), xl_memory=np.int64(4))
    assert RecurrentTransformerMemory(3, **sizes).n_rows == 36
