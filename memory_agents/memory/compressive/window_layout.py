"""
Who sees whom in a window of steps at once, without a single hidden state: see
:mod:`~memory_agents.memory.compressive.layout`.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch as th

from memory_agents.memory.compressive.judgement import Judgement
from memory_agents.memory.compressive.shape import MemoryShape
from memory_agents.nn import HIDDEN, Band, chunk_length
from memory_agents.nn.tracing import is_traced

#: The farthest distance that is seen is rounded up to a multiple of this, so that sizes recur.
DISTANCES_AT_ONCE = 16


class Sight(NamedTuple):
    """
    What at least one token of a window can see. Where episodes are shorter than the memories that is little of them.

    :param memory_length: distance up to which recent memory is seen, M or less
    :param slots: the slot keys that are seen, from the first to the last
    :param positions: the relative positions of these: distances, then ranks, (n,) int64; None for all that there are
    :param makes_slots: whether a block leaves, which has to be compressed
    """

    memory_length: int
    slots: slice
    positions: th.Tensor | None
    makes_slots: bool


def token_numbers(steps: th.Tensor, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """
    :param steps: tokens already seen of the episode in progress, (batch,)
    :param episode_starts: (batch, T) bool
    :return: for each token of the window: its episode, 0 for the one in progress at the window's start, then 1, 2, ...;
        its number e in the episode; and the last step up to it at which an episode starts, -1 where there is none;
        (batch, T) each
    """
    t = th.arange(episode_starts.shape[1], device=steps.device)
    episodes = episode_starts.long().cumsum(1)
    last_start = th.where(episode_starts, t, -1).cummax(1).values
    return episodes, th.where(episodes == 0, steps[:, None] + t, t - last_start), last_start


class WindowLayout:
    """
    Who sees whom in a window of T steps. Keys lie in the order [slots at the window's start | slots made during the
    window | recent memory at the window's start | the window]; "history" is the last two, M + T tokens.

    A block leaves at most every B steps, also across episodes (an episode's first block leaves after M >= B steps), so
    cutting the window into chunks of B steps gives each chunk at most one block: static shapes, nothing to sort.

    :param shape: sizes of the memories
    :param steps: tokens already seen of the episode in progress, (batch,)
    :param episode_starts: (batch, T) bool
    :param judgement: with a judge, its part of the state, with a plan for the window
    """

    def __init__(
        self, shape: MemoryShape, steps: th.Tensor, episode_starts: th.Tensor, judgement: Judgement | None = None
    ) -> None:
        self.shape = shape
        self.made_after: th.Tensor | None = None
        self._bands: dict[th.dtype, Band] = {}
        window = episode_starts.shape[1]
        device, m, ring = steps.device, shape.memory_length, shape.ring_length
        t = th.arange(window, device=device)
        #: episodes of the window's tokens, and their numbers, (batch, T) each
        self.episodes, self.tokens, last_start = token_numbers(steps, episode_starts)
        #: numbers of the history's tokens, (batch, M + T); negative where the episode had not begun yet
        before = steps[:, None] - m + th.arange(m, device=device)
        self.history_tokens = th.cat([before, self.tokens], dim=1)
        #: rows of the recent ring, (batch, M), and below of the slot ring, (batch, N), in order of time
        self.recent_rows = before % ring
        blocks = shape.blocks_left(self.tokens)
        #: whether a block leaves at the end of a step, (batch, T)
        self.leaves = shape.block_leaves(self.tokens)

        #: steps from each token of the history to each token of the window, (T, M + T)
        self.distance = t[:, None] + m - th.arange(m + window, device=device)
        #: distance up to which a token sees its recent past, (batch, T). A token that is no further back than the
        #: oldest visible one is of the same episode: no episode ids are needed.
        self.reach = self.tokens - shape.block_length * blocks
        if shape.compressed_length == 0:
            no_slots = (*self.tokens.shape, 0)
            self.ranks = self.tokens.new_zeros(no_slots)
            self.slots_hidden = self.ranks.bool()
            return

        self._find_leaving_blocks(window)
        n = shape.compressed_length
        if judgement is None:
            made = shape.slots_per_block * blocks
            at_start = shape.slots_per_block * shape.blocks_left(steps)
        else:
            made, at_start = self._judge(judgement, last_start), judgement.made
        old_numbers = at_start[:, None] - n + th.arange(n, device=device)
        self.slot_rows = old_numbers % n
        numbers = th.cat([old_numbers, self.new_numbers], dim=1)
        episodes = th.cat([th.where(old_numbers >= 0, 0, -1), self.new_episodes], dim=1)
        rank = made[:, :, None] - 1 - numbers[:, None, :]
        slot_visible = (rank >= 0) & (rank < n) & (self.episodes[:, :, None] == episodes[:, None, :])
        #: rank of each slot key as each token sees it, 0 where it sees none, (batch, T, slot keys)
        self.ranks = th.where(slot_visible, rank, 0)
        #: whether a slot must not be seen by a token, (batch, T, slot keys)
        self.slots_hidden = ~slot_visible
        if judgement is None:
            self.times_as_numbers = numbers
        else:
            old = judgement.numbers.gather(1, self.slot_rows)
            self.times_as_numbers = th.cat([old, self.numbers_if_kept], dim=1)
        #: when the slots were, in tokens, (batch, slot keys)
        self.slot_times = shape.slot_times(self.times_as_numbers)
        self._numbers, self._slot_episodes, self._slots_at_start = numbers, episodes, at_start

    @cached_property
    def hidden(self) -> th.Tensor:
        """Whether a key must not be seen by a token, (batch, T, keys)."""
        seen = (self.distance >= 0) & (self.distance <= self.reach[:, :, None])
        return th.cat([self.slots_hidden, ~seen], dim=2)

    @cached_property
    def sight(self) -> Sight:
        """What is seen at all; everything where finding that out would wait for a device or fix what is compiled."""
        shape, n_slots = self.shape, self.ranks.shape[2]
        if is_traced() or self.reach.device.type != "cpu" or not self.reach.numel():
            return Sight(shape.memory_length, slice(0, n_slots), None, makes_slots=True)
        seen = (~self.slots_hidden).flatten(0, 1).any(dim=0).nonzero()
        slots = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 0)
        farthest = -(-int(self.reach.max()) // DISTANCES_AT_ONCE) * DISTANCES_AT_ONCE
        memory_length = min(farthest, shape.memory_length)
        n_ranks = int(self.ranks.max()) + 1 if len(seen) else 0
        positions = None
        if memory_length < shape.memory_length or n_ranks < shape.compressed_length:
            positions = th.cat([th.arange(memory_length + 1), shape.ring_length + th.arange(n_ranks)])
        return Sight(memory_length, slots, positions, makes_slots=bool(self.leaves.any()))

    def band(self, dtype: th.dtype) -> Band:
        """
        :param dtype: of its bias
        :return: who sees whom of what is seen at all, in chunks, with no keys that no token of a chunk can see
        """
        if dtype not in self._bands:
            m, slots, window = self.sight.memory_length, self.sight.slots, self.tokens.shape[1]
            length = chunk_length(window)
            distance = self.distance[:length, self.shape.memory_length - m :][:, : m + length]
            batch, slots_hidden = len(self.ranks), self.slots_hidden[:, :, slots]
            seen = (distance >= 0) & (distance <= self.reach.view(batch, -1, length, 1))
            hidden = th.cat([slots_hidden.view(batch, window // length, length, -1), ~seen], dim=3)
            bias = th.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, HIDDEN)
            self._bands[dtype] = Band(bias, self.ranks[:, :, slots], m)
        return self._bands[dtype]

    def _find_leaving_blocks(self, window: int) -> None:
        shape, b = self.shape, self.shape.block_length
        device = self.tokens.device
        chunks = -(-window // b)
        leaves = th.nn.functional.pad(self.leaves, (0, chunks * b - window))
        any_leaves, offset = leaves.view(-1, chunks, b).max(dim=2)
        #: step at whose end it leaves, (batch, chunks)
        self.last_step = last_step = (th.arange(chunks, device=device) * b + offset).clamp_max(window - 1)
        #: history tokens of each candidate block, (batch, chunks, B)
        self.block_tokens = last_step[:, :, None] + th.arange(b, device=device)
        block = (self.tokens.gather(1, last_step) - shape.memory_length) // b
        within = th.arange(shape.slots_per_block, device=device)
        #: number and episode of each slot made in the window, episode -1 where there is none, (batch, chunks * B / c)
        self.new_numbers = (block[:, :, None] * shape.slots_per_block + within).flatten(1)
        episodes = th.where(any_leaves, self.episodes.gather(1, last_step), -1)
        self.new_episodes = episodes.repeat_interleave(shape.slots_per_block, dim=1)

    def _judge(self, judgement: Judgement, last_start: th.Tensor) -> th.Tensor:
        """
        Number the slots of kept blocks alone.

        :param judgement: the judge's part of the state
        :param last_start: last episode start up to each step, -1 where there is none in the window, (batch, T)
        :return: slots made before each step in its episode, (batch, T)
        """
        shape = self.shape
        keep = (self.leaves & judgement.plan[0].keep).long()
        kept = keep.cumsum(1)
        before = kept - keep
        before_episode = before.gather(1, last_start.clamp_min(0)).masked_fill(self.episodes == 0, 0)
        slots = shape.slots_per_block * (before - before_episode)
        made = slots + judgement.made[:, None].masked_fill(self.episodes > 0, 0)
        #: slots made after the window, (batch,)
        self.made_after = made[:, -1] + shape.slots_per_block * keep[:, -1]
        self.numbers_if_kept = self.new_numbers
        within = th.arange(shape.slots_per_block, device=keep.device)
        self.new_numbers = (made.gather(1, self.last_step)[:, :, None] + within).flatten(1)
        discarded = (keep.gather(1, self.last_step) == 0).repeat_interleave(shape.slots_per_block, dim=1)
        self.new_episodes = self.new_episodes.masked_fill(discarded, -1)
        return made

    def final_ring(self, length: int) -> tuple[th.Tensor, th.Tensor]:
        """
        :param length: rows of a ring of the newest tokens, M + 1 at most
        :return: for each of its rows after the window the index of its token in the history, and whether there is
            one, each (batch, length)
        """
        last = self.tokens[:, -1:]
        back = (last - th.arange(length, device=last.device)) % length
        return self.shape.memory_length + self.tokens.shape[1] - 1 - back, back <= last

    def _final_kept_slots(self) -> tuple[th.Tensor, th.Tensor]:
        """
        :return: what :meth:`final_slots` returns, with a judge
        """
        assert self.made_after is not None
        n, last = self.shape.compressed_length, self.made_after[:, None] - 1
        number = last - (last - th.arange(n, device=last.device)) % n
        of_episode = self._slot_episodes == self.episodes[:, -1:]
        found = (number[:, :, None] == self._numbers[:, None, :]) & of_episode[:, None, :]
        return found.long().argmax(dim=2), number >= 0

    def final_slots(self) -> tuple[th.Tensor, th.Tensor]:
        """
        :return: for each row of the final slot ring the index of its slot among the slot keys, and whether there is
            one, each (batch, N)
        """
        if self.made_after is not None:
            return self._final_kept_slots()
        shape, n, per_block = self.shape, self.shape.compressed_length, self.shape.slots_per_block
        last, window = self.tokens[:, -1:], self.tokens.shape[1]
        made = per_block * shape.blocks_left(last + 1)
        number = made - 1 - (made - 1 - th.arange(n, device=last.device)) % n
        block = number // per_block
        left_at = window - 1 - (last - shape.memory_length - block * shape.block_length)
        new = n + left_at // shape.block_length * per_block + number % per_block
        old = number - (self._slots_at_start[:, None] - n)
        exists = number >= 0
        return th.where(exists, th.where(left_at >= 0, new, old), 0), exists
