"""A bistable cell as the gate that joins a submodule's output to the residual stream."""

from __future__ import annotations

import torch as th
from torch import nn

from memory_agents.nn.bistable import NBRCCell
from memory_agents.nn.gates import bias_parameter, gate_registry


@gate_registry.register("nbrc")
class NBRCGate(nn.Module):
    """
    Recurrently neuromodulated bistable cell (Vecoven et al. 2020, arXiv 2006.05252) over depth instead of time: the
    residual stream x is its state, the submodule output y its input, and one step of it the gate::

        a = 1 + tanh(U_a y + w_a x + b_a),  c = sigma(U_c y + w_c x + b_c)
        g(x, y) = c * x + (1 - c) * tanh(U y + a * x)

    U_c and w_c start at zero, so that at first every part of the residual stream is carried on by the same sigma(b_c).
    All other weights start as in the cell.

    :param d_model: width of both inputs
    :param bias: initial value of b_c, None for 1
    """

    def __init__(self, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        self.cell = NBRCCell(d_model, d_model)
        with th.no_grad():
            self.cell.bias[d_model:] = bias_parameter(d_model, bias, 1.0)
            self.cell.input_weight[d_model : 2 * d_model] = 0.0
            self.cell.state_weight[d_model:] = 0.0

    def forward(self, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: the gated sum, (..., d_model)
        """
        d_model = x.shape[-1]
        gated: th.Tensor = self.cell(self.cell.project(y.reshape(-1, d_model)), x.reshape(-1, d_model))
        return gated.view(x.shape)
