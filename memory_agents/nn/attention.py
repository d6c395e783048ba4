"""Multi-head attention with relative positions, keys of memories projected once and cached."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.nn.reading import HIDDEN, read
from memory_agents.nn.registry import Registry
from memory_agents.nn.window_attention import Band, attend_window


class RelativeAttention(nn.Module, ABC):
    """
    Multi-head attention whose logits depend on content and on relative positions, 0 being the query itself. Queries,
    keys and positions are kept apart, so that keys of a memory are projected once and cached.

    Derived classes say how positions enter: as a term of the logits, looked up by relative position, or by turning
    queries and keys according to their times.

    :param d_model: width of inputs and outputs
    :param n_heads: number of heads
    :param n_positions: number of relative positions
    :param d_head: width of a head (default: ``d_model / n_heads``)
    :param dropout: probability with which training drops an attention weight
    :raises ValueError: when the heads cannot have this width
    """

    #: Whether :meth:`keys_and_values` and :meth:`queries` need to know times.
    needs_times = False

    def __init__(
        self, d_model: int, n_heads: int, n_positions: int, *, d_head: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.d_head = head_width(d_model, n_heads, d_head)
        self.dropout = dropout
        width = n_heads * self.d_head
        self.query = nn.Linear(d_model, width, bias=False)
        self.key_value = nn.Linear(d_model, 2 * width, bias=False)
        self._build_positions(d_model, n_positions)
        self.output = nn.Linear(width, d_model, bias=False)
        # PyTorch's default makes keys and values so small that memories are hardly heard through the gates at first.
        for weight in (self.query.weight, *self.key_value.weight.chunk(2), *self._position_weights()):
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(self.output.weight)

    @abstractmethod
    def _build_positions(self, d_model: int, n_positions: int) -> None:
        """Make what the positions need."""

    def _position_weights(self) -> tuple[th.Tensor, ...]:
        """Matrices of theirs that are initialised as all others."""
        return ()

    def _heads(self, x: th.Tensor) -> th.Tensor:
        """(batch, length, heads * d_head) -> (batch, heads, length, d_head); without a length, 1"""
        return x.view(x.shape[0], -1, self.n_heads, self.d_head).transpose(1, 2)

    def keys_and_values(self, x: th.Tensor, times: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        """
        :param x: normalised memories, (batch, keys, d_model), or one for each entry, (batch, d_model)
        :param times: when they were, in steps, (batch, keys); for an attention that ``needs_times``
        :return: keys and values, each (batch, heads, keys, d_head)
        """
        keys, values = self.key_value(x).chunk(2, dim=-1)
        return self._heads(keys), self._heads(values)

    @abstractmethod
    def queries(
        self, x: th.Tensor, times: th.Tensor | None = None, positions: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor | None]:
        """
        :param x: normalised inputs, (batch, queries, d_model), or one for each entry, (batch, d_model)
        :param times: when they are, in steps, (batch, queries); for an attention that ``needs_times``
        :param positions: the relative positions that are asked for, (n,) int64; None for all n_positions of them
        :return: content queries (batch, heads, queries, d_head), and the position part of the logits for each of these
            relative positions, (batch, heads, queries, n), scaled by 1/sqrt(d_head), or None where the content queries
            know of positions
        """

    def _position_logits(self, queries: th.Tensor, table: th.Tensor) -> th.Tensor:
        """
        Products of one table with the queries of the whole batch, scaled by 1 / sqrt(d_head).

        :param queries: (batch, heads, queries, d_head)
        :param table: (heads, d_head, n_positions)
        :return: (batch, heads, queries, n_positions)
        """
        queries = queries * self.d_head**-0.5
        if queries.shape[2] > 1 or th.is_grad_enabled():
            return th.matmul(queries, table)
        # Acting: matmul would copy the table for every entry of the batch. When learning that hardly matters, and rows
        # that are multiplied together round differently as their number changes, which neighbours must not do.
        return th.bmm(queries.squeeze(2).transpose(0, 1), table).transpose(0, 1)[:, :, None]

    def attend(self, queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor) -> th.Tensor:
        """
        :param queries: content queries, (batch, heads, queries, d_head)
        :param keys: (batch, heads, keys, d_head)
        :param values: (batch, heads, keys, d_head)
        :param bias: position logits, :data:`HIDDEN` where a key is hidden, (batch, heads or 1, queries, keys)
        :return: (batch, queries, d_model)
        """
        return self._joined(read(queries, keys, values, bias, self._dropout))

    def attend_once(self, queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor) -> th.Tensor:
        """
        :meth:`attend` with one query for each entry.

        :param queries: content queries, (batch, heads, 1, d_head)
        :param keys: (batch, heads, keys, d_head)
        :param values: (batch, heads, keys, d_head)
        :param bias: position logits, :data:`HIDDEN` where a key is hidden, (batch, heads or 1, 1, keys)
        :return: (batch, d_model)
        """
        outputs: th.Tensor = self.output(read(queries, keys, values, bias, self._dropout).flatten(1))
        return outputs

    def attend_window(
        self,
        queries: th.Tensor,
        position_logits: th.Tensor | None,
        keys: th.Tensor,
        values: th.Tensor,
        band: Band,
    ) -> th.Tensor:
        """
        :meth:`attend` for all steps of a window, of which each sees its recent past and some slots.

        :param queries: content queries, (batch, heads, T, d_head)
        :param position_logits: by relative position, (batch, heads, T, n_positions), None for zeros
        :param keys: of [slots | history], (batch, heads, S + M + T, d_head)
        :param values: likewise
        :param band: who sees whom
        :return: (batch, T, d_model)
        """
        return self._joined(attend_window(queries, position_logits, keys, values, band, self._dropout))

    def _joined(self, mixed: th.Tensor) -> th.Tensor:
        """(batch, heads, queries, d_head) -> (batch, queries, d_model)"""
        outputs: th.Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return outputs

    @property
    def _dropout(self) -> float:
        return self.dropout if self.training else 0.0

    def read_content(self, x: th.Tensor, memories: th.Tensor, seen: th.Tensor) -> th.Tensor:
        """
        Attention by content alone, its parameters constants: gradients flow to the memories and the inputs only.

        :param x: normalised inputs, (batch, queries, d_model)
        :param memories: normalised memories, (batch, keys, d_model)
        :param seen: who sees whom, (batch, queries, keys) bool
        :return: what is read, head beside head, (batch, queries, heads * d_head); where a query sees nothing, a mean of
            everything
        """
        queries = self._heads(F.linear(x, self.query.weight.detach()))
        keys, values = map(self._heads, F.linear(memories, self.key_value.weight.detach()).chunk(2, dim=-1))
        bias = queries.new_zeros(seen.shape).masked_fill_(~seen, HIDDEN)[:, None]
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        return mixed.transpose(1, 2).flatten(2)

    def weights(self, queries: th.Tensor, keys: th.Tensor, bias: th.Tensor) -> th.Tensor:
        """
        Attention weights over these keys alone, without dropout.

        :param queries: content queries, (batch, heads, queries, d_head)
        :param keys: (batch, heads, keys, d_head)
        :param bias: position logits, :data:`HIDDEN` where a key is hidden, (batch, heads or 1, queries, keys)
        :return: means over the heads, (batch, queries, keys)
        """
        logits = th.matmul(queries * self.d_head**-0.5, keys.transpose(-1, -2)) + bias
        return logits.softmax(dim=-1).mean(dim=1)


#: Kinds of relative positions. Entries are called as ``entry(d_model, n_heads, n_positions, d_head=..., dropout=...)``.
position_registry: Registry[type[RelativeAttention]] = Registry("kind of positions")


def head_width(d_model: int, n_heads: int, d_head: int | None) -> int:
    """
    :param d_model: width of the model
    :param n_heads: number of heads
    :param d_head: width of a head, None for ``d_model / n_heads``
    :return: width of a head
    :raises ValueError: when it is not given and ``n_heads`` does not divide ``d_model``
    """
    if d_head is not None:
        return d_head
    if d_model % n_heads:
        nearest = max(n_heads, round(d_model / n_heads) * n_heads)
        raise ValueError(
            f"d_model={d_model} must be a multiple of n_heads={n_heads}; use d_model={nearest}, or give d_head"
        )
    return d_model // n_heads


def sinusoidal_table(n_positions: int, d_model: int) -> th.Tensor:
    """
    Sinusoids of Vaswani et al. 2017 (section 3.5), one row per relative position.

    :param n_positions: number of rows
    :param d_model: width of a row
    :return: (n_positions, d_model)
    """
    frequencies = th.exp(th.arange(0, d_model, 2, dtype=th.float64) * (-math.log(10_000.0) / d_model))
    angles = th.arange(n_positions, dtype=th.float64)[:, None] * frequencies
    return th.cat([angles.sin(), angles.cos()], dim=-1)[:, :d_model].to(th.get_default_dtype())


@position_registry.register("sinusoidal")
class SinusoidalAttention(RelativeAttention):
    """
    Attention of Transformer-XL (Dai et al. 2019, arXiv 1901.02860, section 3.3). The logit of query i on key j at
    relative position p is ``((q_i + u) . k_j + (q_i + v) . W_R R_p) / sqrt(d_head)``, R_p being sinusoids.

    Parameters as of :class:`RelativeAttention`.
    """

    positions: th.Tensor

    def _build_positions(self, d_model: int, n_positions: int) -> None:
        self.position = nn.Linear(d_model, self.n_heads * self.d_head, bias=False)
        self.content_bias = nn.Parameter(th.zeros(self.n_heads, 1, self.d_head))
        self.position_bias = nn.Parameter(th.zeros(self.n_heads, 1, self.d_head))
        self.register_buffer("positions", sinusoidal_table(n_positions, d_model), persistent=False)

    def _position_weights(self) -> tuple[th.Tensor, ...]:
        return (self.position.weight,)

    def queries(
        self, x: th.Tensor, times: th.Tensor | None = None, positions: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor | None]:
        q = self._heads(self.query(x))
        sinusoids = self.positions if positions is None else self.positions[positions]
        table = self.position(sinusoids).view(-1, self.n_heads, self.d_head).permute(1, 2, 0)
        return q + self.content_bias, self._position_logits(q + self.position_bias, table)


@position_registry.register("learned")
class LearnedPositionAttention(RelativeAttention):
    """
    The same with a learned vector for each head and relative position in place of ``W_R R_p`` (as the relative keys of
    Shaw et al. 2018, arXiv 1803.02155, section 3.2): free of any shape, but what it knows of one position tells it
    nothing of the next.

    Parameters as of :class:`RelativeAttention`.
    """

    def _build_positions(self, d_model: int, n_positions: int) -> None:
        self.content_bias = nn.Parameter(th.zeros(self.n_heads, 1, self.d_head))
        self.position_bias = nn.Parameter(th.zeros(self.n_heads, 1, self.d_head))
        # As large as the projected sinusoids at their start: squares of 1/2 on average.
        self.position_table = nn.Parameter(th.randn(self.n_heads, self.d_head, n_positions) * 0.5**0.5)

    def queries(
        self, x: th.Tensor, times: th.Tensor | None = None, positions: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor | None]:
        q = self._heads(self.query(x))
        table = self.position_table if positions is None else self.position_table.index_select(2, positions)
        return q + self.content_bias, self._position_logits(q + self.position_bias, table)
