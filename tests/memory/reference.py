"""The compressive memory once more, with plain loops and straight from its definition."""

from __future__ import annotations

import math
from itertools import pairwise

import torch as th
import torch.nn.functional as F

from memory_agents.memory import CompressiveMemory
from memory_agents.nn import ConvolutionCompression, GatedBlock, GRUGate


def gru_gate(gate: GRUGate, x: th.Tensor, y: th.Tensor) -> th.Tensor:
    """GTrXL's gate, one matrix at a time; x and y are vectors."""
    d = len(x)
    w_r, w_z, w_g = (gate.from_output.weight[i * d : (i + 1) * d] for i in range(3))
    u_r, u_z = (gate.from_residual.weight[i * d : (i + 1) * d] for i in range(2))
    u_g = gate.from_reset.weight
    r = th.sigmoid(w_r @ y + u_r @ x)
    z = th.sigmoid(w_z @ y + u_z @ x - gate.bias)
    h = th.tanh(w_g @ y + u_g @ (r * x))
    return (1 - z) * x + z * h


def sinusoid(position: int, width: int) -> th.Tensor:
    """Sines, then cosines, of position / 10000^(2 i / width)."""
    angles = [position / 10_000 ** (2 * i / width) for i in range(width // 2)]
    return th.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles])


def attend(block: GatedBlock, hidden: th.Tensor, visible: list[tuple[int, th.Tensor]]) -> th.Tensor:
    """
    :param hidden: the layer's input at the query
    :param visible: (relative position, hidden state) of everything the query may see
    """
    attention = block.attention
    width, d_head = len(hidden), attention.d_head
    query = attention.query.weight @ block.attention_norm(hidden)
    w_key, w_value = attention.key_value.weight[:width], attention.key_value.weight[width:]
    mixed = []
    for head in range(attention.n_heads):
        part = slice(head * d_head, (head + 1) * d_head)
        logits, values = [], []
        for position, state in visible:
            normed = block.attention_norm(state)
            key = (w_key @ normed)[part]
            relative = (attention.position.weight @ sinusoid(position, width))[part]
            content = (query[part] + attention.content_bias[head, 0]) @ key
            place = (query[part] + attention.position_bias[head, 0]) @ relative
            logits.append((content + place) / math.sqrt(d_head))
            values.append((w_value @ normed)[part])
        weights = th.softmax(th.stack(logits), dim=0)
        mixed.append(sum((w * v for w, v in zip(weights, values, strict=True)), th.zeros(d_head)))
    return attention.output.weight @ th.cat(mixed)


def convolution(core: CompressiveMemory, layer: int, tokens: list[th.Tensor]) -> list[th.Tensor]:
    """Slots of one block: a convolution with kernel and stride equal to the rate."""
    compression, rate = core.compressions[layer], core.shape.compression_rate
    assert isinstance(compression, ConvolutionCompression)
    width = len(tokens[0])
    kernel = compression.projection.weight.view(width, rate, width).permute(0, 2, 1)
    signal = th.stack(tokens).T[None]
    return list(F.conv1d(signal, kernel, compression.projection.bias, stride=rate)[0].T)


def run_episode(core: CompressiveMemory, inputs: th.Tensor) -> th.Tensor:
    """
    :param inputs: one episode, (steps, input_dim)
    :return: outputs, (steps, output_dim)
    """
    shape = core.shape
    m, n, b = shape.memory_length, shape.compressed_length, shape.block_length
    n_layers = len(core.blocks)
    tokens: list[list[th.Tensor]] = [[] for _ in range(n_layers)]
    outputs = []
    for e in range(len(inputs)):
        hidden = core.input(inputs[e])
        left = max(0, math.ceil((e - m) / b))
        for layer in range(n_layers):
            block = core.blocks[layer]
            assert isinstance(block, GatedBlock)
            tokens[layer].append(hidden)
            visible = [(e - j, tokens[layer][j]) for j in range(b * left, e + 1)]
            if n:
                slots = [
                    slot
                    for number in range(left)
                    for slot in convolution(core, layer, tokens[layer][number * b : (number + 1) * b])
                ]
                visible += [(m + 1 + rank, slot) for rank, slot in enumerate(reversed(slots)) if rank < n]
            attended = F.relu(attend(block, hidden, visible))
            hidden = gru_gate(block.attention_gate, hidden, attended)
            hidden = gru_gate(block.feedforward_gate, hidden, block.feedforward(hidden))
        outputs.append(hidden)
    return th.stack(outputs)


def run(core: CompressiveMemory, inputs: th.Tensor, episode_starts: th.Tensor) -> th.Tensor:
    """
    :param inputs: one time line, (steps, input_dim)
    :param episode_starts: (steps,) bool
    :return: outputs, (steps, output_dim)
    """
    borders = sorted({0, len(inputs), *episode_starts.nonzero().flatten().tolist()})
    return th.cat([run_episode(core, inputs[i:j]) for i, j in pairwise(borders)])
