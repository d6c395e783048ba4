"""The MLP of a transformer block: a hidden layer, plain or gated, between two projections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch as th
from torch import nn

from memory_agents.nn.arguments import check_integers
from memory_agents.nn.dropout import dropout_layer
from memory_agents.nn.registry import Registry

#: Entries are called as ``entry(d_model, d_feedforward, dropout)`` and map (..., d_model) to (..., d_model).
feedforward_registry: Registry[Callable[[int, int, float], nn.Module]] = Registry("feed-forward network")


class FeedForward(nn.Module):
    """
    ``activation(x W_1 + b_1) W_2 + b_2`` (Vaswani et al. 2017, arXiv 1706.03762, equation 2, with a rectifier).

    :param d_model: width of inputs and outputs
    :param d_feedforward: width of the hidden layer
    :param dropout: probability with which a hidden unit is dropped in training
    :param activation: class of the hidden layer's activation
    :raises ValueError: when ``d_feedforward`` or ``dropout`` is out of range
    """

    def __init__(
        self, d_model: int, d_feedforward: int, dropout: float = 0.0, *, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        check_integers(d_feedforward=d_feedforward)
        self.hidden = nn.Linear(d_model, d_feedforward)
        self.activation = activation()
        self.dropout = dropout_layer(dropout)
        self.output = nn.Linear(d_feedforward, d_model)
        # Once both are made: the order of the random draws is part of what a seed stands for.
        for linear in (self.hidden, self.output):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """
        :param x: (..., d_model)
        :return: (..., d_model)
        """
        outputs: th.Tensor = self.output(self.dropout(self.activation(self.hidden(x))))
        return outputs


class GatedFeedForward(nn.Module):
    """
    ``(activation(x W + b) * (x V + c)) W_2 + b_2`` (Shazeer 2020, arXiv 2002.05202, equations 5 and 6, and with biases,
    which they leave out).

    ``d_feedforward`` is the width of the hidden layer, which three matrices share where :class:`FeedForward` has two.
    Nothing is scaled unasked: for about as many parameters as there, take two thirds of the width, as the paper does.

    :param d_model: width of inputs and outputs
    :param d_feedforward: width of the hidden layer, that of either factor
    :param dropout: probability with which a hidden unit, the product, is dropped in training
    :param activation: class of the first factor's activation
    :raises ValueError: when ``d_feedforward`` or ``dropout`` is out of range
    """

    def __init__(self, d_model: int, d_feedforward: int, dropout: float = 0.0, *, activation: type[nn.Module]) -> None:
        super().__init__()
        check_integers(d_feedforward=d_feedforward)
        #: W beside V
        self.hidden = nn.Linear(d_model, 2 * d_feedforward)
        self.activation = activation()
        self.dropout = dropout_layer(dropout)
        self.output = nn.Linear(d_feedforward, d_model)
        for weight in (*self.hidden.weight.chunk(2), self.output.weight):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """
        :param x: (..., d_model)
        :return: (..., d_model)
        """
        gate, value = self.hidden(x).chunk(2, dim=-1)
        outputs: th.Tensor = self.output(self.dropout(self.activation(gate) * value))
        return outputs


for _name, _activation in {"relu": nn.ReLU, "gelu": nn.GELU}.items():
    feedforward_registry.register(_name)(partial(FeedForward, activation=_activation))

for _name, _activation in {
    "glu": nn.Sigmoid,
    "bilinear": nn.Identity,
    "reglu": nn.ReLU,
    "geglu": nn.GELU,
    "swiglu": nn.SiLU,
}.items():
    feedforward_registry.register(_name)(partial(GatedFeedForward, activation=_activation))
