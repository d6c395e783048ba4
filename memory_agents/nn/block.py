"""The gated transformer block of GTrXL."""

from __future__ import annotations

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.nn.attention import RelativeAttention
from memory_agents.nn.gates import GRUGate


class GatedBlock(nn.Module):
    """
    One layer of GTrXL (Parisotto et al. 2019, arXiv 1910.06764, section 3), identity map reordering included: layer
    norm on the submodules' inputs only, ReLU on their outputs, a gate in place of each residual sum::

        Y  = g1(E, ReLU(Attention(LN([memory; E]))))
        E' = g2(Y, ReLU(MLP(LN(Y))))

    :param d_model: width of the residual stream
    :param n_heads: attention heads
    :param d_feedforward: width of the hidden layer of the MLP
    :param n_positions: number of relative positions
    :param gate_bias: initial value of the gates' b_g
    """

    def __init__(self, d_model: int, n_heads: int, d_feedforward: int, n_positions: int, gate_bias: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = RelativeAttention(d_model, n_heads, n_positions)
        self.attention_gate = GRUGate(d_model, gate_bias)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, d_feedforward),
            nn.ReLU(),
            nn.Linear(d_feedforward, d_model),
            nn.ReLU(),
        )
        for module in self.feedforward:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        self.feedforward_gate = GRUGate(d_model, gate_bias)

    def keys_and_values(self, hidden: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param hidden: inputs of this layer, (batch, keys, d_model)
        :return: their keys and values, each (batch, heads, keys, d_head)
        """
        return self.attention.keys_and_values(self.attention_norm(hidden))

    def queries(self, hidden: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param hidden: inputs of this layer, (batch, queries, d_model)
        :return: content queries and position logits, see :meth:`RelativeAttention.queries`
        """
        return self.attention.queries(self.attention_norm(hidden))

    def forward(
        self, hidden: th.Tensor, queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor
    ) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (batch, queries, d_model)
        :param queries: their content queries, (batch, heads, queries, d_head)
        :param keys: all keys, (batch, heads, keys, d_head)
        :param values: all values, (batch, heads, keys, d_head)
        :param bias: position logits, HIDDEN where not to be seen, (batch, heads, queries, keys)
        :return: outputs of this layer, (batch, queries, d_model)
        """
        attended = F.relu(self.attention.attend(queries, keys, values, bias))
        hidden = self.attention_gate(hidden, attended)
        outputs: th.Tensor = self.feedforward_gate(hidden, self.feedforward(hidden))
        return outputs
