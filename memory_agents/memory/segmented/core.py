"""How memories that are read and written once per segment run: step by step, and a window at once."""

from __future__ import annotations

from contextlib import nullcontext

import torch as th
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from memory_agents.memory.segmented.layers import SegmentLayers
from memory_agents.memory.segmented.layout import Round, WindowLayout
from memory_agents.memory.segmented.state import Segment, SegmentedState
from memory_agents.memory.segmented.view import TokenView
from memory_agents.memory.state import check_batch, per_entry, tree_clone, tree_leaves, tree_map, tree_select
from memory_agents.nn.evaluating import evaluating
from memory_agents.nn.mixed_precision import exact
from memory_agents.nn.tracing import is_traced


class SegmentedMemory(SegmentLayers):
    """
    A transformer over segments of S steps, counted from the start of the episode: token e belongs to segment e // S. It
    sees the tokens of its segment up to itself, the memory as it was at the segment's start, and the last X tokens of
    the segment before, as in Transformer-XL. When a segment is full, at the end of its last step, the memory is
    written; an episode start puts back the initial memory.

    Inside a window gradients flow from segment to segment through the memory and the XL memory; none flow into the
    state from before it. ``bptt_depth`` cuts both at every so many segments of the episode, whatever the windows; 1
    cuts at every border, as Transformer-XL does with its memory. With ``memory_replay`` (memory replay backpropagation,
    Wu et al. 2020, arXiv 2010.06891, section 3.4) nothing of a segment is kept for the backward pass but what it was
    given, which is enough to run it once more when its turn comes: the same gradients for less memory and one more
    forward pass.

    Arguments and what derived classes define: :class:`~memory_agents.memory.segmented.layers.SegmentLayers`.
    """

    def initial_state(self, batch_size: int) -> SegmentedState:
        return tree_map(lambda leaf: leaf.repeat(batch_size, *(1,) * (leaf.dim() - 1)), self._fresh())

    @th.no_grad()
    def _fresh(self) -> SegmentedState:
        """The state of one batch entry before the first step of an episode."""
        # Without gradients, too, a view of a parameter asks for them.
        with exact(next(self.parameters()).device):
            memory = self.initial_memory().detach().expand(self.row_multiple, -1, -1)
            caches = [(keys[:1], values[:1]) for keys, values in self._acting_keys(memory)]
        tokens = (0, 0, 0, self.n_rows)
        recent = memory.new_zeros(1, self.n_rows, self.output_dim)
        return SegmentedState(
            th.zeros(1, dtype=th.long, device=memory.device),
            memory[:1],
            (recent,) * (self.n_layers + self.remembers_outputs),
            tuple(F.pad(keys, tokens) for keys, _ in caches),
            tuple(F.pad(values, tokens) for _, values in caches),
        )

    def _acting_keys(self, memory: th.Tensor) -> list[tuple[th.Tensor, th.Tensor]]:
        """Keys and values of memories for acting, which drops nothing, whatever mode this is in."""
        with evaluating(self) if self.training and not is_traced() else nullcontext():
            return self.memory_keys(memory)

    def pack_state(self, state: SegmentedState) -> SegmentedState:
        return state._replace(keys=(), values=())

    @th.no_grad()
    def unpack_state(self, state: SegmentedState) -> SegmentedState:
        row = th.arange(self.n_rows, device=state.steps.device)
        used = self.xl_memory + state.steps[:, None] % self.segment_length
        unwritten = (row >= used) | ((row < self.xl_memory) & (state.steps[:, None] < self.segment_length))
        keys, values = [], []
        with exact(state.steps.device):
            for layer, (memory_keys, memory_values) in enumerate(self._acting_keys(state.memory)):
                token_keys, token_values = self.token_keys(layer, state.recent[layer])
                keys.append(th.cat([memory_keys, token_keys.masked_fill(unwritten[:, None, :, None], 0)], dim=2))
                values.append(th.cat([memory_values, token_values.masked_fill(unwritten[:, None, :, None], 0)], dim=2))
        return state._replace(keys=tuple(keys), values=tuple(values))

    # --- acting

    @th.no_grad()
    def step_(self, x: th.Tensor, state: SegmentedState, episode_starts: th.Tensor) -> tuple[th.Tensor, SegmentedState]:
        check_batch(state, x)
        with exact(x.device):
            return self._exact_step_(x.to(state.memory.dtype), state, episode_starts)

    def _exact_step_(
        self, x: th.Tensor, state: SegmentedState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, SegmentedState]:
        if not state.keys:
            state = self.unpack_state(state)
        if is_traced():
            state = _where(episode_starts, self._fresh(), state)
        elif len(starting := episode_starts.nonzero().squeeze(1)):
            _put_(state, starting, self._fresh())
        batch = th.arange(x.shape[0], device=x.device)
        positions = state.steps % self.segment_length
        row = self.xl_memory + positions
        view = TokenView(
            self.hides(positions[:, None], state.steps >= self.segment_length),
            (row[:, None, None] - th.arange(self.n_rows, device=x.device)).clamp_min(0),
        )
        hidden: th.Tensor = self.input(x)[:, None]
        for layer, (keys, values) in enumerate(zip(state.keys, state.values, strict=True)):
            key, value = self.token_keys(layer, hidden)
            key_row = row + keys.shape[2] - self.n_rows
            state.recent[layer][batch, row] = hidden[:, 0]
            keys[batch, :, key_row] = key[:, :, 0]
            values[batch, :, key_row] = value[:, :, 0]
            hidden = self.layer(layer, hidden, keys, values, view)
        if self.remembers_outputs:
            state.recent[-1][batch, row] = hidden[:, 0]
        state.steps.add_(1)
        full = state.steps % self.segment_length == 0
        if is_traced():
            state = _where(full, self._next_segment(state), state)
        elif len(entries := full.nonzero().squeeze(1)):
            padded = F.pad(entries, (0, -len(entries) % self.row_multiple))
            after = self._next_segment(tree_select(state, padded))
            _put_(state, entries, tree_map(lambda leaf: leaf[: len(entries)], after))
        return hidden.squeeze(1), state

    def _next_segment(self, state: SegmentedState) -> SegmentedState:
        """The state once the memory is written, where all segments are full."""
        has_previous = state.steps > self.segment_length
        memory = self.write(Segment(state.memory, state.recent, state.keys, state.values, has_previous))
        caches = self.memory_keys(memory)
        n_tokens = self.n_rows

        def next_cache(new: th.Tensor, old: th.Tensor) -> th.Tensor:
            return th.cat([new, self._turned(old[:, :, old.shape[2] - n_tokens :])], dim=2)

        return SegmentedState(
            state.steps,
            memory,
            tuple(self._turned(recent) for recent in state.recent),
            tuple(next_cache(new, old) for (new, _), old in zip(caches, state.keys, strict=True)),
            tuple(next_cache(new, old) for (_, new), old in zip(caches, state.values, strict=True)),
        )

    def _turned(self, rows: th.Tensor) -> th.Tensor:
        """Rows [XL memory | segment] after the segment is full: its end becomes the XL memory, (..., R, width)"""
        return F.pad(rows[..., self.segment_length :, :], (0, 0, 0, self.segment_length))

    # --- learning

    def unroll(
        self, x: th.Tensor, state: SegmentedState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, SegmentedState]:
        outputs, final, _ = self.unroll_segment(x, state, episode_starts)
        return outputs, self.unpack_state(final)

    def unroll_outputs(self, x: th.Tensor, state: SegmentedState, episode_starts: th.Tensor) -> th.Tensor:
        return self._unroll(x, state, episode_starts, None)

    def unroll_segment(
        self, x: th.Tensor, state: SegmentedState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, SegmentedState, None]:
        final = tree_clone(self.pack_state(state))
        return self._unroll(x, state, episode_starts, final), final, None

    def _unroll(
        self, x: th.Tensor, state: SegmentedState, episode_starts: th.Tensor, final: SegmentedState | None
    ) -> th.Tensor:
        """Outputs; the state after the window is written over ``final``."""
        check_batch(state, x)
        layout = WindowLayout(self.segment_length, state.steps, episode_starts, self.row_multiple)
        tokens: th.Tensor = self.input(x).flatten(0, 1).to(state.memory.dtype)
        begins = ~layout.continuing[:, None, None]
        memory = th.where(begins, self.initial_memory(), state.memory.detach()[layout.entries])
        before = [recent.detach()[layout.entries].masked_fill(begins, 0) for recent in state.recent]
        xl = [recent[:, : self.xl_memory] for recent in before]
        present = [recent[:, self.xl_memory :] for recent in before]
        outputs = []
        for number, segments in enumerate(layout.rounds):
            n = len(segments.tokens)
            memory, xl = memory[:n], [rows[:n] for rows in xl]
            if number and self.bptt_depth is not None:
                cut = (segments.numbers % self.bptt_depth == 0)[:, None, None]
                memory, xl = _detach_where(cut, memory), [_detach_where(cut, rows) for rows in xl]
            # Only the first segments can have begun before the window, and the last write may have no reader.
            known = [] if number else present
            writes = final is not None or number + 1 < len(layout.rounds)
            arguments = (tokens, segments, memory, xl, known, layout.offset[:n], writes)
            if self.memory_replay and th.is_grad_enabled():
                y, written, xl, recent = checkpoint(self._segment, *arguments, use_reentrant=False)
            else:
                y, written, xl, recent = self._segment(*arguments)
            if final is not None:
                self._end(final, layout, segments, memory, written, recent)
            outputs.append(y)
            memory = written
        return layout.join(outputs)

    def _segment(
        self,
        tokens: th.Tensor,
        segments: Round,
        memory: th.Tensor,
        xl: list[th.Tensor],
        known: list[th.Tensor],
        offset: th.Tensor,
        writes: bool,
    ) -> tuple[th.Tensor, th.Tensor, list[th.Tensor], list[th.Tensor]]:
        """
        One round of segments.

        :param tokens: inputs of the first layer, (batch * T, d_model)
        :param segments: which of them
        :param memory: as these segments read it, (n, slots, d_model)
        :param xl: XL memory of every entry of ``recent``, (n, X, d_model) each
        :param known: hidden states of the segments from before the window, if any, (n, S, d_model) each
        :param offset: how many of these there are, (n,)
        :param writes: whether the memory after the segments is asked for
        :return: outputs (n, S, d_model), memory and XL memory after the segments, ``recent`` (without gradient)
        """
        position = th.arange(self.segment_length, device=tokens.device)
        has_previous = segments.numbers > 0
        view = TokenView(self.hides(position[None], has_previous))
        from_before = (position < offset[:, None])[:, :, None]
        caches = self.memory_keys(memory)
        hidden = tokens.index_select(0, segments.tokens.flatten()).view(*segments.tokens.shape, -1)
        recent, all_keys, all_values = [], [], []
        for layer, (memory_keys, memory_values) in enumerate(caches):
            if known:
                hidden = th.where(from_before, known[layer], hidden)
            recent.append(th.cat([xl[layer], hidden], dim=1))
            token_keys, token_values = self.token_keys(layer, recent[-1])
            all_keys.append(th.cat([memory_keys, token_keys], dim=2))
            all_values.append(th.cat([memory_values, token_values], dim=2))
            hidden = self.layer(layer, hidden, all_keys[-1], all_values[-1], view)
        if self.remembers_outputs:
            last = th.where(from_before, known[-1], hidden) if known else hidden
            recent.append(th.cat([xl[-1], last], dim=1))
        if writes:
            memory = self.write(Segment(memory, tuple(recent), tuple(all_keys), tuple(all_values), has_previous))
        # A slice would keep the whole alive.
        next_xl = [rows[:, self.segment_length :].clone() for rows in recent]
        return hidden, memory, next_xl, [rows.detach() for rows in recent]

    @th.no_grad()
    def _end(
        self,
        final: SegmentedState,
        layout: WindowLayout,
        segments: Round,
        memory: th.Tensor,
        written: th.Tensor,
        recent: list[th.Tensor],
    ) -> None:
        """Write the states after the windows that end with these segments."""
        entries, columns = segments.ending_entries, segments.ending
        steps = layout.steps_after[entries]
        used = (steps % self.segment_length)[:, None, None]
        final.steps[entries] = steps
        final.memory[entries] = th.where(used == 0, written[columns], memory[columns])
        row = th.arange(self.n_rows, device=steps.device)[:, None]
        for kept, rows in zip(final.recent, recent, strict=True):
            rows = rows[columns]
            present = rows.masked_fill(row >= self.xl_memory + used, 0)
            kept[entries] = th.where(used == 0, self._turned(rows), present)


def _detach_where(cut: th.Tensor, values: th.Tensor) -> th.Tensor:
    return th.where(cut, values.detach(), values)


def _put_(state: SegmentedState, entries: th.Tensor, new: SegmentedState) -> None:
    """Write the state of some batch entries, or one state to all of these."""
    for kept, part in zip(tree_leaves(state), tree_leaves(new), strict=True):
        kept[entries] = part


def _where(flags: th.Tensor, new: SegmentedState, old: SegmentedState) -> SegmentedState:
    """The new state where the flags, (batch,), say so."""
    return tree_map(lambda a, b: th.where(per_entry(flags, b), a, b), new, old)
