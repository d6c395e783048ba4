"""One layer of a recurrent network: a step for acting, whole sequences for learning."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.memory.rounding import ROW_MULTIPLE
from memory_agents.nn.gpu_kernels import single_precision
from memory_agents.nn.mixed_precision import exact

#: State of one layer: its outputs of the step before first, (batch, hidden_size) each.
LayerState = tuple[th.Tensor, ...]


class RecurrentLayer(nn.Module, ABC):
    """
    A layer whose output is the first part of its state.

    :param input_dim: width of the inputs
    :param hidden_size: width of the state and of the outputs
    """

    def __init__(self, input_dim: int, hidden_size: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.hidden_size = hidden_size
        #: Sequences run beside one another in multiples of this.
        self.row_multiple = ROW_MULTIPLE

    @abstractmethod
    def step(self, x: th.Tensor, state: LayerState) -> LayerState:
        """
        :param x: inputs, (batch, input_dim)
        :param state: the state before the step
        :return: the state after it
        """

    @abstractmethod
    def sequence(self, x: th.Tensor, state: LayerState) -> th.Tensor:
        """
        :param x: inputs of one episode each, (length, columns, input_dim)
        :param state: the states before them
        :return: outputs, (length, columns, hidden_size)
        """

    def final_state(self, x: th.Tensor, y: th.Tensor, state: LayerState, episode_starts: th.Tensor) -> LayerState:
        """
        :param x: inputs of windows, (batch, T, input_dim)
        :param y: what they gave, (batch, T, hidden_size)
        :param state: the state before the windows
        :param episode_starts: whether an episode starts at a step, (batch, T) bool
        :return: the state after the windows
        """
        return (y[:, -1],)


class LSTMLayer(RecurrentLayer):
    """
    Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)::

        i = sigma(W_i x + U_i h + b_i),  f = sigma(W_f x + U_f h + b_f),  o = sigma(W_o x + U_o h + b_o)
        g = tanh(W_g x + U_g h + b_g),   c' = f * c + i * g,              h' = o * tanh(c')

    b_f starts at 1 (Jozefowicz et al. 2015): with b_f = 0 the cell, and the gradient through it, would halve at every
    step of an untrained network, and nothing could teach the gate to stay open.

    :param input_dim: width of the inputs
    :param hidden_size: width of the state and of the outputs
    """

    def __init__(self, input_dim: int, hidden_size: int) -> None:
        super().__init__(input_dim, hidden_size)
        self.kernel = nn.LSTM(input_dim, hidden_size)
        initialise(self.kernel)
        with th.no_grad():
            _weights(self.kernel)[2][hidden_size : 2 * hidden_size] = 1.0

    def step(self, x: th.Tensor, state: LayerState) -> LayerState:
        return th.lstm_cell(x, state, *_weights(self.kernel))

    def sequence(self, x: th.Tensor, state: LayerState) -> th.Tensor:
        hidden, cell = state
        with single_precision(x.device):
            outputs: th.Tensor = self.kernel(x.to(hidden.dtype), (hidden[None], cell[None]))[0]
        return outputs

    def final_state(self, x: th.Tensor, y: th.Tensor, state: LayerState, episode_starts: th.Tensor) -> LayerState:
        # The kernel tells the cell only at the end of a sequence, where shorter segments have run on. But the gates
        # follow from the outputs, and with them known c' = f c + i g is a sum over products of forget gates.
        hidden, cell = state
        x, y, starts = x.to(cell.dtype), y.to(cell.dtype), episode_starts[:, :, None]
        w_x, w_h, b_x, b_h = _weights(self.kernel)
        before = th.cat([hidden[:, None], y[:, :-1]], dim=1).masked_fill(starts, 0)
        # Products of hundreds of gates: whatever format autocast asks for, they need all digits.
        with exact(x.device):
            i, f, g, _ = (F.linear(x, w_x, b_x) + F.linear(before, w_h, b_h)).chunk(4, dim=-1)
        forget = th.sigmoid(f).masked_fill(starts, 0)
        kept = th.cat([forget, th.ones_like(forget[:, :1])], dim=1).flip(1).cumprod(1).flip(1)
        written = th.sigmoid(i) * th.tanh(g)
        return y[:, -1], kept[:, 0] * cell + (kept[:, 1:] * written).sum(1)


class GRULayer(RecurrentLayer):
    """
    Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), in the variant that resets after the matrix product::

        r = sigma(W_r x + U_r h + b_r),  z = sigma(W_z x + U_z h + b_z)
        n = tanh(W_n x + b_n + r * (U_n h + d_n)),  h' = (1 - z) * n + z * h

    :param input_dim: width of the inputs
    :param hidden_size: width of the state and of the outputs
    """

    def __init__(self, input_dim: int, hidden_size: int) -> None:
        super().__init__(input_dim, hidden_size)
        self.kernel = nn.GRU(input_dim, hidden_size)
        initialise(self.kernel)

    def step(self, x: th.Tensor, state: LayerState) -> LayerState:
        return (th.gru_cell(x, state[0], *_weights(self.kernel)),)

    def sequence(self, x: th.Tensor, state: LayerState) -> th.Tensor:
        with single_precision(x.device):
            outputs: th.Tensor = self.kernel(x.to(state[0].dtype), state[0][None])[0]
        return outputs


def _weights(kernel: nn.RNNBase) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
    w_x, w_h, b_x, b_h = kernel.parameters()
    return w_x, w_h, b_x, b_h


def initialise(kernel: nn.RNNBase) -> None:
    """
    Orthogonal recurrent weights (Saxe et al. 2014, arXiv 1312.6120), gate by gate, which neither stretch nor shrink
    what goes round; Glorot's uniform input weights, gate by gate; biases of zero.

    :param kernel: a recurrent module of one layer
    """
    w_x, w_h, *biases = _weights(kernel)
    for start in range(0, len(w_x), kernel.hidden_size):
        nn.init.xavier_uniform_(w_x[start : start + kernel.hidden_size])
        nn.init.orthogonal_(w_h[start : start + kernel.hidden_size])
    for bias in biases:
        nn.init.zeros_(bias)
