"""Block-Recurrent Transformer: its numbers, its states, its arguments."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch as th
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.memory import BlockRecurrentMemory
from memory_agents.nn import GatedBlock, RecurrentBlock, RecurrentStates
from tests.memory.reference import Seen as SeenToken
from tests.memory.reference import attend, run_block
from tests.memory.segments import Seen, assert_gradients_reach_every_parameter, episodes, heads, jolted, learn, mix
from tests.memory.strategies import block_recurrent_kwargs, run_steps

SMALL: dict[str, Any] = dict(n_states=3, segment_length=4, n_heads=2, d_model=8)


def normed_states(side: RecurrentStates, states: list[th.Tensor]) -> list[th.Tensor]:
    return [side.norm(state) + name for state, name in zip(states, side.state_ids, strict=True)]


def keys_and_values(weight: th.Tensor, normed: list[th.Tensor], n_heads: int) -> list[Seen]:
    """Per head what can be seen."""
    w_key, w_value = weight.chunk(2)
    keys, values = ([heads(w @ x, n_heads) for x in normed] for w in (w_key, w_value))
    return [[(k[h], v[h]) for k, v in zip(keys, values, strict=True)] for h in range(n_heads)]


def read(block: RecurrentBlock, token: th.Tensor, states: list[th.Tensor]) -> th.Tensor:
    """What one token reads in the states."""
    side = block.states
    query = heads(side.reading_query(block.attention_norm(token)), side.n_heads)
    seen = keys_and_values(side.key_value.weight, normed_states(side, states), side.n_heads)
    mixed = [mix(query[h], seen[h]) for h in range(side.n_heads)]
    return side.reading_output.weight @ th.cat(mixed)


def move_on(block: RecurrentBlock, states: list[th.Tensor], tokens: list[th.Tensor]) -> list[th.Tensor]:
    """The states after a block; the gates themselves are tested elsewhere."""
    side = block.states
    normed = normed_states(side, states)
    of_states = keys_and_values(side.key_value.weight, normed, side.n_heads)
    of_tokens = keys_and_values(
        block.attention.key_value.weight, [block.attention_norm(token) for token in tokens], side.n_heads
    )
    after = []
    for state, name in zip(states, normed, strict=True):
        to_states, to_tokens = (heads(linear(name), side.n_heads) for linear in (side.state_query, side.token_query))
        h = th.cat(
            [mix(q, seen) for q, seen in zip(to_states, of_states, strict=True)]
            + [mix(q, seen) for q, seen in zip(to_tokens, of_tokens, strict=True)]
        )
        if side.single:
            state = side.gate(state, F.relu(side.hidden_layer(h)))
        else:
            state = side.gate(state, h)
            if side.dual:
                state = side.hidden_gate(state, F.relu(side.hidden_layer(side.hidden_norm(state))))
        after.append(state)
    return after


def reference_episode(core: BlockRecurrentMemory, inputs: th.Tensor) -> th.Tensor:
    """One episode, token by token, (steps, input_dim) to (steps, d_model)."""
    s = core.segment_length
    recurrent = core.blocks[core.recurrent_layer]
    assert isinstance(recurrent, RecurrentBlock)
    states = list(core.initial_memory())
    tokens: list[list[th.Tensor]] = [[] for _ in core.blocks]
    outputs: list[th.Tensor] = []
    for e in range(len(inputs)):
        if e and e % s == 0:
            states = move_on(recurrent, states, tokens[core.recurrent_layer][-2 * s :])
        hidden = core.input(inputs[e])
        for layer, block in enumerate(core.blocks):
            assert isinstance(block, GatedBlock)
            tokens[layer].append(hidden)
            oldest = max(0, e - s)
            visible = [SeenToken(e - j, 0, tokens[layer][j]) for j in range(oldest, e + 1)]
            attended, _ = attend(block, hidden, 0, visible, len(visible))
            if isinstance(block, RecurrentBlock):
                attended = attended + read(block, hidden, states)
            hidden = run_block(block, hidden, attended)
        outputs.append(hidden)
    return th.stack(outputs)


@settings(max_examples=15)
@given(kwargs=block_recurrent_kwargs(longest=4, every=True), seed=st.integers(0, 2**16), steps=st.integers(1, 12))
def test_step_and_unroll_equal_the_reference(kwargs: dict[str, Any], seed: int, steps: int) -> None:
    th.manual_seed(seed)
    core: BlockRecurrentMemory = jolted(BlockRecurrentMemory(3, **kwargs))
    x, starts = th.randn(1, steps, 3, dtype=th.double), th.rand(1, steps) < 0.1
    with th.no_grad():
        expected = th.cat([reference_episode(core, episode) for episode in episodes(x[0], starts[0])])[None]
        acted, _ = run_steps(core, x, core.initial_state(1), starts)
        learned = learn(core, x, starts)
    th.testing.assert_close(acted, expected, atol=1e-9, rtol=1e-9)
    th.testing.assert_close(learned, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("configuration", ["skip", "single", "dual"])
@pytest.mark.parametrize("state_gate", ["fixed", "lstm"])
def test_gradients_reach_every_parameter(state_gate: str, configuration: str) -> None:
    core = BlockRecurrentMemory(3, **SMALL, state_gate=state_gate, configuration=configuration)
    assert_gradients_reach_every_parameter(core, 10)


def test_gradients_through_blocks_equal_the_references() -> None:
    th.manual_seed(0)
    core: BlockRecurrentMemory = jolted(BlockRecurrentMemory(3, **SMALL))
    x, starts = th.randn(1, 11, 3, dtype=th.double), th.tensor([[True] + 10 * [False]])
    weights = th.randn(11, 8, dtype=th.double)
    gradients = [
        th.autograd.grad((weights * y).sum(), list(core.parameters()))
        for y in (learn(core, x, starts)[0], reference_episode(core, x[0]))
    ]
    for gradient, expected in zip(*gradients, strict=True):
        th.testing.assert_close(gradient, expected, atol=1e-9, rtol=1e-7)


def influence(core: BlockRecurrentMemory, steps: int) -> list[bool]:
    """Whether the input of each step reaches the last output."""
    x = th.randn(1, steps, core.input_dim, requires_grad=True)
    learn(core, x, th.zeros(1, steps, dtype=th.bool))[0, -1].sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return (x.grad[0].abs().sum(1) > 0).tolist()


def test_states_carry_what_the_sliding_window_does_not_see() -> None:
    core = BlockRecurrentMemory(3, **{**SMALL, "n_layers": 1})
    assert influence(core, 15) == [True] * 15
    block = core.blocks[0]
    assert isinstance(block, RecurrentBlock)
    with th.no_grad():
        block.states.reading_output.weight.zero_()
    assert influence(core, 15) == [False] * 10 + [True] * 5  # step 14 and the four before


def test_a_closed_gate_keeps_the_states() -> None:
    core = BlockRecurrentMemory(3, **SMALL, state_gate_bias=-50.0)
    _, state = core.unroll(th.randn(1, 13, 3), core.initial_state(1), th.zeros(1, 13, dtype=th.bool))
    th.testing.assert_close(state.memory[0], core.initial_memory())


def test_the_recurrent_layer_is_the_last_but_one_unless_said_otherwise() -> None:
    for n_layers, asked, expected in ((1, None, 0), (2, None, 0), (4, None, 2), (4, 3, 3)):
        core = BlockRecurrentMemory(3, **SMALL, n_layers=n_layers, recurrent_layer=asked)
        assert [isinstance(block, RecurrentBlock) for block in core.blocks] == [i == expected for i in range(n_layers)]


OPTIONS = {
    "n_states": 5,
    "segment_length": 6,
    "recurrent_layer": 1,
    "state_gate": "lstm",
    "state_gate_bias": -1.0,
    "configuration": "dual",
    "learned_initial_memory": False,
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
        core = BlockRecurrentMemory(3, **kwargs)
        x = th.randn(1, 30, 3, generator=th.Generator().manual_seed(2))
        outputs.append(learn(core, x, th.zeros(1, 30, dtype=th.bool)))
    assert outputs[0].shape != outputs[1].shape or not th.equal(*outputs)


def test_bptt_depth_and_memory_replay_change_what_they_should() -> None:
    def gradients(**kwargs: Any) -> tuple[th.Tensor, th.Tensor]:
        th.manual_seed(1)
        core = BlockRecurrentMemory(3, **SMALL, **kwargs).double()
        x = th.randn(1, 12, 3, dtype=th.double, requires_grad=True)
        learn(core, x, th.tensor([[True] + 11 * [False]]))[0, -1].sum().backward()  # type: ignore[no-untyped-call]
        block = core.blocks[0]
        assert isinstance(block, RecurrentBlock)
        assert x.grad is not None
        assert block.attention.key_value.weight.grad is not None
        return x.grad[0].abs().sum(1), block.attention.key_value.weight.grad

    reach, gradient = gradients()
    assert (reach > 0).all()
    assert (gradients(bptt_depth=1)[0] > 0).tolist() == [False] * 8 + [True] * 4
    assert (gradients(bptt_depth=3)[0] > 0).all()
    replayed_reach, replayed_gradient = gradients(memory_replay=True)
    th.testing.assert_close(replayed_reach, reach, atol=1e-12, rtol=1e-9)
    th.testing.assert_close(replayed_gradient, gradient, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(n_states=0), r"n_states must be a positive integer, got 0"),
        (dict(segment_length=0), r"segment_length must be a positive integer, got 0"),
        (dict(recurrent_layer=2), r"recurrent_layer must be an integer from 0 to 1, as n_layers=2; got 2"),
        (dict(recurrent_layer=True), r"recurrent_layer must be an integer from 0 to 1, as n_layers=2; got True"),
        (dict(state_gate="guess"), r"unknown state gate 'guess'; known: 'fixed', 'lstm'"),
        (dict(state_gate_bias=float("inf")), r"state_gate_bias is inf; give a finite number, or None .* 0"),
        (dict(configuration="none"), r"unknown configuration 'none'; known: 'skip', 'single', 'dual'"),
        (dict(learned_initial_memory=None), r"learned_initial_memory must be True or False, got None"),
        (dict(n_heads=3), r"d_model=64 must be a multiple of n_heads=3; use d_model=63"),
        (dict(positions="rotary"), r"positions='rotary' turns .* use one of 'sinusoidal', 'learned'"),
    ],
)
def test_bad_arguments_name_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlockRecurrentMemory(3, **kwargs)


@pytest.mark.parametrize("layer", [1.0, True, "1", 2])
def test_the_recurrent_layer_is_one_of_them(layer: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"must be an integer from 0 to 1, as n_layers=2; got {layer!r}")):
        BlockRecurrentMemory(3, recurrent_layer=layer)
