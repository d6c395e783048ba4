"""Gates that join a submodule's output to the residual stream."""

from __future__ import annotations

import torch as th
from torch import nn


class GRUGate(nn.Module):
    """
    Gated-recurrent-unit gating (Parisotto et al. 2019, arXiv 1910.06764, section 3.2)::

        r = sigma(W_r y + U_r x),  z = sigma(W_z y + U_z x - b_g),  h = tanh(W_g y + U_g (r * x))
        g(x, y) = (1 - z) * x + z * h

    A positive ``bias`` keeps z small at the start of training, so that the block begins close to the identity. The
    weights of z start at zero, so that no input opens the gate before training does.

    :param d_model: width of both inputs
    :param bias: initial value of b_g
    """

    def __init__(self, d_model: int, bias: float = 2.0) -> None:
        super().__init__()
        self.from_output = nn.Linear(d_model, 3 * d_model, bias=False)
        self.from_residual = nn.Linear(d_model, 2 * d_model, bias=False)
        self.from_reset = nn.Linear(d_model, d_model, bias=False)
        self.bias = nn.Parameter(th.full((d_model,), float(bias)))
        with th.no_grad():
            for linear in (self.from_output, self.from_residual):
                linear.weight[d_model : 2 * d_model] = 0.0

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: the gated sum, (..., d_model)
        """
        y_r, y_z, y_g = self.from_output(y).chunk(3, dim=-1)
        x_r, x_z = self.from_residual(x).chunk(2, dim=-1)
        r = th.sigmoid(y_r + x_r)
        z = th.sigmoid(y_z + x_z - self.bias)
        h = th.tanh(y_g + self.from_reset(r * x))
        return th.lerp(x, h, z)
