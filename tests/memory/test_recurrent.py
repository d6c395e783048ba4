"""Recurrent cells: their numbers, their gradients, their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.memory import GRUMemory, LSTMMemory, NBRCMemory, tree_map
from memory_agents.memory.building import make_memory
from memory_agents.memory.recurrent import RecurrentMemory, layers
from memory_agents.memory.recurrent.bistable import BistableLayer, BRCLayer
from memory_agents.memory.recurrent.layers import GRULayer, LSTMLayer, RecurrentLayer
from memory_agents.memory.recurrent.segments import ROWS_PER_STEP, Segments
from memory_agents.memory.rounding import ROW_MULTIPLE
from tests.memory.strategies import recurrent_kwargs, run_steps

NAMES = ["lstm", "gru", "brc", "nbrc"]
every_cell = pytest.mark.parametrize("name", NAMES)


def make(name: str, kwargs: dict[str, Any]) -> RecurrentMemory[Any]:
    core = make_memory(name, 3, kwargs)
    assert isinstance(core, RecurrentMemory)
    return core


def reference_step(layer: RecurrentLayer, x: th.Tensor, state: tuple[th.Tensor, ...]) -> tuple[th.Tensor, ...]:
    """One layer and one step from the equations; x and the parts of the state are vectors."""
    parameters, h, n = dict(layer.named_parameters()), state[0], len(state[0])
    if isinstance(layer, BistableLayer):
        u_a, u_c, u = parameters["cell.input_weight"].view(3, n, -1)
        b_a, b_c = parameters["cell.bias"].view(2, n)
        w = parameters["cell.state_weight"]
        w_a, w_c = (th.diag(w[0]), th.diag(w[1])) if isinstance(layer, BRCLayer) else (w[:n], w[n:])
        a = 1 + th.tanh(u_a @ x + w_a @ h + b_a)
        c = th.sigmoid(u_c @ x + w_c @ h + b_c)
        return (c * h + (1 - c) * th.tanh(u @ x + a * h),)

    def gate(number: int) -> tuple[th.Tensor, th.Tensor]:
        rows = slice(number * n, (number + 1) * n)
        w_x, w_h, b_x, b_h = (parameters[f"kernel.{part}_l0"][rows] for part in PARTS)
        return w_x @ x + b_x, w_h @ h + b_h

    if isinstance(layer, LSTMLayer):
        i, f, g, o = (th.add(*gate(number)) for number in range(4))
        cell = th.sigmoid(f) * state[1] + th.sigmoid(i) * th.tanh(g)
        return th.sigmoid(o) * th.tanh(cell), cell
    assert isinstance(layer, GRULayer)
    r, z = (th.sigmoid(th.add(*gate(number))) for number in range(2))
    from_x, from_h = gate(2)
    return ((1 - z) * th.tanh(from_x + r * from_h) + z * h,)


PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def reference(
    core: RecurrentMemory[Any], x: th.Tensor, state: Any, episode_starts: th.Tensor
) -> tuple[th.Tensor, list[th.Tensor]]:
    """
    :param x: windows, (batch, T, input_dim)
    :return: outputs (batch, T, hidden_size), and the parts of the state after the windows
    """
    outputs, finals = [], []
    for b in range(len(x)):
        states = [tuple(part[b, number] for part in state) for number in range(len(core.layers))]
        line = []
        for t in range(x.shape[1]):
            if episode_starts[b, t]:
                states = [tuple(th.zeros_like(part) for part in parts) for parts in states]
            y = x[b, t]
            for number, layer in enumerate(core.layers):
                assert isinstance(layer, RecurrentLayer)
                states[number] = reference_step(layer, y, states[number])
                y = states[number][0]
            line.append(y)
        outputs.append(th.stack(line))
        finals.append([th.stack(parts) for parts in zip(*states, strict=True)])
    return th.stack(outputs), [th.stack(parts) for parts in zip(*finals, strict=True)]


@every_cell
@given(kwargs=recurrent_kwargs(1, 5, 8), seed=st.integers(0, 2**16), batch=st.integers(1, 6), steps=st.integers(1, 12))
def test_values_and_gradients_equal_the_reference(
    name: str, kwargs: dict[str, Any], seed: int, batch: int, steps: int
) -> None:
    th.manual_seed(seed)
    core = make(name, kwargs)
    for parameter in core.parameters():  # biases that start at zero must count, too
        parameter.data.add_(0.1 * th.randn_like(parameter))
    state = tree_map(lambda part: th.randn_like(part).requires_grad_(), core.initial_state(batch))
    starts = th.rand(batch, steps) < th.rand(batch, 1)
    x, weights = th.randn(batch, steps, 3, requires_grad=True), th.randn(batch, steps, core.output_dim)
    learned = [x, *core.parameters()]

    expected, parts = reference(core, x, tree_map(th.detach, state), starts)
    expected_gradients = th.autograd.grad((weights * expected).sum(), learned)
    outputs, after = core.unroll(x, state, starts)
    gradients = th.autograd.grad((weights * outputs).sum(), [*learned, *state], allow_unused=True)

    th.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)
    for part, expected_part in zip(after, parts, strict=True):
        assert not part.requires_grad
        th.testing.assert_close(part, expected_part.detach(), atol=1e-5, rtol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=False):
        th.testing.assert_close(gradient, expected_gradient, atol=2e-5, rtol=1e-4)
    assert all(gradient is None for gradient in gradients[len(learned) :])


@pytest.mark.parametrize("name", ["brc", "nbrc"])
@pytest.mark.parametrize("hidden_size", [6, 64])
@pytest.mark.parametrize("batch", [1, 4])
def test_bistable_cells_act_bit_by_bit_as_they_learn(name: str, hidden_size: int, batch: int) -> None:
    core = make(name, dict(hidden_size=hidden_size, n_layers=2))
    x, starts = th.randn(batch, 150, 3), th.rand(batch, 150) < 0.02
    learned, learned_state = core.unroll(x, core.initial_state(batch), starts)
    acted, acted_state = run_steps(core, x, core.initial_state(batch), starts)
    assert th.equal(acted, learned)
    assert th.equal(acted_state.hidden, learned_state.hidden)


@every_cell
def test_gradients_stop_at_episode_starts(name: str) -> None:
    core, x, starts = make(name, {}), th.randn(2, 9, 3, requires_grad=True), th.zeros(2, 9, dtype=th.bool)
    starts[0, 4] = True
    y = core.unroll_outputs(x, core.initial_state(2), starts)
    (gradient,) = th.autograd.grad(y[:, -1].sum(), x)
    reached = gradient.abs().sum(2) > 0
    assert reached[0].tolist() == [False] * 4 + [True] * 5
    assert reached[1].all()


@given(data=st.data(), batch=st.integers(1, 9), steps=st.integers(1, 80))
def test_segments_hold_every_step_once_and_fill_little(data: st.DataObject, batch: int, steps: int) -> None:
    th.manual_seed(data.draw(st.integers(0, 2**16)))
    starts = th.rand(batch, steps) < th.rand(batch, 1) * data.draw(st.sampled_from([0.0, 0.2, 1.0]))
    segments = Segments(starts)
    x = th.arange(batch * steps, dtype=th.float32).view(batch, steps, 1)
    pieces = segments.split(x)
    assert th.equal(segments.join(pieces), x)
    # Every step comes right after the one before it, in the same column.
    before = segments.join([th.cat([th.full_like(piece[:1], -1), piece[:-1]]) for piece in pieces])
    begins = starts.clone()
    begins[:, 0] = True
    assert th.equal(before[..., 0], th.where(begins, -1, x[..., 0] - 1))
    # A state from before the window reaches the entries whose episode goes on, and nothing else.
    state = x[:, 0] + 1
    begun = th.cat([segments.begin(group, state).flatten() for group in segments.groups])
    assert sorted(begun[begun > 0].tolist()) == state[~starts[:, 0]].flatten().tolist()
    assert all(group.tokens.shape[1] % ROW_MULTIPLE == 0 for group in segments.groups)
    longest = max(len(group.tokens) for group in segments.groups)
    assert sum(len(group.tokens) for group in segments.groups) < 3 * longest


def columns(lengths: list[int]) -> list[int]:
    """How many segments of such lengths, each the whole of an episode, run side by side, group by group."""
    starts = th.zeros(1, sum(lengths), dtype=th.bool)
    starts[0, th.tensor([0, *lengths[:-1]]).cumsum(0)] = True
    return [group.tokens.shape[1] for group in Segments(starts, row_multiple=1).groups]


def test_short_segments_join_long_ones_where_running_on_costs_less_than_steps_of_their_own() -> None:
    # A segment of 8 runs on for 32 steps beside one of 40; 8 steps of its own cost as much as 8 * ROWS_PER_STEP rows.
    most = 8 * ROWS_PER_STEP // 32
    for first in (True, False):
        for number, expected in ((most, [1 + most]), (most + 1, [1, most + 1])):
            lengths = [8] * number
            assert columns([40, *lengths] if first else [*lengths, 40]) == expected
    # Of similar lengths any number goes together.
    assert columns([4, 7] * 200) == [400]


@every_cell
@pytest.mark.parametrize("kwargs", [dict(hidden_size=7), dict(n_layers=2)])
def test_every_argument_changes_the_computation(name: str, kwargs: dict[str, Any]) -> None:
    x, starts = th.randn(1, 5, 3), th.zeros(1, 5, dtype=th.bool)
    outputs = []
    for arguments in ({}, kwargs):
        th.manual_seed(0)
        core = make(name, arguments)
        outputs.append(core.unroll_outputs(x, core.initial_state(1), starts))
    assert outputs[0].shape == (1, 5, 64)
    assert outputs[1].shape == (1, 5, kwargs.get("hidden_size", 64))
    assert outputs[0].shape != outputs[1].shape or not th.allclose(outputs[0], outputs[1], atol=1e-3)


@every_cell
@pytest.mark.parametrize("argument", ["hidden_size", "n_layers"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "8"])
def test_sizes_are_checked(name: str, argument: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be a positive integer, got {value!r}"):
        make(name, {argument: value})


def test_recurrent_weights_start_orthogonal_gate_by_gate() -> None:
    for core in (LSTMMemory(3, hidden_size=8), GRUMemory(3, hidden_size=8), NBRCMemory(3, hidden_size=8)):
        parameter = "cell.state_weight" if isinstance(core, NBRCMemory) else "kernel.weight_hh_l0"
        for gate in core.get_parameter(f"layers.0.{parameter}").view(-1, 8, 8):
            th.testing.assert_close(gate @ gate.T, th.eye(8), atol=1e-5, rtol=0)


def test_an_untrained_lstm_keeps_its_cell_and_has_no_other_bias() -> None:
    core = LSTMMemory(3, hidden_size=8)
    bias = core.get_parameter("layers.0.kernel.bias_ih_l0") + core.get_parameter("layers.0.kernel.bias_hh_l0")
    assert bias.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_kernels_are_asked_to(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    core, met = make(name, {}), []

    @contextmanager
    def listening(device: th.device) -> Iterator[None]:
        met.append(device.type)
        yield
        met.append("done")

    monkeypatch.setattr(layers, "single_precision", listening)
    core.unroll(th.randn(2, 5, 3), core.initial_state(2), th.zeros(2, 5, dtype=th.bool))
    assert met == ["cpu", "done"] * (len(met) // 2) != []


def test_the_cell_after_a_window_has_all_digits_whatever_products_have() -> None:
    th.manual_seed(0)
    layer = layers.LSTMLayer(3, 8)
    list(layer.kernel.parameters())[2].data[8:16] = 6.0  # forgets next to nothing, so that differences add up
    x, state, starts = th.randn(2, 200, 3), (th.randn(2, 8), th.randn(2, 8)), th.zeros(2, 200, dtype=th.bool)
    y = layer.sequence(x.transpose(0, 1), state).transpose(0, 1)
    _, exact = layer.final_state(x, y, state, starts)
    with th.autocast("cpu", th.bfloat16):
        _, cell = layer.final_state(x, y, state, starts)
    th.testing.assert_close(cell, exact, atol=1e-5, rtol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_autocast_leaves_kernels_of_a_gpu_alone(name: str) -> None:
    core = make(name, {}).cuda()
    x, starts = th.randn(2, 50, 3, device="cuda"), th.zeros(2, 50, dtype=th.bool, device="cuda")
    exact, _ = core.unroll(x, core.initial_state(2), starts)
    with th.autocast("cuda", th.bfloat16):
        found, _ = core.unroll(x, core.initial_state(2), starts)
    assert found.dtype is th.float32
    th.testing.assert_close(found, exact, atol=1e-2, rtol=1e-2)
