"""Two vectors that modulate each other before a gate joins them."""

from __future__ import annotations

import torch as th
from torch import nn

from memory_agents.nn.arguments import is_integer


def modulation(d_model: int, rank: int | None) -> nn.Module:
    """
    :param d_model: width of inputs and outputs
    :param rank: of the matrix, None for full rank
    :return: a matrix, or the product of two, that starts at zero and can learn from there
    """
    last = nn.Linear(d_model if rank is None else rank, d_model, bias=False)
    nn.init.zeros_(last.weight)
    return last if rank is None else nn.Sequential(nn.Linear(d_model, rank, bias=False), last)


class Mogrifier(nn.Module):
    """
    Mogrification (Melis et al. 2020, arXiv 1909.01792, section 2) of what a gate joins: the submodule output y stands
    for the paper's input, the residual stream x for its state. In turn, for i = 1 .. rounds::

        y <- 2 sigma(Q_i x) * y    when i is odd
        x <- 2 sigma(R_i y) * x    when i is even

    Each round has a matrix of its own; with a ``rank`` it is the product of two. All start at zero, so that an
    untrained mogrifier passes both unchanged.

    :param d_model: width of both
    :param rounds: how often one modulates the other, y being the first to be modulated
    :param rank: of every matrix, below ``d_model``; None for full rank
    :raises ValueError: when ``rounds`` or ``rank`` is out of range
    """

    def __init__(self, d_model: int, rounds: int = 5, rank: int | None = None) -> None:
        super().__init__()
        if not is_integer(rounds) or rounds < 1:
            raise ValueError(f"rounds is {rounds!r}; give an integer of at least 1, or use no mogrifier")
        if rank is not None and not (is_integer(rank) and 1 <= rank < d_model):
            raise ValueError(f"rank is {rank!r}; give 1 to {d_model - 1}, less than d_model, or None for full rank")
        self.modulations = nn.ModuleList(modulation(d_model, rank) for _ in range(rounds))

    def forward(self, x: th.Tensor, y: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param x: residual stream, (..., d_model)
        :param y: submodule output, (..., d_model)
        :return: both modulated, in the same order
        """
        modulator, modulated = x, y
        for matrix in self.modulations:
            modulator, modulated = 2 * th.sigmoid(matrix(modulator)) * modulated, modulator
        return (modulated, modulator) if len(self.modulations) % 2 else (modulator, modulated)
