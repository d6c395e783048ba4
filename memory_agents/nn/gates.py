"""Gates that join a submodule's output to the residual stream."""

from __future__ import annotations

from collections.abc import Callable

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.nn.arguments import initial_bias
from memory_agents.nn.mixed_precision import lerp
from memory_agents.nn.registry import Registry

#: Called as ``gate(x, y)``: residual stream and submodule output, (..., d_model) each, to the new residual stream.
Gate = nn.Module

#: Entries are called as ``entry(d_model, bias)``, where a bias of None stands for the gate's own default. In all of
#: those below the weights inside the sigmoid that opens the gate start at zero, so that how open an untrained gate is
#: depends on its bias alone and on no input.
gate_registry: Registry[Callable[[int, float | None], Gate]] = Registry("gate")


def bias_parameter(d_model: int, bias: float | None, default: float) -> nn.Parameter:
    """
    :param d_model: number of elements
    :param bias: initial value of each, None for the default
    :param default: what None stands for
    :return: a trainable vector, (d_model,)
    :raises ValueError: when the bias is not a finite number
    """
    return nn.Parameter(th.full((d_model,), initial_bias("gate_bias", bias, default)))


def refuse_bias(gate: str, bias: float | None) -> None:
    """
    :param gate: name of a gate without a bias
    :param bias: what was given
    :raises ValueError: when that is not None
    """
    if bias is not None:
        raise ValueError(f"gate_bias is {bias!r}, but the gate {gate!r} has no bias; leave gate_bias at None")


def closed_projection(d_model: int) -> nn.Linear:
    """A matrix that starts at zero, for inside the sigmoid of a gate."""
    linear = nn.Linear(d_model, d_model, bias=False)
    nn.init.zeros_(linear.weight)
    return linear


@gate_registry.register("none")
class ResidualSum(nn.Module):
    """
    No gate: ``g(x, y) = x + y``. With layer norm on the submodules' inputs this is TrXL-I of Parisotto et al. 2019
    (arXiv 1910.06764, section 3.1).

    :param d_model: width of both inputs, of no consequence here
    :param bias: None
    :raises ValueError: when given a bias
    """

    def __init__(self, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        refuse_bias("none", bias)

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: their sum, (..., d_model)
        """
        return x + y


@gate_registry.register("input")
class InputGate(nn.Module):
    """
    Input gating (Parisotto et al. 2019, arXiv 1910.06764, section 3.2)::

        g(x, y) = sigma(W x) * x + y

    It has no bias, and no weights would make it the identity: as W starts at zero, it halves the residual stream at
    first.

    :param d_model: width of both inputs
    :param bias: None
    :raises ValueError: when given a bias
    """

    def __init__(self, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        refuse_bias("input", bias)
        self.from_residual = closed_projection(d_model)

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: the gated sum, (..., d_model)
        """
        return th.addcmul(y, th.sigmoid(self.from_residual(x)), x)


@gate_registry.register("output")
class OutputGate(nn.Module):
    """
    Output gating (Parisotto et al. 2019, arXiv 1910.06764, section 3.2)::

        g(x, y) = x + sigma(W x - b_g) * y

    W starts at zero, so that at first every output is let in by the same sigma(-b_g).

    :param d_model: width of both inputs
    :param bias: initial value of b_g, None for 1
    """

    def __init__(self, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        self.from_residual = closed_projection(d_model)
        self.bias = bias_parameter(d_model, bias, 1.0)

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: the gated sum, (..., d_model)
        """
        return th.addcmul(x, th.sigmoid(self.from_residual(x) - self.bias), y)


@gate_registry.register("highway")
class HighwayGate(nn.Module):
    """
    Highway connection (Parisotto et al. 2019, arXiv 1910.06764, section 3.2)::

        s = sigma(W x + b_g),  g(x, y) = s * x + (1 - s) * y

    W starts at zero, so that at first every part of the residual stream is carried on by the same sigma(b_g).

    :param d_model: width of both inputs
    :param bias: initial value of b_g, None for 1
    """

    def __init__(self, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        self.from_residual = closed_projection(d_model)
        self.bias = bias_parameter(d_model, bias, 1.0)

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: the gated sum, (..., d_model)
        """
        return lerp(y, x, th.sigmoid(self.from_residual(x) + self.bias))


@gate_registry.register("sigtanh")
class SigTanhGate(nn.Module):
    """
    Sigmoid-tanh gating (Parisotto et al. 2019, arXiv 1910.06764, section 3.2)::

        g(x, y) = x + sigma(W y - b_g) * tanh(U y)

    W starts at zero, so that at first every output is let in by the same sigma(-b_g).

    :param d_model: width of both inputs
    :param bias: initial value of b_g, None for 1
    """

    def __init__(self, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        self.from_output = closed_projection(d_model)
        self.candidate = nn.Linear(d_model, d_model, bias=False)
        self.bias = bias_parameter(d_model, bias, 1.0)

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: the gated sum, (..., d_model)
        """
        return th.addcmul(x, th.sigmoid(self.from_output(y) - self.bias), th.tanh(self.candidate(y)))


@gate_registry.register("gru")
class GRUGate(nn.Module):
    """
    Gated-recurrent-unit gating (Parisotto et al. 2019, arXiv 1910.06764, section 3.2)::

        r = sigma(W_r y + U_r x),  z = sigma(W_z y + U_z x - b_g),  h = tanh(W_g y + U_g (r * x))
        g(x, y) = (1 - z) * x + z * h

    A positive ``bias`` keeps z small at the start of training, so that the block begins close to the identity. The
    weights of z start at zero, so that no input opens the gate before training does. Matrices that are multiplied at
    once lie side by side.

    :param d_model: width of both inputs
    :param bias: initial value of b_g, None for 2
    """

    def __init__(self, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        # Each drawn as if it stood alone. The order of the draws is part of what a seed stands for.
        (w_r, _, w_g), (u_r, _), (u_g,) = (
            nn.Linear(d_model, count * d_model, bias=False).weight.detach().chunk(count) for count in (3, 2, 1)
        )
        #: [[U_r, W_r], [U_z, W_z]]
        self.gates = nn.Parameter(th.cat([th.cat([u_r, w_r], dim=1), th.zeros(d_model, 2 * d_model)]))
        #: [U_g, W_g]
        self.candidate = nn.Parameter(th.cat([u_g, w_g], dim=1))
        self.bias = bias_parameter(d_model, bias, 2.0)

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: the gated sum, (..., d_model)
        """
        r, z = F.linear(th.cat([x, y], dim=-1), self.gates).chunk(2, dim=-1)
        reset = th.sigmoid(r) * x
        h = th.tanh(F.linear(th.cat([reset, y], dim=-1), self.candidate))
        return lerp(x, h, th.sigmoid(z - self.bias))
