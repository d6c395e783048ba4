"""What tokens see of one another."""

from __future__ import annotations

import torch as th

from memory_agents.nn import HIDDEN, relative_shift


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
            # Token p sees row X + p at distance 0: shifted by p, and by the S - 1 columns that no row has.
            bias = relative_shift(logits.flip(-1))[..., self.hidden.shape[1] - 1 :]
        else:
            bias = logits.gather(3, self.distances[:, None].expand(-1, logits.shape[1], -1, -1))
        return bias.masked_fill(self.hidden[:, None], HIDDEN)
