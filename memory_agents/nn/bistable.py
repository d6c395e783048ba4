"""Recurrent cells whose neurons can each latch onto one of two stable states."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch as th
import torch.nn.functional as F
from torch import nn


class BistableCell(nn.Module, ABC):
    """
    What both cells of Vecoven et al. (2020, arXiv 2006.05252) share::

        a = 1 + tanh(U_a x + w_a(h) + b_a),  c = sigma(U_c x + w_c(h) + b_c)
        h' = c * h + (1 - c) * tanh(U x + a * h)

    A neuron without input has one stable state, zero, where a <= 1, and two, of either sign, where a > 1: it then keeps
    a bit for as long as a stays there, and the input that moves a erases it. Feedback a is between 0 and 2.

    As in the authors' code the input weights U start as Glorot's uniform and the biases at zero, so that an untrained
    neuron at rest stands on the border, a = 1.

    :param input_dim: width of the inputs
    :param hidden_size: number of neurons
    """

    def __init__(self, input_dim: int, hidden_size: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.hidden_size = hidden_size
        #: U_a, U_c and U below one another
        self.input_weight = nn.Parameter(th.empty(3 * hidden_size, input_dim))
        #: b_a and b_c
        self.bias = nn.Parameter(th.zeros(2 * hidden_size))
        with th.no_grad():
            for start in range(0, 3 * hidden_size, hidden_size):
                nn.init.xavier_uniform_(self.input_weight[start : start + hidden_size])

    @abstractmethod
    def gates(self, from_input: th.Tensor, h: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param from_input: U_a x + b_a beside U_c x + b_c, (batch, 2 * hidden_size)
        :param h: the state, (batch, hidden_size)
        :return: the same with w_a(h) and w_c(h) added, apart, (batch, hidden_size) each
        """

    def project(self, x: th.Tensor) -> th.Tensor:
        """
        The part of a step that needs no state, so that it can be done for all steps at once.

        :param x: inputs, (..., input_dim)
        :return: U_a x + b_a beside U_c x + b_c beside U x, (..., 3 * hidden_size)
        """
        # A product may be in another format where autocast says so, but what is remembered stays exact.
        return F.linear(x, self.input_weight, F.pad(self.bias, (0, self.hidden_size))).to(x.dtype)

    def forward(self, projected: th.Tensor, h: th.Tensor) -> th.Tensor:
        """
        :param projected: what :meth:`project` made of the input of this step, (batch, 3 * hidden_size)
        :param h: the state before the step, (batch, hidden_size)
        :return: the state after it, (batch, hidden_size)
        """
        to_gates, to_state = th.split(projected, [2 * self.hidden_size, self.hidden_size], dim=1)
        a, c = self.gates(to_gates, h)
        candidate = th.tanh(th.addcmul(to_state, 1 + th.tanh(a), h))
        return th.lerp(candidate, h, th.sigmoid(c))


class BRCCell(BistableCell):
    """
    Bistable recurrent cell (Vecoven et al. 2020, arXiv 2006.05252): w_a and w_c are vectors, so that a neuron knows of
    the others only through the layers around it. They start at 1, as in the authors' code.

    :param input_dim: width of the inputs
    :param hidden_size: number of neurons
    """

    def __init__(self, input_dim: int, hidden_size: int) -> None:
        super().__init__(input_dim, hidden_size)
        #: w_a and w_c
        self.state_weight = nn.Parameter(th.ones(2, hidden_size))

    def gates(self, from_input: th.Tensor, h: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        to_a, to_c = from_input.chunk(2, dim=1)
        return th.addcmul(to_a, self.state_weight[0], h), th.addcmul(to_c, self.state_weight[1], h)


class NBRCCell(BistableCell):
    """
    Recurrently neuromodulated bistable cell (Vecoven et al. 2020, arXiv 2006.05252): w_a and w_c are matrices, so that
    every neuron decides on the memory of the others. They start orthogonal.

    :param input_dim: width of the inputs
    :param hidden_size: number of neurons
    """

    def __init__(self, input_dim: int, hidden_size: int) -> None:
        super().__init__(input_dim, hidden_size)
        #: w_a and w_c below one another
        self.state_weight = nn.Parameter(th.empty(2 * hidden_size, hidden_size))
        with th.no_grad():
            nn.init.orthogonal_(self.state_weight[:hidden_size])
            nn.init.orthogonal_(self.state_weight[hidden_size:])

    def gates(self, from_input: th.Tensor, h: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        to_a, to_c = th.addmm(from_input, h, self.state_weight.T).to(h.dtype).chunk(2, dim=1)
        return to_a, to_c
