"""The compressive memory: its numbers, its reach, its arguments."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from memory_agents.memory import CompressiveMemory, tree_leaves, tree_map
from memory_agents.memory.compressive import MemoryShape
from memory_agents.nn import Compression, compression_registry, feedforward_registry, gate_registry
from memory_agents.nn.compression import neighbours
from tests.memory import reference
from tests.memory.strategies import compressive_kwargs, run_steps

SMALL: dict[str, Any] = dict(memory_length=6, compressed_length=4, compression_rate=2, d_model=8, n_heads=2)
LOSSY: dict[str, Any] = dict(**SMALL, compression_loss="autoencoding", compression_gradient="both")


@given(kwargs=compressive_kwargs(every=True), seed=st.integers(0, 2**16), steps=st.integers(1, 24))
def test_step_and_unroll_equal_the_reference(kwargs: dict[str, Any], seed: int, steps: int) -> None:
    th.manual_seed(seed)
    core = CompressiveMemory(3, **kwargs).eval().double()  # so that only mistakes make a difference
    for parameter in core.parameters():  # biases that start at zero must count, too
        parameter.data.add_(0.1 * th.randn_like(parameter))
    x, starts = th.randn(1, steps, 3).double(), th.rand(1, steps) < 0.1
    with th.no_grad():
        expected = reference.run(core, x[0], starts[0])[None]
        acted, _ = run_steps(core, x, core.initial_state(1), starts)
        learned, _ = core.unroll(x, core.initial_state(1), starts)
    th.testing.assert_close(acted, expected, atol=1e-9, rtol=1e-9)
    th.testing.assert_close(learned, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("compression", ["convolution", "dilated", "max"])
def test_turned_keys_of_slots_have_the_times_of_what_they_stand_for(compression: str) -> None:
    kwargs: dict[str, Any] = {**SMALL, "memory_length": 9, "compressed_length": 7, "compression_rate": 3}
    th.manual_seed(0)
    core = CompressiveMemory(3, **kwargs, block_length=9, compression=compression, positions="rotary").double()
    x, starts = th.randn(1, 50, 3).double(), th.zeros(1, 50, dtype=th.bool)
    with th.no_grad():
        expected = reference.run(core, x[0], starts[0])[None]
    th.testing.assert_close(core.unroll_outputs(x, core.initial_state(1), starts), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("part", ["blocks", "compressions", "compression_losses"])
def test_modules_can_be_replaced(part: str) -> None:
    core, x, starts = CompressiveMemory(3, **LOSSY), th.randn(2, 30, 3), th.zeros(2, 30, dtype=th.bool)

    def found() -> tuple[th.Tensor, th.Tensor]:
        y, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
        assert loss is not None
        return y, loss

    before = found()
    modules = getattr(core, part)
    modules[0] = deepcopy(modules[0])
    assert all(map(th.equal, found(), before))
    for parameter in modules[0].parameters():
        parameter.data.add_(0.1)
    assert not all(map(th.equal, found(), before))
    outputs, loss = found()
    (outputs.sum() + loss).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in modules[0].parameters())


def influence(core: CompressiveMemory, steps: int) -> list[bool]:
    """Whether the input of each step reaches the last output."""
    x = th.randn(1, steps, core.input_dim, requires_grad=True)
    y, _ = core.unroll(x, core.initial_state(1), th.zeros(1, steps, dtype=th.bool))
    y[0, -1].sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return (x.grad[0].abs().sum(1) > 0).tolist()


def test_one_layer_reaches_recent_memory_and_slots_and_no_further() -> None:
    core = CompressiveMemory(2, memory_length=6, compressed_length=4, compression_rate=2, n_layers=1, d_model=8)
    # Token 20 sees tokens 14 to 20 and the four slots of tokens 6 to 13; tokens 0 to 5 are forgotten.
    assert influence(core, 21) == [False] * 6 + [True] * 15
    # Token 21 comes after block 7 (tokens 14, 15) has left: 16 to 21, and slots of 8 to 15.
    assert influence(core, 22) == [False] * 8 + [True] * 14


def test_without_slots_and_with_blocks_of_one_it_is_transformer_xl() -> None:
    core = CompressiveMemory(2, memory_length=5, compressed_length=0, n_layers=1, d_model=8)
    assert influence(core, 20) == [False] * 14 + [True] * 6


def test_gradients_reach_every_parameter() -> None:
    core = CompressiveMemory(3, **SMALL)
    y, _ = core.unroll(th.randn(2, 20, 3), core.initial_state(2), th.zeros(2, 20, dtype=th.bool))
    y.square().sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in core.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(recurrence_delay=2),
        dict(positions="learned", norm="post"),
        dict(compression="dilated", block_length=4),
        dict(compression="mean", gating="highway", memory_length=[0, 6], compressed_length=[0, 4]),
    ],
    ids=str,
)
def test_gradients_equal_the_references(options: dict[str, Any]) -> None:
    """Those of everything that can be learned, and of the inputs, by one episode computed token by token."""
    th.manual_seed(0)
    core = CompressiveMemory(3, **{**SMALL, **options}).double()
    for parameter in core.parameters():
        parameter.data.add_(0.1 * th.randn_like(parameter))
    x, starts, weights = th.randn(1, 24, 3).double(), th.zeros(1, 24, dtype=th.bool), th.randn(24, 8).double()
    learned = [x.requires_grad_(), *core.parameters()]
    outputs = core.unroll_outputs(x, core.initial_state(1), starts)[0], reference.run_episode(core, x[0])
    found, expected = (th.autograd.grad((weights * y).sum(), learned, materialize_grads=True) for y in outputs)
    assert expected[0].any()
    for one, other in zip(found, expected, strict=True):
        th.testing.assert_close(one, other, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("delay", [None, 2])
def test_old_state_gets_no_gradient_but_its_projections_do(delay: int | None) -> None:
    core = CompressiveMemory(3, **SMALL, recurrence_delay=delay)
    _, state = core.unroll(th.randn(1, 20, 3), core.initial_state(1), th.zeros(1, 20, dtype=th.bool))
    layers = tree_map(lambda leaf: leaf.clone().requires_grad_(), state.layers)
    y, after = core.unroll(th.randn(1, 5, 3), state._replace(layers=layers), th.zeros(1, 5, dtype=th.bool))
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert all(leaf.grad is None for leaf in tree_leaves(layers))
    assert not any(leaf.requires_grad for leaf in tree_leaves(after))


OPTIONS: dict[str, Any] = {
    "memory_length": [8, [0, 6], [6, 8]],
    "compressed_length": [6, [0, 4]],
    "compression_rate": [4],
    "block_length": [4],
    "n_layers": [3],
    "n_heads": [4],
    "d_model": [16],
    "d_feedforward": [12],
    "gate_bias": [0.5],
    "gating": [name for name in gate_registry if name != "gru"],
    "norm": ["post"],
    "positions": ["learned", "rotary"],
    "feedforward": [name for name in feedforward_registry if name != "relu"],
    "d_head": [3],
    "dropout": [0.2],
    "mogrifier_rounds": [1, 2],
    "recurrence_delay": [1, 3],
    "final_norm": [True],
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option in OPTIONS for value in OPTIONS[option]])
def test_every_option_changes_the_computation(option: str, value: Any) -> None:
    """Same seed and same inputs; where the same weights are drawn, only the option is left to make a difference."""
    outputs = []
    for kwargs in (SMALL, {**SMALL, "compressed_length": 0 if value == [0, 6] else 4, option: value}):
        th.manual_seed(1)
        core = CompressiveMemory(3, **kwargs)
        for parameter in core.parameters():  # mogrifiers start as the identity
            parameter.data.add_(0.1)
        x = th.randn(1, 30, 3, generator=th.Generator().manual_seed(2))
        outputs.append(core.unroll(x, core.initial_state(1), th.zeros(1, 30, dtype=th.bool))[0])
    assert outputs[0].shape != outputs[1].shape or not th.equal(*outputs)


def test_dropout_is_for_training() -> None:
    core = CompressiveMemory(3, **SMALL, dropout=0.5)
    x, starts = th.randn(2, 30, 3), th.zeros(2, 30, dtype=th.bool)
    assert not th.equal(*(core.unroll_outputs(x, core.initial_state(2), starts) for _ in range(2)))
    core.eval()
    learned = core.unroll_outputs(x, core.initial_state(2), starts)
    th.manual_seed(0)
    without = CompressiveMemory(3, **SMALL).eval()
    without.load_state_dict(core.state_dict())
    assert th.equal(learned, without.unroll_outputs(x, core.initial_state(2), starts))


def test_a_layer_without_memory_hears_only_the_present() -> None:
    core = CompressiveMemory(2, memory_length=[0, 3], compressed_length=0, d_model=8)
    assert influence(core, 20) == [False] * 16 + [True] * 4
    core = CompressiveMemory(2, memory_length=0, compressed_length=0, d_model=8)
    assert influence(core, 20) == [False] * 19 + [True]


def test_layers_reach_as_far_as_their_own_lengths() -> None:
    core = CompressiveMemory(2, memory_length=[2, 5], compressed_length=0, d_model=8)
    assert influence(core, 20) == [False] * 12 + [True] * 8


def test_enhanced_recurrence_reaches_beyond_the_layers() -> None:
    lengths: dict[str, Any] = dict(memory_length=5, compressed_length=0, n_layers=1, d_model=8)
    assert influence(CompressiveMemory(2, **lengths), 20) == [False] * 14 + [True] * 6
    # The output of five steps ago has heard that of ten steps ago, and so on: all but the nearest four come through it.
    assert influence(CompressiveMemory(2, **lengths, recurrence_delay=5), 20) == [True] * 20


def test_compression_is_looked_up_by_name() -> None:
    class Sum(th.nn.Module):
        def __init__(self, d_model: int, rate: int) -> None:
            super().__init__()
            self.rate = rate

        def forward(self, block: th.Tensor) -> th.Tensor:
            groups = block.reshape(*block.shape[:-2], -1, self.rate, block.shape[-1])
            return groups.sum(-2)

    compression_registry.register("sum-of-this-test")(Sum)
    core = CompressiveMemory(3, **SMALL, compression="sum-of-this-test")
    x, starts = th.randn(1, 20, 3), th.zeros(1, 20, dtype=th.bool)
    acted, _ = run_steps(core, x, core.initial_state(1), starts)
    learned, _ = core.unroll(x, core.initial_state(1), starts)
    th.testing.assert_close(acted, learned)
    assert isinstance(core.compressions[0], Sum)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(memory_length=-1), r"memory_length must be an integer of at least 0, got -1"),
        (dict(memory_length=0), r"compressed_length=64 has no recent memory .* use memory_length=4 or more there, or"),
        (dict(memory_length=[64]), r"memory_length=\[64\] holds 1 numbers for n_layers=2; give one for each layer"),
        (dict(memory_length=[64, 64, 64]), r"memory_length=\[64, 64, 64\] holds 3 numbers for n_layers=2"),
        (dict(memory_length=[64, "a"]), r"memory_length must be an integer of at least 0, got 'a'"),
        (dict(recurrence_delay=0), r"recurrence_delay must be a positive integer, got 0"),
        (dict(recurrence_delay=62), r"recurrence_delay=62 must not exceed 61 .* use recurrence_delay=61"),
        (dict(d_head=0), r"d_head must be a positive integer, got 0"),
        (dict(d_head=5, positions="rotary"), r"d_head=5 is odd; use d_head=6"),
        (dict(gating="guess"), r"unknown gate 'guess'; known: 'none', "),
        (dict(gating="none", gate_bias=1.0), r"gate_bias"),
        (dict(norm="middle"), r"norm must be one of 'pre', 'post', got 'middle'"),
        (dict(positions="guess"), r"unknown kind of positions 'guess'"),
        (dict(feedforward="guess"), r"unknown feed-forward network 'guess'"),
        (dict(dropout=1.0), r"dropout is 1\.0; give a probability, at least 0 and below 1"),
        (dict(mogrifier_rounds=-1), r"mogrifier_rounds must be an integer of at least 0, got -1"),
        (dict(compressed_length=-1), r"compressed_length must be an integer of at least 0, got -1"),
        (dict(compression_rate=2.5), r"compression_rate must be a positive integer, got 2\.5"),
        (dict(block_length=6), r"block_length=6 must be a multiple of compression_rate=4; use block_length=4"),
        (dict(memory_length=3, block_length=2), r"block_length=2 must be .* use block_length=4 and memory_length=4"),
        (dict(memory_length=2), r"block_length=4 must not exceed memory_length=2: .* use memory_length=4"),
        (
            dict(compressed_length=1, block_length=8),
            r"compressed_length=1 cannot hold the 2 slots .* use compressed_length=2",
        ),
        (dict(n_heads=3), r"d_model=64 must be a multiple of n_heads=3; use d_model=63"),
        (dict(n_layers=0), r"n_layers must be a positive integer, got 0"),
        (dict(compression="guess"), r"unknown compression function 'guess'; known: 'convolution'"),
    ],
)
def test_bad_arguments_name_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompressiveMemory(3, **kwargs)


def test_blocks_leave_at_the_step_that_the_definition_says() -> None:
    shape = MemoryShape(memory_length=7, compressed_length=4, compression_rate=2, block_length=4)
    tokens = th.arange(40)
    leaving = [m for m in range(40) if m >= 7 and (m - 7) % 4 == 0]
    assert shape.block_leaves(tokens).nonzero().flatten().tolist() == leaving
    assert shape.blocks_left(tokens).tolist() == [sum(step < e for step in leaving) for e in range(40)]


def test_golden_outputs() -> None:
    """Numbers of a fixed initialisation, so that a change of the computation cannot pass unseen."""
    th.manual_seed(0)
    core = CompressiveMemory(2, **SMALL)
    for index, parameter in enumerate(core.parameters()):
        values = th.linspace(-1, 1, parameter.numel()).add(0.1 * index).sin() / 2
        parameter.data.copy_(values.view_as(parameter))
    x = th.linspace(-1, 1, 60).view(1, 30, 2)
    y, _ = core.unroll(x, core.initial_state(1), th.zeros(1, 30, dtype=th.bool))
    th.testing.assert_close(y[0, -1], GOLDEN, atol=1e-5, rtol=1e-5)


GOLDEN = th.tensor([0.950475, 0.936409, 0.919062, 0.867205, 0.750466, 0.716782, 0.760538, 0.805673])


def test_lengths_of_layers_are_of_any_kind_of_sequence() -> None:
    for lengths in ([4, 6], (4, 6), range(4, 8, 2), np.array([4, 6])):
        core = CompressiveMemory(3, **{**SMALL, "memory_length": lengths, "compressed_length": np.int64(4)})
        assert [shape.memory_length for shape in core.shapes] == [4, 6]
    one: Any = np.array(6)
    assert CompressiveMemory(3, **{**SMALL, "memory_length": one}).shapes[1].memory_length == 6


def test_usage_is_counted_and_not_learned_from() -> None:
    met = []

    class Listening(Compression):
        needs_usage = True

        def forward(self, block: th.Tensor, usage: th.Tensor | None = None) -> th.Tensor:
            assert usage is not None
            met.append(usage.requires_grad)
            return neighbours(block, self.rate).mean(-2)

    core = CompressiveMemory(3, **SMALL)
    core.compressions = nn.ModuleList(Listening(8, 2) for _ in range(2))
    core.unroll_outputs(th.randn(2, 20, 3), core.initial_state(2), th.zeros(2, 20, dtype=th.bool))
    assert met
    assert not any(met)
