"""Multi-head attention with Transformer-XL's relative positions."""

from __future__ import annotations

import math

import torch as th
import torch.nn.functional as F
from torch import nn

#: Bias of a key that must not be seen. Beside a visible key (a query always sees itself) its weight is exactly zero, as
#: with minus infinity, but infinities make the softmax of the CPU several times slower.
HIDDEN = -1e9


def sinusoidal_table(n_positions: int, d_model: int) -> th.Tensor:
    """
    Sinusoids of Vaswani et al. 2017 (section 3.5), one row per relative position.

    :param n_positions: number of rows
    :param d_model: width of a row
    :return: (n_positions, d_model), float32
    """
    frequencies = th.exp(th.arange(0, d_model, 2, dtype=th.float64) * (-math.log(10_000.0) / d_model))
    angles = th.arange(n_positions, dtype=th.float64)[:, None] * frequencies
    return th.cat([angles.sin(), angles.cos()], dim=-1)[:, :d_model].float()


class RelativeAttention(nn.Module):
    """
    Attention of Transformer-XL (Dai et al. 2019, arXiv 1901.02860, section 3.3). The logit of query i on key j at
    relative position p is ``((q_i + u) . k_j + (q_i + v) . W_R R_p) / sqrt(d_head)``.

    Queries, keys and positions are kept apart so that keys of a memory are projected once and cached.

    :param d_model: width of inputs and outputs
    :param n_heads: number of heads, a divisor of ``d_model``
    :param n_positions: number of relative positions, 0 being the query itself
    """

    positions: th.Tensor

    def __init__(self, d_model: int, n_heads: int, n_positions: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.d_head = d_model // n_heads
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key_value = nn.Linear(d_model, 2 * d_model, bias=False)
        self.position = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        self.content_bias = nn.Parameter(th.zeros(n_heads, 1, self.d_head))
        self.position_bias = nn.Parameter(th.zeros(n_heads, 1, self.d_head))
        # PyTorch's default makes keys and values so small that memories are hardly heard through the gates at first.
        for weight in (self.query.weight, *self.key_value.weight.chunk(2), self.position.weight, self.output.weight):
            nn.init.xavier_uniform_(weight)
        self.register_buffer("positions", sinusoidal_table(n_positions, d_model), persistent=False)

    def _heads(self, x: th.Tensor) -> th.Tensor:
        """(batch, length, d_model) -> (batch, heads, length, d_head)"""
        return x.view(*x.shape[:2], self.n_heads, self.d_head).transpose(1, 2)

    def keys_and_values(self, x: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param x: normalised memories, (batch, keys, d_model)
        :return: keys and values, each (batch, heads, keys, d_head)
        """
        keys, values = self.key_value(x).chunk(2, dim=-1)
        return self._heads(keys), self._heads(values)

    def queries(self, x: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param x: normalised inputs, (batch, queries, d_model)
        :return: content queries (batch, heads, queries, d_head), and the position part of the logits for every relative
            position, (batch, heads, queries, n_positions), scaled by 1/sqrt(d_head)
        """
        q = self._heads(self.query(x))
        table = self.position(self.positions).view(-1, self.n_heads, self.d_head).permute(1, 2, 0)
        position_logits = th.matmul((q + self.position_bias) * self.d_head**-0.5, table)
        return q + self.content_bias, position_logits

    def attend(self, queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor) -> th.Tensor:
        """
        :param queries: content queries, (batch, heads, queries, d_head)
        :param keys: (batch, heads, keys, d_head)
        :param values: (batch, heads, keys, d_head)
        :param bias: position logits, :data:`HIDDEN` where a key is hidden, (batch, heads, queries, keys)
        :return: (batch, queries, d_model)
        """
        if bias.requires_grad and bias.device.type == "cpu":
            # The fused kernel for the CPU knows no gradient to the bias, and what it falls back on is slower than this.
            logits = th.matmul(queries * self.d_head**-0.5, keys.transpose(-1, -2)) + bias
            mixed = th.matmul(logits.softmax(dim=-1), values)
        else:
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        outputs: th.Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return outputs
