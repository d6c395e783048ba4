"""What one layer of the compressive memory remembers, and how it goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch as th
import torch.nn.functional as F

from memory_agents.memory.compressive.compressor import Compressor
from memory_agents.memory.compressive.layout import StateLayout, StepLayout
from memory_agents.memory.compressive.shape import MemoryShape
from memory_agents.memory.compressive.taking import put_, take, take_numbers, take_written
from memory_agents.memory.compressive.window_layout import WindowLayout
from memory_agents.nn import HIDDEN, GatedBlock, relative_shift


class LayerState(NamedTuple):
    """
    Memory of one layer. What an episode has not written is zero.

    :param recent: memories of the newest tokens as a ring, (batch, M + 1, d_model)
    :param slots: the newest compressed slots as a ring, (batch, N, d_model)
    :param delayed: with a delay of D, the layer's outputs for the newest tokens as a ring, (batch, D, d_model)
    :param usage: where the compression function needs it, the sum of the attention that each row of the recent ring has
        had, (batch, M + 1)
    :param cache: keys and values of [slots | recent], (batch, heads, N + M + 1, d_head) each; left out when packed,
        because they follow from the rest and the parameters
    """

    recent: th.Tensor
    slots: th.Tensor
    delayed: tuple[th.Tensor, ...] = ()
    usage: tuple[th.Tensor, ...] = ()
    cache: tuple[th.Tensor, ...] = ()


class LayerWindow(NamedTuple):
    """
    A layer run over a window of T steps.

    :param inputs: (batch, T, d_model)
    :param outputs: (batch, T, d_model)
    :param memories: memories of the history's tokens as they are at the window's end, (batch, M + T, d_model)
    :param slots: the slots at the window's start and those made since, (batch, slot keys, d_model)
    :param delayed: with a delay, the layer's outputs for the history's tokens, (batch, M + T, d_model)
    :param usage: where it is needed, the sum of the attention that each of the history's tokens has had, (batch, M + T)
    """

    inputs: th.Tensor
    outputs: th.Tensor
    memories: th.Tensor
    slots: th.Tensor
    delayed: tuple[th.Tensor, ...] = ()
    usage: tuple[th.Tensor, ...] = ()


@dataclass(frozen=True)
class Layer:
    """
    One layer. The memory of a token is the layer's input for it, and once ``delay`` steps have passed, its output.

    :param shape: sizes of its two memories
    :param block: its network
    :param compress: its compression function; None without slots
    :param delay: D, 0 for memories that stay the inputs
    """

    shape: MemoryShape
    block: GatedBlock
    compress: Compressor | None
    delay: int

    @property
    def counts_usage(self) -> bool:
        """
        Whether it adds up the attention that its recent memories have. It is counted as if there were no slots: slots
        chosen by weights that depend on the slots chosen before could only be made one after the other.
        """
        return self.compress is not None and self.compress.needs_usage

    def initial_state(self, batch_size: int, like: th.Tensor, width: int) -> LayerState:
        """
        :param batch_size: number of time lines
        :param like: a tensor whose type and device it gets
        :param width: d_model
        :return: an empty memory
        """
        n, ring, attention = self.shape.compressed_length, self.shape.ring_length, self.block.attention
        cache_size = (batch_size, attention.n_heads, n + ring, attention.d_head)
        return LayerState(
            recent=like.new_zeros(batch_size, ring, width),
            slots=like.new_zeros(batch_size, n, width),
            delayed=(like.new_zeros(batch_size, self.delay, width),) if self.delay else (),
            usage=(like.new_zeros(batch_size, ring),) if self.counts_usage else (),
            cache=(like.new_zeros(cache_size), like.new_zeros(cache_size)),
        )

    def unpack(self, state: LayerState, layout: StateLayout) -> LayerState:
        """
        :param state: a memory
        :param layout: what lies where in it
        :return: the same with keys and values of the present parameters
        """
        written = layout.written[:, None, :, None]
        cache = self.block.keys_and_values(th.cat([state.slots, state.recent], dim=1), layout.times)
        return state._replace(cache=tuple(part.masked_fill(~written, 0) for part in cache))

    def step_(self, hidden: th.Tensor, state: LayerState, layout: StepLayout) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (batch, d_model)
        :param state: the memory before the step; afterwards it has the step's token, but what leaves it is not
            compressed yet
        :param layout: what the step reads and writes
        :return: outputs of this layer, (batch, d_model)
        """
        batch, tokens = layout.batch, layout.tokens
        if self.delay:
            self._exchange(state, layout)
        queries, position_logits, *new = self.block.project_once(hidden, tokens)
        self._remember(state, batch, layout.row, hidden, new)
        bias = self._step_bias(position_logits, layout, hidden.dtype)
        keys, values = state.cache
        for total in state.usage:
            n = self.shape.compressed_length
            # A tensor, since a number would be copied to a device while it waits.
            total[batch, layout.row] = total.new_zeros(())
            total += self.block.attention.weights(queries, keys[:, :, n:], bias[..., n:]).squeeze(1)
        outputs = self.block.after_attention(hidden, self.block.attention.attend_once(queries, keys, values, bias))
        if self.delay:
            state.delayed[0][batch, tokens[:, 0] % self.delay] = outputs
        return outputs

    def _step_bias(self, position_logits: th.Tensor | None, layout: StepLayout, dtype: th.dtype) -> th.Tensor:
        if position_logits is not None:
            positions = layout.positions[:, None, None].expand(-1, position_logits.shape[1], -1, -1)
            position_logits = position_logits.gather(3, positions)
        return _hide(position_logits, layout.hidden[:, None], dtype)

    def attention(self, hidden: th.Tensor, state: LayerState, layout: StepLayout) -> th.Tensor:
        """
        :param hidden: inputs of this layer, (batch, d_model)
        :param state: the memory after :meth:`step_`
        :param layout: what the step reads
        :return: attention weights over [slot ring | recent ring], means over the heads, (batch, N + M + 1)
        """
        queries, position_logits = self.block.queries(hidden, layout.tokens)
        bias = self._step_bias(position_logits, layout, hidden.dtype)
        return self.block.attention.weights(queries, state.cache[0], bias).squeeze(1)

    def compress_(self, state: LayerState, layout: StepLayout) -> None:
        """
        Make slots of the blocks that leave at the end of a step.

        :param state: the memory after the step; it is that without the blocks afterwards
        :param layout: what the step reads and writes
        """
        if self.compress is None or not layout.leaving.shape[0]:
            return
        # Computed for the whole batch, so that the rounding in one environment does not depend on how many others have
        # a block leaving at the same step.
        block = layout.batch[:, None], layout.block_rows
        made = self.compress(state.recent[block], self._mean_usage(tuple(total[block] for total in state.usage)))
        cache = self.block.keys_and_values(made, layout.slot_times if self.block.attention.needs_times else None)
        left, rows = layout.leaving, layout.slot_rows[layout.leaving]
        entries = left[:, None]
        put_(state.slots, (entries, rows), made[left], layout.leaves)
        for kept, new in zip(state.cache, cache, strict=True):
            put_(kept.transpose(1, 2), (entries, rows), new.transpose(1, 2)[left], layout.leaves)

    def _remember(
        self, state: LayerState, batch: th.Tensor, row: th.Tensor, memory: th.Tensor, new: list[th.Tensor]
    ) -> None:
        """Write memories (batch, d_model) with their keys and values into a row of the recent ring each."""
        state.recent[batch, row] = memory
        for kept, part in zip(state.cache, new, strict=True):
            kept[batch, :, self.shape.compressed_length + row] = part[:, :, 0]

    def _exchange(self, state: LayerState, layout: StepLayout) -> None:
        """Replace the memory of the token of ``delay`` steps ago by the output for it."""
        batch, tokens = layout.batch, layout.tokens
        then = tokens - self.delay
        row = then[:, 0] % self.shape.ring_length
        output = state.delayed[0][batch, tokens[:, 0] % self.delay]
        memory = th.where(then >= 0, output, state.recent[batch, row])
        # Where there was no such token the row is empty, and its key must stay zero.
        exists = (then >= 0)[:, :, None, None]
        new = [part * exists for part in self.block.keys_and_values(memory, then)]
        self._remember(state, batch, row, memory, new)

    def unroll(self, hidden: th.Tensor, state: LayerState, layout: WindowLayout) -> LayerWindow:
        """
        :param hidden: inputs of this layer, (batch, T, d_model)
        :param state: the memory before the window
        :param layout: who sees whom
        :return: what the window gives
        """
        window = hidden.shape[1]
        history = th.cat([take(state.recent.detach(), layout.recent_rows), hidden], dim=1)
        if self.delay:
            return self._unroll_delayed(hidden, history, state, layout)
        usage = self._carried_usage(state, layout)
        if usage:
            with th.no_grad():
                queries, position_logits, keys, _ = self.block.project(history, window, layout.history_tokens)
                bias = self._window_bias(position_logits, layout, hidden.dtype)[..., -history.shape[1] :]
                usage = (usage[0] + self.block.attention.weights(queries, keys, bias).sum(dim=1),)
        sight = layout.sight
        slots = self._slots(history, usage, state, layout, sight.makes_slots)
        unseen = self.shape.memory_length - sight.memory_length
        seen = th.cat([slots[:, sight.slots], history[:, unseen:]], dim=1)
        times = self._times(layout, sight.slots, unseen)
        queries, position_logits, keys, values = self.block.project(seen, window, times, sight.positions)
        band = layout.band(hidden.dtype)
        attended = self.block.attention.attend_window(queries, position_logits, keys, values, band)
        outputs = self.block.after_attention(hidden, attended)
        return LayerWindow(hidden, outputs, history, slots, usage=usage)

    def _slots(
        self,
        memories: th.Tensor,
        usage: tuple[th.Tensor, ...],
        state: LayerState,
        layout: WindowLayout,
        makes_slots: bool = True,
    ) -> th.Tensor:
        """
        Slots at the window's start, then, where any are to be made, those of the blocks of these memories (batch,
        M + T, d_model).
        """
        slots = state.slots.detach()
        if self.compress is None:
            return slots
        if not makes_slots:
            return take(slots, layout.slot_rows)
        mean = self._mean_usage(tuple(take_numbers(total, layout.block_tokens) for total in usage))
        made = self.compress(take(memories, layout.block_tokens), mean)
        return th.cat([take(slots, layout.slot_rows), made.flatten(1, 2)], dim=1)

    def _carried_usage(self, state: LayerState, layout: WindowLayout) -> tuple[th.Tensor, ...]:
        """Attention that the history's tokens have had before the window, (batch, M + T)."""
        window = layout.tokens.shape[1]
        return tuple(F.pad(total.gather(1, layout.recent_rows), (0, window)) for total in state.usage)

    def _mean_usage(self, totals: tuple[th.Tensor, ...]) -> th.Tensor | None:
        """
        :param totals: attention that the tokens of leaving blocks have had, (..., B), or nothing
        :return: the same per token that could see them, itself included: the block's oldest has been seen by M + 1
        """
        if not totals:
            return None
        m, b = self.shape.memory_length, self.shape.block_length
        return totals[0] / (m + 1 - th.arange(b, device=totals[0].device))

    def reconstruction(self, window: LayerWindow, layout: WindowLayout) -> th.Tensor:
        """
        :param window: what a window gave
        :param layout: who saw whom
        :return: the compression function's own loss, a scalar
        """
        assert self.compress is not None, "there is nothing to compress"
        n, per_block = self.shape.compressed_length, self.shape.slots_per_block
        hidden = layout.slots_hidden[:, :, n:]
        usage = self._mean_usage(tuple(take_numbers(total, layout.block_tokens) for total in window.usage))
        return self.compress.reconstruction(
            self.block,
            memories=take(window.memories, layout.block_tokens),
            usage=usage,
            left=layout.new_episodes[:, ::per_block] >= 0,
            queries=window.inputs,
            seen=~hidden.view(*hidden.shape[:2], -1, per_block).any(dim=3),
        )

    def _keys_and_values(
        self, slots: th.Tensor, memories: th.Tensor, layout: WindowLayout
    ) -> tuple[th.Tensor, th.Tensor]:
        return self.block.keys_and_values(th.cat([slots, memories], dim=1), self._times(layout))

    def _times(self, layout: WindowLayout, slots: slice = slice(None), first_of_history: int = 0) -> th.Tensor | None:
        """When these slots and this part of the history were, (batch, keys), where the attention asks."""
        if not self.block.attention.needs_times:
            return None
        tokens = layout.history_tokens[:, first_of_history:]
        return tokens if self.compress is None else th.cat([layout.slot_times[:, slots], tokens], dim=1)

    def _window_bias(self, position_logits: th.Tensor | None, layout: WindowLayout, dtype: th.dtype) -> th.Tensor:
        """
        :param position_logits: by relative position, (batch, heads, T, n_positions), None for zeros
        :param layout: who sees whom
        :param dtype: of the zeros
        :return: by key, HIDDEN where not to be seen, (batch, heads or 1, T, keys)
        """
        if position_logits is not None:
            ring = self.shape.ring_length
            bias = relative_shift(position_logits[..., :ring].flip(-1))
            if self.compress is not None:
                ranks = layout.ranks[:, None].expand(-1, position_logits.shape[1], -1, -1)
                bias = th.cat([position_logits[..., ring:].gather(3, ranks), bias], dim=3)
            position_logits = bias
        return _hide(position_logits, layout.hidden, dtype)

    def _unroll_delayed(
        self,
        hidden: th.Tensor,
        history: th.Tensor,
        state: LayerState,
        layout: WindowLayout,
    ) -> LayerWindow:
        """A token needs outputs for tokens at least D steps back, so that D steps at a time can be computed at once."""
        m, window = self.shape.memory_length, hidden.shape[1]
        queries, position_logits, input_keys, input_values = self.block.project(history, window, layout.history_tokens)
        bias = self._window_bias(position_logits, layout, hidden.dtype)
        newest = layout.history_tokens[:, m - self.delay : m] % self.delay
        outputs = th.cat([history[:, : m - self.delay], take(state.delayed[0].detach(), newest)], dim=1)
        usage = self._carried_usage(state, layout)
        n_slot_keys = bias.shape[3] - history.shape[1]
        far = layout.distance >= self.delay
        for start in range(0, window, self.delay):
            rows = slice(start, min(start + self.delay, window))
            # Outputs that are not known yet are of tokens, and slots of them of blocks, that these queries cannot see.
            known = F.pad(outputs, (0, 0, 0, window - start))
            slot_bias, recent_bias = bias[:, :, rows].tensor_split([n_slot_keys], dim=3)
            recent_bias = th.cat(
                [recent_bias.masked_fill(~far[rows], HIDDEN), recent_bias.masked_fill(far[rows], HIDDEN)], dim=3
            )
            seen = th.cat([slot_bias, recent_bias], dim=3)
            if usage:
                with th.no_grad():
                    keys, _ = self.block.keys_and_values(known, layout.history_tokens)
                    keys = th.cat([keys, input_keys], dim=2)
                    weights = self.block.attention.weights(queries[:, :, rows], keys, recent_bias)
                    usage = (usage[0] + sum(weights.sum(dim=1).chunk(2, dim=1)),)
            keys, values = self._keys_and_values(self._slots(known, usage, state, layout), known, layout)
            keys, values = th.cat([keys, input_keys], dim=2), th.cat([values, input_values], dim=2)
            new = self.block(hidden[:, rows], queries[:, :, rows], keys, values, seen)
            outputs = th.cat([outputs, new], dim=1)
        memories = th.where(far[-1][:, None], outputs, history)
        slots = self._slots(outputs, usage, state, layout)
        return LayerWindow(hidden, outputs[:, m:], memories, slots, (outputs,), usage)

    def final_state(self, window: LayerWindow, layout: WindowLayout) -> LayerState:
        """
        :param window: what the window gave
        :param layout: who saw whom
        :return: the packed memory after it
        """
        row, written = layout.final_ring(self.shape.ring_length)
        recent = take_written(window.memories.detach(), row, written)
        usage = tuple(total.gather(1, row).masked_fill(~written, 0) for total in window.usage)
        slots = window.slots.detach()
        if self.compress is not None:
            row, written = layout.final_slots()
            slots = take_written(slots, row, written)
        delayed: tuple[th.Tensor, ...] = ()
        if self.delay:
            row, written = layout.final_ring(self.delay)
            delayed = (take_written(window.delayed[0].detach(), row, written),)
        return LayerState(recent, slots, delayed, usage)


def _hide(position_logits: th.Tensor | None, hidden: th.Tensor, dtype: th.dtype) -> th.Tensor:
    """
    :param position_logits: (batch, heads, queries, keys), None for zeros
    :param hidden: whether a key must not be seen, (batch, queries, keys)
    :param dtype: of the zeros
    :return: the bias, (batch, heads or 1, queries, keys)
    """
    if position_logits is None:
        return th.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, HIDDEN)[:, None]
    return position_logits.masked_fill(hidden[:, None], HIDDEN)
