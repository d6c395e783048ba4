"""Memory slots of Memformer: how tokens read them, and how they are written and forgotten."""

from __future__ import annotations

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.nn.arguments import check_flags, is_finite
from memory_agents.nn.block import GatedBlock
from memory_agents.nn.gates import gate_registry


class SlotReading(nn.Module):
    """
    Tokens attend to memory slots (Memformer, Wu et al. 2020, arXiv 2010.06891, section 3.2). Slots have no order, so
    there are no positions. Tokens and slots are normalised first, as a block's other submodules do with their inputs:
    slots of length 1 would hardly be heard beside tokens of length sqrt(d_model).

    :param d_model: width of tokens and slots
    :param n_heads: number of heads, a divisor of ``d_model``
    """

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(d_model)
        self.slot_norm = nn.LayerNorm(d_model)
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key_value = nn.Linear(d_model, 2 * d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        for weight in (self.query.weight, *self.key_value.weight.chunk(2), self.output.weight):
            nn.init.xavier_uniform_(weight)

    def keys_and_values(self, slots: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param slots: (batch, n_slots, d_model)
        :return: their keys and values, each (batch, heads, n_slots, d_head)
        """
        keys, values = self.key_value(self.slot_norm(slots)).chunk(2, dim=-1)
        return _split(keys, self.n_heads), _split(values, self.n_heads)

    def forward(self, hidden: th.Tensor, keys: th.Tensor, values: th.Tensor) -> th.Tensor:
        """
        :param hidden: tokens, (batch, length, d_model)
        :param keys: of the slots, (batch, heads, n_slots, d_head)
        :param values: of the slots, (batch, heads, n_slots, d_head)
        :return: what they read, (batch, length, d_model)
        """
        queries = _split(self.query(self.norm(hidden)), self.n_heads)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        read: th.Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return read


class SlotBlock(GatedBlock):
    """
    A gated block with a third submodule between the other two, in the same way: what tokens read in the slots
    (Memformer, Wu et al. 2020, arXiv 2010.06891, section 3.2)::

        Y  = g1(E, ReLU(Attention(LN(E))))
        Z  = g3(Y, ReLU(Reading(LN(Y), LN(slots))))
        E' = g2(Z, ReLU(MLP(LN(Z))))

    :param d_model: width of the residual stream
    :param n_heads: attention heads
    :param d_feedforward: width of the hidden layer of the MLP
    :param n_positions: number of relative positions
    :param gate_bias: initial value of the gates' bias, None for the gate's own default
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
        self.reading = SlotReading(d_model, n_heads)
        self.reading_gate = gate_registry[gating](d_model, gate_bias)

    def forward(  # type: ignore[override]
        self,
        hidden: th.Tensor,
        queries: th.Tensor,
        keys: th.Tensor,
        values: th.Tensor,
        bias: th.Tensor,
        slot_keys: th.Tensor,
        slot_values: th.Tensor,
    ) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (batch, queries, d_model)
        :param queries: their content queries, (batch, heads, queries, d_head)
        :param keys: all keys of tokens, (batch, heads, keys, d_head)
        :param values: all values of tokens, (batch, heads, keys, d_head)
        :param bias: position logits, HIDDEN where not to be seen, (batch, heads, queries, keys)
        :param slot_keys: keys of the slots, (batch, heads, n_slots, d_head)
        :param slot_values: values of the slots, (batch, heads, n_slots, d_head)
        :return: outputs of this layer, (batch, queries, d_model)
        """
        hidden = self.attention_gate(hidden, F.relu(self.attention.attend(queries, keys, values, bias)))
        hidden = self.reading_gate(hidden, F.relu(self.reading(hidden, slot_keys, slot_values)))
        outputs: th.Tensor = self.feedforward_gate(hidden, F.relu(self.feedforward(self.feedforward_norm(hidden))))
        return outputs


class SlotWriting(nn.Module):
    """
    Slots are written with a segment of tokens (Memformer, Wu et al. 2020, arXiv 2010.06891, section 3.3). Each slot m_i
    attends to itself and to the tokens, not to other slots, so that it either stays or takes up what is new::

        a_i  = softmax([q(m_i) . k(m_i), q(m_i) . k(x_1), ..., q(m_i) . k(x_S)] / (tau sqrt(d_head)))
        m_i <- a_i [m_i, v(x_1), ..., v(x_S)]

    head by head, a head of a slot being a slice of it: a slot that attends to itself alone remains what it is. Biased
    memory normalisation then moves it a little towards its own forgetting vector v_i, where a slot that is never
    written ends up, and keeps it on the unit sphere. That is also where an episode begins::

        m_i <- (m_i + v_i) / ||m_i + v_i||,    m_i = v_i / ||v_i|| at first

    Each v starts in a random direction, so that slots differ, and all are equally long: ``forgetting_scale``, which is
    about the share of a slot that a write makes it forget. Slots and tokens are normalised before they are projected,
    and the values of tokens divided by sqrt(d_model), so that at first they are about as long as a slot.

    :param n_slots: number of slots
    :param d_model: width of tokens and slots
    :param n_heads: number of heads, a divisor of ``d_model``
    :param temperature: tau; below 1 a slot concentrates on few tokens or on itself
    :param forgetting: whether v is added; without, it is only where an episode begins
    :param forgetting_scale: initial length of every v_i
    :raises ValueError: when the temperature or the scale is not a positive number, or ``forgetting`` no boolean
    """

    def __init__(
        self,
        n_slots: int,
        d_model: int,
        n_heads: int,
        *,
        temperature: float = 0.25,
        forgetting: bool = True,
        forgetting_scale: float = 0.1,
    ) -> None:
        super().__init__()
        for name, value in {"temperature": temperature, "forgetting_scale": forgetting_scale}.items():
            if not is_finite(value) or value <= 0:
                raise ValueError(f"{name} must be a positive number, got {value!r}")
        check_flags(forgetting=forgetting)
        self.n_heads = n_heads
        self.temperature = temperature
        self.forgetting = forgetting
        self.slot_norm = nn.LayerNorm(d_model)
        self.token_norm = nn.LayerNorm(d_model)
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        for linear in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(linear.weight)
        self.forgetting_vectors = nn.Parameter(forgetting_scale * F.normalize(th.randn(n_slots, d_model), dim=-1))

    def initial_slots(self) -> th.Tensor:
        """
        :return: the slots at an episode's start, (n_slots, d_model)
        """
        return F.normalize(self.forgetting_vectors, dim=-1)

    def forward(self, slots: th.Tensor, tokens: th.Tensor) -> th.Tensor:
        """
        :param slots: as they were while the segment was read, (batch, n_slots, d_model)
        :param tokens: outputs of the segment's tokens, (batch, length, d_model)
        :return: the slots for the next segment, (batch, n_slots, d_model)
        """
        return self.normalise(self.attend(slots, tokens))

    def attend(self, slots: th.Tensor, tokens: th.Tensor) -> th.Tensor:
        """
        :param slots: (batch, n_slots, d_model)
        :param tokens: (batch, length, d_model)
        :return: the slots after attention, before normalisation, (batch, n_slots, d_model)
        """
        normed_slots, normed_tokens = self.slot_norm(slots), self.token_norm(tokens)
        scale = (slots.shape[-1] / self.n_heads) ** -0.5 / self.temperature
        queries = self._heads(self.query(normed_slots)) * scale
        to_itself = (queries * self._heads(self.key(normed_slots))).sum(-1, keepdim=True)
        to_tokens = th.matmul(queries, self._heads(self.key(normed_tokens)).mT)
        weights = th.cat([to_itself, to_tokens], dim=-1).softmax(dim=-1)
        values = self._heads(self.value(normed_tokens * slots.shape[-1] ** -0.5))
        written = weights[..., :1] * self._heads(slots) + th.matmul(weights[..., 1:], values)
        return written.transpose(1, 2).flatten(2)

    def normalise(self, slots: th.Tensor) -> th.Tensor:
        """
        :param slots: (batch, n_slots, d_model)
        :return: the slots on the unit sphere, a little of each forgotten, (batch, n_slots, d_model)
        """
        return F.normalize(slots + self.forgetting_vectors if self.forgetting else slots, dim=-1)

    def _heads(self, x: th.Tensor) -> th.Tensor:
        # Laid out anew, since products of strided matrices round differently in different entries of a batch.
        return _split(x, self.n_heads).contiguous()


def _split(x: th.Tensor, n_heads: int) -> th.Tensor:
    """(batch, length, d_model) -> (batch, heads, length, d_head)"""
    return x.view(*x.shape[:2], n_heads, -1).transpose(1, 2)
