"""The gated transformer block of GTrXL, and what of it can be varied."""

from __future__ import annotations

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.nn.arguments import check_integers
from memory_agents.nn.attention import position_registry
from memory_agents.nn.dropout import dropout_layer
from memory_agents.nn.feedforward import feedforward_registry
from memory_agents.nn.gates import gate_registry
from memory_agents.nn.mogrifier import Mogrifier

#: Where a block normalises: the submodules' inputs, or the sums after them.
NORMS = ("pre", "post")


class GatedBlock(nn.Module):
    """
    One layer of GTrXL (Parisotto et al. 2019, arXiv 1910.06764, section 3), identity map reordering included: layer
    norm on the submodules' inputs only, ReLU on their outputs, a gate in place of each residual sum::

        Y  = g1(E, ReLU(Attention(LN([memory; E]))))
        E' = g2(Y, ReLU(MLP(LN(Y))))

    With ``norm="post"`` it is the layer of Transformer-XL (Dai et al. 2019, arXiv 1901.02860), which has no identity
    path from its inputs to its outputs::

        Y  = LN(g1(E, Attention([memory; E])))
        E' = LN(g2(Y, MLP(Y)))

    :param d_model: width of the residual stream
    :param n_heads: attention heads
    :param d_feedforward: width of the hidden layer of the MLP
    :param n_positions: number of relative positions
    :param gate_bias: initial value of the gates' bias, None for the gate's own default
    :param gating: name of a registered gate
    :param norm: ``"pre"`` or ``"post"``
    :param positions: name of a registered kind of positions
    :param feedforward: name of a registered MLP
    :param d_head: width of an attention head (default: ``d_model / n_heads``)
    :param dropout: probability with which training drops an attention weight, a hidden unit of the MLP, or a number of
        a submodule's output
    :param mogrifier_rounds: rounds in which residual stream and submodule output modulate each other before each gate
        (:class:`~memory_agents.nn.Mogrifier`); 0 for none
    :raises ValueError: when an argument is out of range or a name is unknown
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_feedforward: int,
        n_positions: int,
        gate_bias: float | None = None,
        *,
        gating: str = "gru",
        norm: str = "pre",
        positions: str = "sinusoidal",
        feedforward: str = "relu",
        d_head: int | None = None,
        dropout: float = 0.0,
        mogrifier_rounds: int = 0,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(map(repr, NORMS))}, got {norm!r}")
        check_integers(least=0, mogrifier_rounds=mogrifier_rounds)
        self.pre_norm = norm == "pre"
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = position_registry[positions](d_model, n_heads, n_positions, d_head=d_head, dropout=dropout)
        self.attention_gate = gate_registry[gating](d_model, gate_bias)
        self.feedforward_norm = nn.LayerNorm(d_model)
        self.feedforward = feedforward_registry[feedforward](d_model, d_feedforward, dropout)
        self.feedforward_gate = gate_registry[gating](d_model, gate_bias)
        self.dropout = dropout_layer(dropout)
        self.mogrifiers = nn.ModuleList(
            Mogrifier(d_model, rounds=mogrifier_rounds) for _ in range(2 if mogrifier_rounds else 0)
        )

    def keys_and_values(self, hidden: th.Tensor, times: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        """
        :param hidden: inputs of this layer, (batch, keys, d_model)
        :param times: when they were, in steps, (batch, keys); for an attention that ``needs_times``
        :return: their keys and values, each (batch, heads, keys, d_head)
        """
        return self.attention.keys_and_values(self._normed(hidden), times)

    def queries(self, hidden: th.Tensor, times: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor | None]:
        """
        :param hidden: inputs of this layer, (batch, queries, d_model)
        :param times: when they are, in steps, (batch, queries); for an attention that ``needs_times``
        :return: content queries and position logits, see :meth:`RelativeAttention.queries`
        """
        return self.attention.queries(self._normed(hidden), times)

    def project(
        self,
        memories: th.Tensor,
        length: int,
        times: th.Tensor | None = None,
        positions: th.Tensor | None = None,
    ) -> tuple[th.Tensor, th.Tensor | None, th.Tensor, th.Tensor]:
        """
        :meth:`queries` and :meth:`keys_and_values` at once.

        :param memories: what can be seen, at its end the inputs of this layer, (batch, keys, d_model)
        :param length: number of the inputs
        :param times: when they were, in steps, (batch, keys)
        :param positions: the relative positions that are asked for, (n,) int64; None for all
        :return: content queries, position logits, keys and values
        """
        normed = self._normed(memories)
        of_inputs = None if times is None else times[:, -length:]
        return (
            *self.attention.queries(normed[:, -length:], of_inputs, positions),
            *self.attention.keys_and_values(normed, times),
        )

    def project_once(
        self, hidden: th.Tensor, times: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor | None, th.Tensor, th.Tensor]:
        """
        The same for one input of each entry, which is all that is new.

        :param hidden: inputs of this layer, (batch, d_model)
        :param times: when they are, in steps, (batch, 1)
        :return: content queries, position logits, keys and values
        """
        normed = self._normed(hidden)
        return *self.attention.queries(normed, times), *self.attention.keys_and_values(normed, times)

    def _normed(self, hidden: th.Tensor) -> th.Tensor:
        """What attention gets."""
        normed: th.Tensor = self.attention_norm(hidden) if self.pre_norm else hidden
        return normed

    def read_content(self, hidden: th.Tensor, memories: th.Tensor, seen: th.Tensor) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (batch, queries, d_model)
        :param memories: inputs or slots to read, (batch, keys, d_model)
        :param seen: who sees whom, (batch, queries, keys) bool
        :return: see :meth:`RelativeAttention.read_content`
        """
        if self.pre_norm:
            norm = self.attention_norm
            weight, bias = norm.weight.detach(), norm.bias.detach()
            hidden, memories = (F.layer_norm(x, weight.shape, weight, bias, norm.eps) for x in (hidden, memories))
        return self.attention.read_content(hidden, memories, seen)

    def forward(
        self, hidden: th.Tensor, queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor
    ) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (batch, queries, d_model)
        :param queries: their content queries, (batch, heads, queries, d_head)
        :param keys: all keys, (batch, heads, keys, d_head)
        :param values: all values, (batch, heads, keys, d_head)
        :param bias: position logits, HIDDEN where not to be seen, (batch, heads or 1, queries, keys)
        :return: outputs of this layer, (batch, queries, d_model)
        """
        return self.after_attention(hidden, self.attention.attend(queries, keys, values, bias))

    def after_attention(self, hidden: th.Tensor, attended: th.Tensor) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (..., d_model)
        :param attended: what attention makes of them, (..., d_model)
        :return: outputs of this layer, (..., d_model)
        """
        if not self.pre_norm:
            hidden = self.attention_norm(self._join(0, hidden, attended))
            return self.feedforward_norm(self._join(1, hidden, self.feedforward(hidden)))  # type: ignore[no-any-return]
        hidden = self._join(0, hidden, F.relu(attended))
        return self._join(1, hidden, F.relu(self.feedforward(self.feedforward_norm(hidden))))

    def _join(self, submodule: int, hidden: th.Tensor, output: th.Tensor) -> th.Tensor:
        """The residual stream after the first or second submodule has spoken."""
        output = self.dropout(output)
        if self.mogrifiers:
            hidden, output = self.mogrifiers[submodule](hidden, output)
        gate = self.feedforward_gate if submodule else self.attention_gate
        joined: th.Tensor = gate(hidden, output)
        return joined
