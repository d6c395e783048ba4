"""The compressive memory once more, with plain loops and straight from its definition."""

from __future__ import annotations

import cmath
import math
from itertools import pairwise
from typing import NamedTuple

import torch as th
import torch.nn.functional as F

from memory_agents.memory import CompressiveMemory
from memory_agents.memory.compressive import MemoryShape
from memory_agents.nn import (
    ConvolutionCompression,
    DilatedCompression,
    GatedBlock,
    GRUGate,
    LearnedPositionAttention,
    MaxCompression,
    MeanCompression,
    MostUsedCompression,
    RelativeAttention,
    RotaryAttention,
    SinusoidalAttention,
)


def gru_gate(gate: GRUGate, x: th.Tensor, y: th.Tensor) -> th.Tensor:
    """GTrXL's gate, one matrix at a time; x and y are vectors."""
    d = len(x)
    u_r, u_z, u_g = gate.gates[:d, :d], gate.gates[d:, :d], gate.candidate[:, :d]
    w_r, w_z, w_g = gate.gates[:d, d:], gate.gates[d:, d:], gate.candidate[:, d:]
    r = th.sigmoid(w_r @ y + u_r @ x)
    z = th.sigmoid(w_z @ y + u_z @ x - gate.bias)
    h = th.tanh(w_g @ y + u_g @ (r * x))
    return (1 - z) * x + z * h


def sinusoid(position: int, width: int, dtype: th.dtype) -> th.Tensor:
    """Sines, then cosines, of position / 10000^(2 i / width), of single precision as the table that agents use."""
    angles = [position / 10_000 ** (2 * i / width) for i in range(width // 2)]
    return th.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles]).to(dtype)


def position_logit(attention: RelativeAttention, query: th.Tensor, head: int, position: int) -> th.Tensor | float:
    """
    :param query: query of one head, (d_head,)
    :param position: relative position of a key
    """
    if isinstance(attention, SinusoidalAttention):
        part = slice(head * attention.d_head, (head + 1) * attention.d_head)
        weight = attention.position.weight
        return (query + attention.position_bias[head, 0]) @ (
            weight @ sinusoid(position, weight.shape[1], weight.dtype)
        )[part]
    if isinstance(attention, LearnedPositionAttention):
        return (query + attention.position_bias[head, 0]) @ attention.position_table[head, :, position]
    return 0.0


def turn(vector: th.Tensor, time: float) -> th.Tensor:
    """Rotary positions: pair i turned by time / 10000^(i / pairs), as a product of complex numbers."""
    half = len(vector) // 2
    numbers = [complex(vector[i], vector[half + i]) for i in range(half)]
    turned = [number * cmath.exp(1j * time / 10_000 ** (i / half)) for i, number in enumerate(numbers)]
    return vector.new_tensor([z.real for z in turned] + [z.imag for z in turned])


class Seen(NamedTuple):
    """Something that a query sees: its relative position, its time in the episode, its hidden state."""

    position: int
    time: float
    state: th.Tensor


def attend(
    block: GatedBlock, hidden: th.Tensor, time: int, visible: list[Seen], n_recent: int
) -> tuple[th.Tensor, list[float]]:
    """
    :param hidden: the layer's input at the query
    :param time: when the query is
    :param visible: everything the query may see, recent memories first
    :param n_recent: number of recent memories
    :return: the attention's output, and what weight each recent memory would have if there were no others
    """
    attention = block.attention
    norm = block.attention_norm if block.pre_norm else th.nn.Identity()
    d_head, width = attention.d_head, attention.n_heads * attention.d_head
    query = attention.query.weight @ norm(hidden)
    w_key, w_value = attention.key_value.weight[:width], attention.key_value.weight[width:]
    mixed, recent = [], [0.0] * n_recent
    for head in range(attention.n_heads):
        part = slice(head * d_head, (head + 1) * d_head)
        logits, values = [], []
        for seen in visible:
            key, q = (w_key @ norm(seen.state))[part], query[part]
            if isinstance(attention, RotaryAttention):
                content = turn(q, time) @ turn(key, seen.time)
            else:
                bias = attention.content_bias
                assert isinstance(bias, th.Tensor)
                content = (q + bias[head, 0]) @ key
            logits.append((content + position_logit(attention, q, head, seen.position)) / math.sqrt(d_head))
            values.append((w_value @ norm(seen.state))[part])
        weights = th.softmax(th.stack(logits), dim=0)
        total = sum(weights[:n_recent].tolist())
        recent = [r + w / total / attention.n_heads for r, w in zip(recent, weights.tolist(), strict=False)]
        mixed.append(sum((w * v for w, v in zip(weights, values, strict=True)), hidden.new_zeros(d_head)))
    return attention.output.weight @ th.cat(mixed), recent


def run_block(block: GatedBlock, hidden: th.Tensor, attended: th.Tensor) -> th.Tensor:
    """The gates and MLPs themselves are tested against their equations elsewhere."""

    def join(number: int, gate: th.nn.Module, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        if block.mogrifiers:
            x, y = block.mogrifiers[number](x, y)
        if isinstance(gate, GRUGate):
            return gru_gate(gate, x, y)
        gated: th.Tensor = gate(x, y)
        return gated

    if block.pre_norm:
        hidden = join(0, block.attention_gate, hidden, F.relu(attended))
        thought = F.relu(block.feedforward(block.feedforward_norm(hidden)))
        return join(1, block.feedforward_gate, hidden, thought)
    hidden = block.attention_norm(join(0, block.attention_gate, hidden, attended))
    outputs: th.Tensor = block.feedforward_norm(join(1, block.feedforward_gate, hidden, block.feedforward(hidden)))
    return outputs


def compress(function: th.nn.Module, rate: int, tokens: list[th.Tensor], usage: list[float]) -> list[th.Tensor]:
    """Slots of one block."""
    n_slots = len(tokens) // rate
    if isinstance(function, MostUsedCompression):
        order = sorted(range(len(tokens)), key=lambda i: -usage[i])
        return [tokens[i] for i in sorted(order[:n_slots])]
    if isinstance(function, MaxCompression | MeanCompression):
        groups = [th.stack(tokens[i * rate : (i + 1) * rate]) for i in range(n_slots)]
        return [group.max(0).values if isinstance(function, MaxCompression) else group.mean(0) for group in groups]
    assert isinstance(function, ConvolutionCompression)
    width = len(tokens[0])
    kernel = function.projection.weight.view(width, rate, width).permute(0, 2, 1)
    signal, bias = th.stack(tokens).T[None], function.projection.bias
    if isinstance(function, DilatedCompression):
        return list(F.conv1d(signal, kernel, bias, dilation=n_slots)[0].T)
    return list(F.conv1d(signal, kernel, bias, stride=rate)[0].T)


class LayerReference:
    """One layer of one episode, everything that it ever saw kept."""

    def __init__(
        self,
        shape: MemoryShape,
        block: GatedBlock,
        compress: th.nn.Module | None,
        delay: int,
        kept: list[bool] | None = None,
    ) -> None:
        self.shape, self.block, self.compress, self.delay = shape, block, compress, delay
        #: whether a judge keeps the blocks, one after the other; all if there is none
        self.kept = kept
        self.inputs: list[th.Tensor] = []
        self.outputs: list[th.Tensor] = []
        #: of every token the weights that queries gave it while it was recent
        self.weights: list[list[float]] = []

    def memory(self, token: int, now: int) -> th.Tensor:
        """What is remembered of a token: the layer's input, or with a delay, once that is over, its output."""
        return self.outputs[token] if self.delay and now - token >= self.delay else self.inputs[token]

    def slots(self, made_of: int) -> list[tuple[float, th.Tensor]]:
        """Slots of those of the first so many blocks that were kept, as they were made, with their times."""
        m, b, rate = self.shape.memory_length, self.shape.block_length, self.shape.compression_rate
        slots: list[tuple[float, th.Tensor]] = []
        for number in range(made_of if self.compress is not None else 0):
            if self.kept is not None and not self.kept[number]:
                continue
            tokens = [self.memory(token, m + number * b) for token in range(number * b, (number + 1) * b)]
            usage = [sum(self.weights[i]) / len(self.weights[i]) for i in range(number * b, (number + 1) * b)]
            assert self.compress is not None
            for i, slot in enumerate(compress(self.compress, rate, tokens, usage)):
                dilated = isinstance(self.compress, DilatedCompression)
                inside = range(b)[i :: b // rate] if dilated else range(b)[i * rate : (i + 1) * rate]
                slots.append((number * b + sum(inside) / rate, slot))
        return slots

    def step(self, hidden: th.Tensor) -> th.Tensor:
        """
        :param hidden: the layer's input for the next token
        :return: its output
        """
        e, m, n = len(self.inputs), self.shape.memory_length, self.shape.compressed_length
        left = max(0, math.ceil((e - m) / self.shape.block_length))
        self.inputs.append(hidden)
        self.weights.append([])
        oldest = self.shape.block_length * left
        visible = [Seen(e - j, j, self.memory(j, e)) for j in range(oldest, e + 1)]
        for rank, (time, slot) in enumerate(reversed(self.slots(left))):
            if rank < n:
                visible.append(Seen(m + 1 + rank, time, slot))
        attended, recent = attend(self.block, hidden, e, visible, e + 1 - oldest)
        for token, weight in zip(range(oldest, e + 1), recent, strict=True):
            self.weights[token].append(weight)
        self.outputs.append(run_block(self.block, hidden, attended))
        return self.outputs[-1]


def run_episode(core: CompressiveMemory, inputs: th.Tensor, kept: list[bool] | None = None) -> th.Tensor:
    """
    :param inputs: one episode, (steps, input_dim)
    :param kept: whether a judge keeps the blocks, one after the other; all if there is none
    :return: outputs, (steps, output_dim)
    """
    layers = [
        LayerReference(layer.shape, layer.block, layer.compress.function if layer.compress else None, layer.delay, kept)
        for layer in core.layers
    ]
    outputs = []
    for x in inputs:
        hidden = core.input(x)
        for layer in layers:
            hidden = layer.step(hidden)
        outputs.append(core.norm(hidden))
    return th.stack(outputs)


def run(core: CompressiveMemory, inputs: th.Tensor, episode_starts: th.Tensor) -> th.Tensor:
    """
    :param inputs: one time line, (steps, input_dim)
    :param episode_starts: (steps,) bool
    :return: outputs, (steps, output_dim)
    """
    borders = sorted({0, len(inputs), *episode_starts.nonzero().flatten().tolist()})
    return th.cat([run_episode(core, inputs[i:j]) for i, j in pairwise(borders)])
