"""What tokens see of one another."""

from __future__ import annotations

import torch as th
import torch.nn.functional as F

from memory_agents.nn import HIDDEN


class TokenView:
    """
    Which rows of [XL memory | segment], R = X + S in all, queries see, and how far back these are. The token at
    position p of its segment lies in row X + p.

    :param hidden: whether a row must not be seen, (batch or 1, queries, R) bool
    :param distances: how far back each row is, 0 where it is hidden, (batch, queries, R) int64; ``None`` when the
        queries are the tokens of whole segments
    """

    def __init__(self, hidden: th.Tensor, distances: th.Tensor | None = None) -> None:
        self.hidden = hidden
        self.distances = distances

    def bias(self, position_logits: th.Tensor) -> th.Tensor:
        """
        :param position_logits: by distance, and by anything else from R on, (batch, heads, queries, R or more)
        :return: by row, :data:`~memory_agents.nn.HIDDEN` where not to be seen, (batch, heads, queries, R)
        """
        n_rows = self.hidden.shape[2]
        logits = position_logits[..., :n_rows]
        if self.distances is None:
            bias = _by_row(logits)
        else:
            bias = logits.gather(3, self.distances[:, None].expand(-1, logits.shape[1], -1, -1))
        return bias.masked_fill(self.hidden[:, None], HIDDEN)


def _by_row(logits: th.Tensor) -> th.Tensor:
    """
    From distances to rows for the tokens of whole segments, without a gather, whose gradient is slow.

    :param logits: by distance, (..., S, R)
    :return: by row, (..., S, R), entry (p, X + j) being ``logits[p, p - j]``; the rest is for the mask to hide
    """
    length, n_rows = logits.shape[-2:]
    # Laid out with a filling of S, the rows of the table are R + S long; read as if they were one shorter, each begins
    # one place further to the right than the one before.
    padded = F.pad(logits.flip(-1), (0, length)).flatten(-2)
    shifted = padded[..., : length * (n_rows + length - 1)].reshape(*logits.shape[:-1], n_rows + length - 1)
    return shifted[..., length - 1 :]
