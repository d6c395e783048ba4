"""Gates: their equations, where they start, what their bias does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch as th
from torch import nn

from memory_agents.nn import GRUGate, NBRCGate, gate_registry

WITHOUT_BIAS = ["none", "input"]
DEFAULT_BIAS = {"output": 1.0, "highway": 1.0, "sigtanh": 1.0, "gru": 2.0, "nbrc": 1.0}
NAMES = [*WITHOUT_BIAS, *DEFAULT_BIAS]


def sigma(value: th.Tensor) -> th.Tensor:
    return 1 / (1 + (-value).exp())


# One vector at a time, one matrix at a time. W, U and b are looked up by the names that the gates give them.


def none(p: dict[str, th.Tensor], x: th.Tensor, y: th.Tensor) -> th.Tensor:
    return x + y


def input_(p: dict[str, th.Tensor], x: th.Tensor, y: th.Tensor) -> th.Tensor:
    return sigma(p["from_residual.weight"] @ x) * x + y


def output(p: dict[str, th.Tensor], x: th.Tensor, y: th.Tensor) -> th.Tensor:
    return x + sigma(p["from_residual.weight"] @ x - p["bias"]) * y


def highway(p: dict[str, th.Tensor], x: th.Tensor, y: th.Tensor) -> th.Tensor:
    s = sigma(p["from_residual.weight"] @ x + p["bias"])
    return s * x + (1 - s) * y


def sigtanh(p: dict[str, th.Tensor], x: th.Tensor, y: th.Tensor) -> th.Tensor:
    return x + sigma(p["from_output.weight"] @ y - p["bias"]) * (p["candidate.weight"] @ y).tanh()


def gru(p: dict[str, th.Tensor], x: th.Tensor, y: th.Tensor) -> th.Tensor:
    d = len(x)
    u_r, u_z, u_g = p["gates"][:d, :d], p["gates"][d:, :d], p["candidate"][:, :d]
    w_r, w_z, w_g = p["gates"][:d, d:], p["gates"][d:, d:], p["candidate"][:, d:]
    r = sigma(w_r @ y + u_r @ x)
    z = sigma(w_z @ y + u_z @ x - p["bias"])
    h = (w_g @ y + u_g @ (r * x)).tanh()
    return (1 - z) * x + z * h


def nbrc(p: dict[str, th.Tensor], x: th.Tensor, y: th.Tensor) -> th.Tensor:
    d = len(x)
    u_a, u_c, u = (p["cell.input_weight"][i * d : (i + 1) * d] for i in range(3))
    w_a, w_c = (p["cell.state_weight"][i * d : (i + 1) * d] for i in range(2))
    b_a, b_c = p["cell.bias"][:d], p["cell.bias"][d:]
    a = 1 + (u_a @ y + w_a @ x + b_a).tanh()
    c = sigma(u_c @ y + w_c @ x + b_c)
    return c * x + (1 - c) * (u @ y + a * x).tanh()


EQUATIONS: dict[str, Callable[[dict[str, th.Tensor], th.Tensor, th.Tensor], th.Tensor]] = {
    "none": none,
    "input": input_,
    "output": output,
    "highway": highway,
    "sigtanh": sigtanh,
    "gru": gru,
    "nbrc": nbrc,
}


def trained(gate: nn.Module) -> nn.Module:
    """The gate with every parameter drawn anew, so that none keeps a value that hides its part."""
    with th.no_grad():
        for parameter in gate.parameters():
            parameter.normal_()
    return gate


def from_identity(name: str, bias: float | None, y_scale: float) -> float:
    """How far an untrained gate moves the residual stream, relative to its norm."""
    th.manual_seed(0)
    x, y = th.randn(256, 64), y_scale * th.randn(256, 64)
    with th.no_grad():
        moved = gate_registry[name](64, bias)(x, y) - x
    return float(moved.norm() / x.norm())


def test_every_gate_of_the_papers_is_there() -> None:
    assert set(NAMES) <= set(gate_registry)
    with pytest.raises(ValueError, match="unknown gate 'door'; known: 'none', "):
        gate_registry["door"]


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_is_its_equation(name: str) -> None:
    gate = trained(gate_registry[name](5, None))
    parameters = {key: value.detach() for key, value in gate.named_parameters()}
    x, y = th.randn(4, 5), th.randn(4, 5)
    expected = th.stack([EQUATIONS[name](parameters, x[i], y[i]) for i in range(4)])
    th.testing.assert_close(gate(x, y), expected)


@pytest.mark.parametrize("name", NAMES)
def test_leading_dimensions_are_a_batch(name: str) -> None:
    gate = trained(gate_registry[name](5, None))
    x, y = th.randn(2, 3, 4, 5), th.randn(2, 3, 4, 5)
    gated = gate(x, y)
    th.testing.assert_close(gated, gate(x.view(24, 5), y.view(24, 5)).view(2, 3, 4, 5))
    th.testing.assert_close(gated[1, 2, 3], gate(x[1, 2, 3], y[1, 2, 3]))
    # Slices of other tensors, as a window of an episode is, do not lie in memory one after the other.
    th.testing.assert_close(gate(x.transpose(0, 2), y.transpose(0, 2)), gated.transpose(0, 2))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter_and_both_inputs_from_the_start(name: str) -> None:
    gate = gate_registry[name](6, None)
    x, y = th.randn(3, 7, 6, requires_grad=True), th.randn(3, 7, 6, requires_grad=True)
    gate(x, y).square().sum().backward()
    for key, value in [*gate.named_parameters(), ("x", x), ("y", y)]:
        assert value.grad is not None, key
        assert (value.grad != 0).all(), key


@pytest.mark.parametrize("name", DEFAULT_BIAS)
def test_the_bias_is_where_a_gate_starts_and_none_its_default(name: str) -> None:
    def b(bias: float | None) -> th.Tensor:
        gate = gate_registry[name](6, bias)
        cell_bias = dict(gate.named_parameters()).get("cell.bias")
        return gate.get_parameter("bias") if cell_bias is None else cell_bias[6:]

    assert b(None).eq(DEFAULT_BIAS[name]).all()
    assert b(-0.5).eq(-0.5).all()
    assert b(0).eq(0.0).all()


@pytest.mark.parametrize("name", DEFAULT_BIAS)
def test_the_larger_the_bias_the_closer_to_the_identity(name: str) -> None:
    moved = [from_identity(name, bias, y_scale=1.0) for bias in (-2.0, 0.0, 1.0, 2.0, 4.0, 30.0)]
    assert all(larger > 1.2 * smaller for larger, smaller in itertools.pairwise(moved))
    assert moved[-1] < 1e-6


@pytest.mark.parametrize("bias", [2.0, 1.0, 0.0])
def test_how_far_from_the_identity_each_gate_starts_without_an_output(bias: float) -> None:
    closed = 1 / (1 + math.exp(bias))
    assert from_identity("output", bias, 0.0) == 0.0
    assert from_identity("sigtanh", bias, 0.0) == 0.0
    assert from_identity("highway", bias, 0.0) == pytest.approx(closed, rel=1e-5)
    # The candidate of a GRU gate has little to do with x at first, that of an nBRC is close to tanh(x).
    assert from_identity("gru", bias, 0.0) < 1.1 * closed
    assert from_identity("nbrc", bias, 0.0) < closed


def test_what_a_bias_does_not_decide() -> None:
    assert from_identity("none", None, 0.0) == 0.0
    assert from_identity("input", None, 0.0) == pytest.approx(0.5)


def test_a_gru_gate_starts_near_the_identity_at_its_default() -> None:
    assert from_identity("gru", None, 0.0) == from_identity("gru", 2.0, 0.0) < 0.15


@pytest.mark.parametrize("name", DEFAULT_BIAS)
def test_no_input_opens_an_untrained_gate(name: str) -> None:
    """With all candidates alike, how much of each comes in is one number."""
    gate = gate_registry[name](6, 0.7)
    opened = 1 / (1 + math.exp(0.7))
    x, y = 3 * th.randn(50, 6), 3 * th.randn(50, 6)
    with th.no_grad():
        if isinstance(gate, GRUGate):
            gate.candidate.zero_()
        elif isinstance(gate, NBRCGate):
            # a = 0 and no input: the candidate is tanh(0).
            gate.cell.bias[:6] = -20.0
            gate.cell.input_weight[12:] = 0.0
            gate.cell.state_weight[:6] = 0.0
            gate.cell.input_weight[:6] = 0.0
        candidate = {"output": x + y, "highway": y, "gru": 0 * x, "nbrc": 0 * x}.get(name)
        if candidate is None:
            candidate = x + th.tanh(y @ gate.get_parameter("candidate.weight").T)
        th.testing.assert_close(gate(x, y), x + opened * (candidate - x))


@pytest.mark.parametrize("name", WITHOUT_BIAS)
def test_a_gate_without_a_bias_refuses_one(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"gate_bias is 2.0, but the gate '{name}' has no bias; leave gate_bias at None"
    ):
        gate_registry[name](6, 2.0)


@pytest.mark.parametrize("name", DEFAULT_BIAS)
@pytest.mark.parametrize("bias", [math.inf, math.nan])
def test_a_bias_is_finite(name: str, bias: float) -> None:
    with pytest.raises(ValueError, match=f"gate_bias is {bias}; give a finite number, or None"):
        gate_registry[name](6, bias)


def test_the_gru_gate_draws_what_it_always_drew() -> None:
    """Published results depend on the order and number of random draws, and on the arithmetic."""
    th.manual_seed(3)
    gate = GRUGate(4, 2.0)
    after = th.rand(1)
    th.manual_seed(3)
    w, u, u_g = (nn.Linear(4, width, bias=False).weight for width in (12, 8, 4))
    assert th.equal(after, th.rand(1))
    assert th.equal(gate.gates[:4], th.cat([u[:4], w[:4]], dim=1))
    assert th.equal(gate.gates[4:], th.zeros(4, 8))
    assert th.equal(gate.candidate, th.cat([u_g, w[8:]], dim=1))
    assert th.equal(gate.bias, th.full((4,), 2.0))
    assert set(gate.state_dict()) == {"gates", "candidate", "bias"}
