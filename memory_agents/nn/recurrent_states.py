"""State vectors of the Block-Recurrent Transformer: how tokens read them, and how a block of tokens moves them on."""

from __future__ import annotations

from collections.abc import Callable

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.nn.arguments import initial_bias
from memory_agents.nn.block import GatedBlock
from memory_agents.nn.mixed_precision import lerp
from memory_agents.nn.reading import HIDDEN
from memory_agents.nn.registry import Registry

#: Called as ``gate(states, h)``: state vectors (..., d_model) and what is known of the block, (..., width), to the next
#: state vectors.
StateGate = nn.Module

#: Entries are called as ``entry(width, d_model, bias)``, where a bias of None stands for the gate's own default.
state_gate_registry: Registry[Callable[[int, int, float | None], StateGate]] = Registry("state gate")

#: What moves the states on: attention alone, an MLP on what attention found, or one after the other.
CONFIGURATIONS = ("skip", "single", "dual")


@state_gate_registry.register("fixed")
class FixedStateGate(nn.Module):
    """
    The fixed gate (Hutchins et al. 2022, arXiv 2203.07852, section 3.2), a moving average that each of the ``d_model``
    units takes over its own number of blocks, whatever the blocks hold. The authors' best::

        z = W_z h + b_z,    s' = sigma(beta) * z + (1 - sigma(beta)) * s

    :param width: width of h
    :param d_model: width of a state vector
    :param bias: initial value of beta, None for 0, about where the authors' code starts: halfway
    :raises ValueError: when the bias is not a finite number
    """

    def __init__(self, width: int, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        self.candidate = _projection(width, d_model)
        self.beta = nn.Parameter(th.full((d_model,), initial_bias("state_gate_bias", bias, 0.0)))

    def forward(self, states: th.Tensor, h: th.Tensor) -> th.Tensor:
        """
        :param states: (..., d_model)
        :param h: (..., width)
        :return: the next states, (..., d_model)
        """
        return lerp(states, self.candidate(h), th.sigmoid(self.beta))


@state_gate_registry.register("lstm")
class LSTMStateGate(nn.Module):
    """
    The LSTM gate (Hutchins et al. 2022, arXiv 2203.07852, section 3.2), which looks at the block before it forgets::

        z = tanh(W_z h + b_z),  i = sigma(W_i h + b_i - b),  f = sigma(W_f h + b_f + b),    s' = f * s + i * z

    :param width: width of h
    :param d_model: width of a state vector
    :param bias: b, a constant; None for the paper's 1: untrained gates remember rather than write
    :raises ValueError: when the bias is not a finite number
    """

    def __init__(self, width: int, d_model: int, bias: float | None = None) -> None:
        super().__init__()
        self.candidate = _projection(width, d_model)
        self.input = _projection(width, d_model)
        self.forget = _projection(width, d_model)
        self.bias = initial_bias("state_gate_bias", bias, 1.0)

    def forward(self, states: th.Tensor, h: th.Tensor) -> th.Tensor:
        """
        :param states: (..., d_model)
        :param h: (..., width)
        :return: the next states, (..., d_model)
        """
        write = th.sigmoid(self.input(h) - self.bias) * th.tanh(self.candidate(h))
        return th.addcmul(write, th.sigmoid(self.forget(h) + self.bias), states)


class RecurrentStates(nn.Module):
    """
    The recurrent side of a Block-Recurrent Transformer's layer (Hutchins et al. 2022, arXiv 2203.07852, section 3.1): a
    transformer layer turned by a quarter, whose residual sums are gates. States, normalised and told apart by learned
    state ids, attend to one another and, without positions, to the keys and values that the layer has made of the
    tokens; both outputs beside one another are h. Tokens attend to the states in turn, with the keys and values that
    the states have made for one another. So there are four sets of queries, but keys and values of two kinds only.

    In the configuration ``"skip"``, the authors' best, a gate joins h to the states and that is all. With ``"single"``
    the gate gets an MLP's hidden layer over h. With ``"dual"`` both follow on one another, each with a gate.

    :param n_states: number of state vectors S
    :param d_model: width of states and tokens
    :param n_heads: number of heads, those of the layer, a divisor of ``d_model``
    :param d_feedforward: width of the MLP's hidden layer
    :param gate: name of a registered state gate
    :param gate_bias: its initial bias, None for its own default
    :param configuration: ``"skip"``, ``"single"`` or ``"dual"``
    :raises ValueError: when the configuration is unknown
    """

    def __init__(
        self,
        n_states: int,
        d_model: int,
        n_heads: int,
        d_feedforward: int,
        *,
        gate: str = "fixed",
        gate_bias: float | None = None,
        configuration: str = "skip",
    ) -> None:
        super().__init__()
        if configuration not in CONFIGURATIONS:
            known = ", ".join(map(repr, CONFIGURATIONS))
            raise ValueError(f"unknown configuration {configuration!r}; known: {known}")
        make_gate = state_gate_registry[gate]
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(d_model)
        self.state_ids = nn.Parameter(th.randn(n_states, d_model))
        self.key_value = nn.Linear(d_model, 2 * d_model, bias=False)
        #: Queries of states on states, of states on tokens, and of tokens on states; those of tokens on tokens are the
        #: layer's own.
        self.state_query = nn.Linear(d_model, d_model, bias=False)
        self.token_query = nn.Linear(d_model, d_model, bias=False)
        self.reading_query = nn.Linear(d_model, d_model, bias=False)
        #: The part of the projection of [self-attention; cross-attention] that falls to the latter.
        self.reading_output = nn.Linear(d_model, d_model, bias=False)
        others = (self.state_query, self.token_query, self.reading_query, self.reading_output)
        for weight in (*self.key_value.weight.chunk(2), *(linear.weight for linear in others)):
            nn.init.xavier_uniform_(weight)
        self.gate = make_gate(d_feedforward if configuration == "single" else 2 * d_model, d_model, gate_bias)
        self.single, self.dual = configuration == "single", configuration == "dual"
        if self.single:
            self.hidden_layer = _projection(2 * d_model, d_feedforward)
        if self.dual:
            self.hidden_layer = _projection(d_model, d_feedforward)
            self.hidden_norm = nn.LayerNorm(d_model)
            self.hidden_gate = make_gate(d_feedforward, d_model, gate_bias)

    def keys_and_values(self, states: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param states: (batch, n_states, d_model)
        :return: their keys and values, each (batch, heads, n_states, d_head)
        """
        keys, values = self.key_value(self.norm(states) + self.state_ids).chunk(2, dim=-1)
        return self._heads(keys), self._heads(values)

    def read(self, normed: th.Tensor, keys: th.Tensor, values: th.Tensor) -> th.Tensor:
        """
        What tokens read in the states, to be added to the output of their self-attention: the projection of both beside
        one another is the sum of two projections.

        :param normed: normalised tokens, (batch, length, d_model)
        :param keys: of the states, (batch, heads, n_states, d_head)
        :param values: of the states, (batch, heads, n_states, d_head)
        :return: (batch, length, d_model)
        """
        mixed = F.scaled_dot_product_attention(self._heads(self.reading_query(normed)), keys, values)
        read: th.Tensor = self.reading_output(mixed.transpose(1, 2).flatten(2))
        return read

    def forward(
        self, states: th.Tensor, keys: th.Tensor, values: th.Tensor, hidden: th.Tensor | None = None
    ) -> th.Tensor:
        """
        :param states: as they were while the block was read, (batch, n_states, d_model)
        :param keys: of [states | tokens], (batch, heads, n_states + length, d_head)
        :param values: of the same
        :param hidden: whether a token must not be seen, (batch, length) bool
        :return: the states for the next block, (batch, n_states, d_model)
        """
        n_states, normed = states.shape[1], self.norm(states) + self.state_ids
        bias = None
        if hidden is not None:
            bias = keys.new_zeros(hidden.shape).masked_fill(hidden, HIDDEN)[:, None, None]
        on_states = F.scaled_dot_product_attention(
            self._heads(self.state_query(normed)), keys[:, :, :n_states], values[:, :, :n_states]
        )
        on_tokens = F.scaled_dot_product_attention(
            self._heads(self.token_query(normed)), keys[:, :, n_states:], values[:, :, n_states:], bias
        )
        h = th.cat([mixed.transpose(1, 2).flatten(2) for mixed in (on_states, on_tokens)], dim=-1)
        if self.single:
            h = F.relu(self.hidden_layer(h))
        next_states: th.Tensor = self.gate(states, h)
        if self.dual:
            next_states = self.hidden_gate(next_states, F.relu(self.hidden_layer(self.hidden_norm(next_states))))
        return next_states

    def _heads(self, x: th.Tensor) -> th.Tensor:
        """(batch, length, d_model) -> (batch, heads, length, d_head)"""
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class RecurrentBlock(GatedBlock):
    """
    A gated block whose tokens attend to one another and to states, the recurrent layer of a Block-Recurrent
    Transformer::

        Y  = g1(E, ReLU(W [Attention(LN(E)); Reading(LN(E), states)]))
        E' = g2(Y, ReLU(MLP(LN(Y))))

    :param d_model: width of the residual stream
    :param n_heads: attention heads
    :param d_feedforward: width of the hidden layer of the MLP
    :param n_positions: number of relative positions
    :param gate_bias: initial value of the gates' bias, None for the gate's own default
    :param states: the other side of the layer
    :param gating: name of a registered gate
    :param positions: name of a registered kind of positions
    :param feedforward: name of a registered MLP
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_feedforward: int,
        n_positions: int,
        gate_bias: float | None = None,
        *,
        states: RecurrentStates,
        gating: str = "gru",
        positions: str = "sinusoidal",
        feedforward: str = "relu",
    ) -> None:
        super().__init__(
            d_model,
            n_heads,
            d_feedforward,
            n_positions,
            gate_bias,
            gating=gating,
            positions=positions,
            feedforward=feedforward,
        )
        self.states = states

    def forward(
        self, hidden: th.Tensor, queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor
    ) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (batch, queries, d_model)
        :param queries: their content queries, (batch, heads, queries, d_head)
        :param keys: of [states | tokens], (batch, heads, n_states + keys, d_head)
        :param values: of the same
        :param bias: position logits of tokens, HIDDEN where not to be seen, (batch, heads, queries, keys)
        :return: outputs of this layer, (batch, queries, d_model)
        """
        n_states = keys.shape[2] - bias.shape[3]
        attended = self.attention.attend(queries, keys[:, :, n_states:], values[:, :, n_states:], bias)
        read = self.states.read(self.attention_norm(hidden), keys[:, :, :n_states], values[:, :, :n_states])
        hidden = self.attention_gate(hidden, F.relu(attended + read))
        outputs: th.Tensor = self.feedforward_gate(hidden, F.relu(self.feedforward(self.feedforward_norm(hidden))))
        return outputs


def _projection(width: int, d_model: int) -> nn.Linear:
    linear = nn.Linear(width, d_model)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
