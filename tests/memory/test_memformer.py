"""Memformer: its numbers, its slots, its arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.memory import MemformerMemory
from memory_agents.nn import SlotBlock, SlotReading, gate_registry
from tests.memory.reference import Seen as SeenToken
from tests.memory.reference import attend
from tests.memory.segments import assert_gradients_reach_every_parameter, episodes, heads, jolted, learn, mix
from tests.memory.strategies import memformer_kwargs, run_steps

SMALL: dict[str, Any] = dict(n_slots=3, segment_length=4, n_heads=2, d_model=8)


def read(reading: SlotReading, token: th.Tensor, slots: list[th.Tensor]) -> th.Tensor:
    """What one token reads, head by head."""
    n, d_model = reading.n_heads, len(token)
    w_key, w_value = reading.key_value.weight[:d_model], reading.key_value.weight[d_model:]
    query = heads(reading.query.weight @ reading.norm(token), n)
    normed = [reading.slot_norm(slot) for slot in slots]
    keys, values = [heads(w_key @ s, n) for s in normed], [heads(w_value @ s, n) for s in normed]
    mixed = [mix(query[h], [(k[h], v[h]) for k, v in zip(keys, values, strict=True)]) for h in range(n)]
    return reading.output.weight @ th.cat(mixed)


def write(core: MemformerMemory, slots: list[th.Tensor], tokens: list[th.Tensor]) -> list[th.Tensor]:
    """Each slot attends to itself and the tokens, and forgets."""
    writing, n, d_model = core.writing, core.n_heads, core.output_dim
    after = []
    for slot, forgetting in zip(slots, writing.forgetting_vectors, strict=True):
        normed = writing.slot_norm(slot)
        query, own_key, own_value = writing.query(normed), writing.key(normed), slot
        seen = [(own_key, own_value)]
        for token in tokens:
            normed = writing.token_norm(token)
            seen.append((writing.key(normed), writing.value(normed) / d_model**0.5))
        mixed = th.cat(
            [
                mix(heads(query, n)[h], [(heads(k, n)[h], heads(v, n)[h]) for k, v in seen], writing.temperature)
                for h in range(n)
            ]
        )
        if writing.forgetting:
            mixed = mixed + forgetting
        after.append(mixed / mixed.norm())
    return after


def reference_episode(core: MemformerMemory, inputs: th.Tensor) -> th.Tensor:
    """One episode, token by token, (steps, input_dim) to (steps, d_model)."""
    slots = [v / v.norm() for v in core.writing.forgetting_vectors]
    segments: list[list[list[th.Tensor]]] = []  # inputs of each layer for the tokens of each segment
    outputs: list[th.Tensor] = []
    for e in range(len(inputs)):
        number, place = divmod(e, core.segment_length)
        if place == 0:
            if number:
                slots = write(core, slots, outputs[-core.segment_length :])
            segments.append([[] for _ in core.blocks])
        hidden = core.input(inputs[e])
        for layer, block in enumerate(core.blocks):
            assert isinstance(block, SlotBlock)
            segments[-1][layer].append(hidden)
            before = segments[-2][layer] if number else []
            before = before[len(before) - core.xl_memory :]
            tokens = before + segments[-1][layer]
            visible = [SeenToken(len(tokens) - 1 - i, 0, token) for i, token in enumerate(tokens)]
            hidden = block.attention_gate(hidden, F.relu(attend(block, hidden, 0, visible, len(visible))[0]))
            hidden = block.reading_gate(hidden, F.relu(read(block.reading, hidden, slots)))
            hidden = block.feedforward_gate(hidden, F.relu(block.feedforward(block.feedforward_norm(hidden))))
        outputs.append(hidden)
    return th.stack(outputs)


@settings(max_examples=15)
@given(kwargs=memformer_kwargs(longest=4, every=True), seed=st.integers(0, 2**16), steps=st.integers(1, 12))
def test_step_and_unroll_equal_the_reference(kwargs: dict[str, Any], seed: int, steps: int) -> None:
    th.manual_seed(seed)
    core: MemformerMemory = jolted(MemformerMemory(3, **kwargs))
    x, starts = th.randn(1, steps, 3, dtype=th.double), th.rand(1, steps) < 0.1
    with th.no_grad():
        expected = th.cat([reference_episode(core, episode) for episode in episodes(x[0], starts[0])])[None]
        acted, _ = run_steps(core, x, core.initial_state(1), starts)
        learned = learn(core, x, starts)
    th.testing.assert_close(acted, expected, atol=1e-9, rtol=1e-9)
    th.testing.assert_close(learned, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("gating", list(gate_registry))
def test_slots_are_read_through_the_gate_of_the_other_submodules(gating: str) -> None:
    block = MemformerMemory(3, **SMALL, gating=gating).blocks[0]
    assert isinstance(block, SlotBlock)
    assert type(block.reading_gate) is type(block.attention_gate)


def test_gradients_reach_every_parameter() -> None:
    assert_gradients_reach_every_parameter(MemformerMemory(3, **SMALL), 10)


def test_gradients_of_a_segment_equal_the_references() -> None:
    th.manual_seed(0)
    core: MemformerMemory = jolted(MemformerMemory(3, **SMALL))
    x, starts = th.randn(1, 11, 3, dtype=th.double), th.tensor([[True] + 10 * [False]])
    weights = th.randn(11, 8, dtype=th.double)
    gradients = [
        th.autograd.grad((weights * y).sum(), list(core.parameters()))
        for y in (learn(core, x, starts)[0], reference_episode(core, x[0]))
    ]
    for gradient, expected in zip(*gradients, strict=True):
        th.testing.assert_close(gradient, expected, atol=1e-9, rtol=1e-7)


def test_slots_are_on_the_sphere_and_carry_what_no_token_sees_any_more() -> None:
    core = MemformerMemory(3, **SMALL)
    x = th.randn(1, 13, 3, requires_grad=True)
    y, state = core.unroll(x, core.initial_state(1), th.zeros(1, 13, dtype=th.bool))
    th.testing.assert_close(state.memory.norm(dim=-1), th.ones(1, 3))
    y[0, -1].sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert (x.grad[0].abs().sum(1) > 0).all()  # steps 0 to 11 are known through slots only


def test_untouched_slots_without_forgetting_stay_what_they_are() -> None:
    core = MemformerMemory(3, **SMALL, forgetting=False)
    with th.no_grad():
        core.writing.key.weight.copy_(20 * core.writing.query.weight)  # of all keys a slot's own is the nearest
        core.writing.token_norm.weight.zero_()
    _, state = core.unroll(th.randn(1, 13, 3), core.initial_state(1), th.zeros(1, 13, dtype=th.bool))
    th.testing.assert_close(state.memory[0], core.initial_memory())


OPTIONS = {
    "n_slots": 5,
    "segment_length": 6,
    "xl_memory": 2,
    "temperature": 1.0,
    "forgetting": False,
    "forgetting_scale": 0.5,
    "n_layers": 3,
    "n_heads": 4,
    "d_model": 16,
    "d_feedforward": 12,
    "gating": "highway",
    "gate_bias": 0.5,
    "positions": "learned",
    "feedforward": "gelu",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_changes_the_computation(option: str) -> None:
    outputs = []
    for kwargs in (SMALL, {**SMALL, option: OPTIONS[option]}):
        th.manual_seed(1)
        core = MemformerMemory(3, **kwargs)
        x = th.randn(1, 30, 3, generator=th.Generator().manual_seed(2))
        outputs.append(learn(core, x, th.zeros(1, 30, dtype=th.bool)))
    assert outputs[0].shape != outputs[1].shape or not th.equal(*outputs)


def test_bptt_depth_and_memory_replay_change_what_they_should() -> None:
    def gradients(**kwargs: Any) -> tuple[th.Tensor, th.Tensor]:
        th.manual_seed(1)
        core = MemformerMemory(3, **SMALL, **kwargs).double()
        x = th.randn(1, 12, 3, dtype=th.double, requires_grad=True)
        learn(core, x, th.tensor([[True] + 11 * [False]]))[0, -1].sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        assert core.writing.value.weight.grad is not None
        return x.grad[0].abs().sum(1), core.writing.value.weight.grad

    reach, gradient = gradients()
    assert (reach > 0).all()
    assert (gradients(bptt_depth=1)[0] > 0).tolist() == [False] * 8 + [True] * 4
    assert (gradients(bptt_depth=2)[0] > 0).tolist() == [False] * 8 + [True] * 4
    assert (gradients(bptt_depth=3)[0] > 0).all()
    replayed_reach, replayed_gradient = gradients(memory_replay=True)
    th.testing.assert_close(replayed_reach, reach, atol=1e-12, rtol=1e-9)
    th.testing.assert_close(replayed_gradient, gradient, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(n_slots=0), r"n_slots must be a positive integer, got 0"),
        (dict(segment_length=2.5), r"segment_length must be a positive integer, got 2\.5"),
        (dict(xl_memory=33), r"xl_memory must be an integer from 0 to segment_length=32, got 33"),
        (dict(temperature=0.0), r"temperature must be a positive number, got 0\.0"),
        (dict(temperature=float("nan")), r"temperature must be a positive number, got nan"),
        (dict(forgetting_scale=-1.0), r"forgetting_scale must be a positive number, got -1\.0"),
        (dict(forgetting=1), r"forgetting must be True or False, got 1"),
        (dict(memory_replay=None), r"memory_replay must be True or False, got None"),
        (dict(bptt_depth=0), r"bptt_depth must be a positive integer, got 0"),
        (dict(n_heads=3), r"d_model=64 must be a multiple of n_heads=3; use d_model=63"),
        (dict(positions="rotary"), r"positions='rotary' turns .* use one of 'sinusoidal', 'learned'"),
        (dict(gating="guess"), r"unknown gate 'guess'; known: "),
    ],
)
def test_bad_arguments_name_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemformerMemory(3, **kwargs)


def test_every_gate_has_the_bias_that_is_given() -> None:
    core = MemformerMemory(3, n_slots=2, segment_length=4, n_heads=2, d_model=8, gate_bias=0.7)
    biases = [parameter for name, parameter in core.named_parameters() if name.endswith("gate.bias")]
    # Of reading, of attention and of the MLP, in two layers.
    assert len(biases) == 3 * 2
    assert all(bias.eq(0.7).all() for bias in biases)
