"""The gated compressive transformer as a memory core."""

from __future__ import annotations

from typing import NamedTuple

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.memory.compressive.layout import MemoryShape, StepLayout, WindowLayout
from memory_agents.memory.core import MemoryCore, memory_registry
from memory_agents.nn import HIDDEN, GatedBlock, compression_registry


class CompressiveState(NamedTuple):
    """
    State of :class:`CompressiveMemory`. What an episode has not written is zero. Without ``keys`` and ``values`` (empty
    tuples) it is packed: both follow from the hidden states and the parameters.

    :param steps: tokens seen of the episode in progress, (batch,) int64
    :param recent: per layer, its inputs for the newest tokens as a ring, (batch, M + 1, d_model)
    :param slots: per layer, the newest compressed slots as a ring, (batch, N, d_model)
    :param keys: per layer, keys of [slots | recent], (batch, heads, N + M + 1, d_head)
    :param values: per layer, values of the same
    """

    steps: th.Tensor
    recent: tuple[th.Tensor, ...]
    slots: tuple[th.Tensor, ...]
    keys: tuple[th.Tensor, ...] = ()
    values: tuple[th.Tensor, ...] = ()


@memory_registry.register("compressive")
class CompressiveMemory(MemoryCore[CompressiveState]):
    """
    GTrXL (Parisotto et al. 2019, arXiv 1910.06764) with the compressed memory of the Compressive Transformer (Rae et
    al. 2019, arXiv 1911.05507), in streaming form: each token attends to at most ``memory_length`` tokens before it and
    to the newest ``compressed_length`` slots. The oldest ``block_length`` recent tokens leave together and become
    ``block_length / compression_rate`` slots, so nothing is lost between the two memories, and the temporal reach of
    one layer is about ``memory_length + compression_rate * compressed_length`` steps.

    :param input_dim: width of the inputs
    :param memory_length: recent memory M, in tokens
    :param compressed_length: compressed memory N, in slots; 0 makes this a GTrXL
    :param compression_rate: tokens per slot c
    :param block_length: tokens B that leave together, a multiple of the rate (default: the rate; 1 without slots)
    :param compression: name of a registered compression function
    :param n_layers: number of layers
    :param n_heads: attention heads, a divisor of ``d_model``
    :param d_model: width of the residual stream and of the outputs
    :param d_feedforward: width of the MLPs (default: twice ``d_model``)
    :param gate_bias: initial b_g of the gates; larger values start closer to the identity
    :raises ValueError: when a size is not positive or two do not fit together
    """

    def __init__(
        self,
        input_dim: int,
        *,
        memory_length: int = 64,
        compressed_length: int = 64,
        compression_rate: int = 4,
        block_length: int | None = None,
        compression: str = "convolution",
        n_layers: int = 2,
        n_heads: int = 4,
        d_model: int = 64,
        d_feedforward: int | None = None,
        gate_bias: float = 2.0,
    ) -> None:
        super().__init__(input_dim, d_model)
        d_feedforward = 2 * d_model if d_feedforward is None else d_feedforward
        sizes = {"n_layers": n_layers, "n_heads": n_heads, "d_model": d_model, "d_feedforward": d_feedforward}
        for name, value in sizes.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if d_model % n_heads:
            nearest = max(n_heads, round(d_model / n_heads) * n_heads)
            raise ValueError(f"d_model={d_model} must be a multiple of n_heads={n_heads}; use d_model={nearest}")
        if block_length is None:
            block_length = compression_rate if compressed_length else 1
        self.shape = MemoryShape(memory_length, compressed_length, compression_rate, block_length)
        self.n_heads = n_heads
        self.input = nn.Linear(input_dim, d_model)
        self.blocks = nn.ModuleList(
            GatedBlock(d_model, n_heads, d_feedforward, self.shape.n_positions, gate_bias) for _ in range(n_layers)
        )
        compress = compression_registry[compression]
        n_compressions = n_layers if compressed_length else 0
        self.compressions = nn.ModuleList(compress(d_model, compression_rate) for _ in range(n_compressions))

    def initial_state(self, batch_size: int) -> CompressiveState:
        parameter = self.input.weight
        d_head = self.output_dim // self.n_heads

        def per_layer(*size: int) -> tuple[th.Tensor, ...]:
            return tuple(parameter.new_zeros(batch_size, *size) for _ in self.blocks)

        ring, n = self.shape.ring_length, self.shape.compressed_length
        return CompressiveState(
            steps=th.zeros(batch_size, dtype=th.long, device=parameter.device),
            recent=per_layer(ring, self.output_dim),
            slots=per_layer(n, self.output_dim),
            keys=per_layer(self.n_heads, n + ring, d_head),
            values=per_layer(self.n_heads, n + ring, d_head),
        )

    def pack_state(self, state: CompressiveState) -> CompressiveState:
        return state._replace(keys=(), values=())

    @th.no_grad()
    def unpack_state(self, state: CompressiveState) -> CompressiveState:
        written = self._written(state.steps)[:, None, :, None]
        caches = [
            block.keys_and_values(th.cat([slots, recent], dim=1))
            for block, slots, recent in zip(self._blocks(), state.slots, state.recent, strict=True)
        ]
        return state._replace(
            keys=tuple(keys.masked_fill(~written, 0) for keys, _ in caches),
            values=tuple(values.masked_fill(~written, 0) for _, values in caches),
        )

    def _blocks(self) -> list[GatedBlock]:
        return [block for block in self.blocks if isinstance(block, GatedBlock)]

    def _written(self, steps: th.Tensor) -> th.Tensor:
        """Rows of [slot ring | recent ring] that the episode has written, (batch, N + M + 1)."""
        shape, device = self.shape, steps.device
        made = shape.slots_per_block * shape.blocks_left(steps)
        slots = th.arange(shape.compressed_length, device=device) < made[:, None]
        recent = th.arange(shape.ring_length, device=device) < steps[:, None]
        return th.cat([slots, recent], dim=1)

    @th.no_grad()
    def step_(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, CompressiveState]:
        if not state.keys:
            state = self.unpack_state(state)
        starting = episode_starts.nonzero().squeeze(1)
        if len(starting):
            for leaf in (state.steps, *state.recent, *state.slots, *state.keys, *state.values):
                leaf[starting] = 0
        layout = StepLayout(self.shape, state.steps)
        hidden = self.input(x)[:, None]
        for layer, block in enumerate(self._blocks()):
            hidden = self._step_layer(layer, block, hidden, state, layout)
        state.steps.add_(1)
        return hidden.squeeze(1), state

    def _step_layer(
        self, layer: int, block: GatedBlock, hidden: th.Tensor, state: CompressiveState, layout: StepLayout
    ) -> th.Tensor:
        n, batch = self.shape.compressed_length, layout.batch
        recent, keys, values = state.recent[layer], state.keys[layer], state.values[layer]

        key, value = block.keys_and_values(hidden)
        recent[batch, layout.row] = hidden[:, 0]
        keys[batch, :, n + layout.row] = key[:, :, 0]
        values[batch, :, n + layout.row] = value[:, :, 0]

        queries, position_logits = block.queries(hidden)
        positions = layout.positions[:, None, None].expand(-1, self.n_heads, -1, -1)
        bias = position_logits.gather(3, positions).masked_fill(layout.hidden[:, None, None], HIDDEN)
        outputs: th.Tensor = block(hidden, queries, keys, values, bias)

        if len(layout.leaving):
            # Computed for the whole batch, so that the rounding in one environment does not depend on how many others
            # have a block leaving at the same step.
            made = self.compressions[layer](recent[batch[:, None], layout.block_rows])
            key, value = block.keys_and_values(made)
            left, rows = layout.leaving, layout.slot_rows[layout.leaving]
            entries = left[:, None]
            state.slots[layer][entries, rows] = made[left]
            keys[entries, :, rows] = key.transpose(1, 2)[left]
            values[entries, :, rows] = value.transpose(1, 2)[left]
        return outputs

    def unroll(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, CompressiveState]:
        layout, outputs, histories, slot_keys = self._unroll(x, state, episode_starts)
        with th.no_grad():
            row, written = layout.final_recent()
            recent = tuple(_take_written(history.detach(), row, written) for history in histories)
            slots = tuple(slots.detach() for slots in slot_keys)
            if self.shape.compressed_length:
                row, written = layout.final_slots()
                slots = tuple(_take_written(made, row, written) for made in slots)
            final = CompressiveState(layout.tokens[:, -1] + 1, recent, slots)
            return outputs, self.unpack_state(final)

    def unroll_outputs(self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor) -> th.Tensor:
        return self._unroll(x, state, episode_starts)[1]

    def _unroll(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[WindowLayout, th.Tensor, list[th.Tensor], list[th.Tensor]]:
        """The window's layout and outputs, and per layer the history of hidden states and all slots."""
        layout = WindowLayout(self.shape, state.steps, episode_starts)
        m, n, ring = self.shape.memory_length, self.shape.compressed_length, self.shape.ring_length
        steps = state.steps[:, None]
        recent_rows = (steps - m + th.arange(m, device=x.device)) % ring
        slot_rows = self.shape.slots_per_block * self.shape.blocks_left(steps) - n + th.arange(n, device=x.device)
        hidden: th.Tensor = self.input(x)
        histories, all_slots = [], []
        for layer, block in enumerate(self._blocks()):
            history = th.cat([_take(state.recent[layer].detach(), recent_rows), hidden], dim=1)
            slots = state.slots[layer].detach()
            if n:
                leaving = _take(history, layout.block_tokens.flatten(1)).view(*layout.block_tokens.shape, -1)
                slots = th.cat([_take(slots, slot_rows % n), self.compressions[layer](leaving).flatten(1, 2)], dim=1)
            keys, values = block.keys_and_values(th.cat([slots, history], dim=1))
            queries, position_logits = block.queries(hidden)
            bias = self._window_bias(position_logits, layout)
            hidden = block(hidden, queries, keys, values, bias)
            histories.append(history)
            all_slots.append(slots)
        return layout, hidden, histories, all_slots

    def _window_bias(self, position_logits: th.Tensor, layout: WindowLayout) -> th.Tensor:
        """
        :param position_logits: by relative position, (batch, heads, T, n_positions)
        :return: by key, HIDDEN where not to be seen, (batch, heads, T, keys)
        """
        ring = self.shape.ring_length
        bias = _shift(position_logits[..., :ring].flip(-1))
        if self.shape.compressed_length:
            ranks = layout.ranks[:, None].expand(-1, self.n_heads, -1, -1)
            bias = th.cat([position_logits[..., ring:].gather(3, ranks), bias], dim=3)
        return bias.masked_fill(layout.hidden[:, None], HIDDEN)


def _take(rows: th.Tensor, index: th.Tensor) -> th.Tensor:
    """(batch, length, width), (batch, k) -> (batch, k, width)"""
    return rows.gather(1, index[:, :, None].expand(-1, -1, rows.shape[2]))


def _take_written(rows: th.Tensor, index: th.Tensor, written: th.Tensor) -> th.Tensor:
    """The same, with zeros where ``written`` (batch, k) is false."""
    return _take(rows, index).masked_fill(~written[:, :, None], 0)


def _shift(logits: th.Tensor) -> th.Tensor:
    """
    Turn row t by t columns to the right, Transformer-XL's relative shift.

    :param logits: (..., T, W)
    :return: (..., T, W + T - 1), entry (t, t + j) being ``logits[t, j]``; the rest is for the mask to hide
    """
    length, width = logits.shape[-2:]
    rows = F.pad(logits, (0, length)).flatten(-2)[..., : length * (width + length - 1)]
    return rows.reshape(*logits.shape[:-1], width + length - 1)
