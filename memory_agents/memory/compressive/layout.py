"""
Who sees whom: the integer side of the compressive memory, without a single hidden state.

Tokens of an episode are counted e = 0, 1, 2, ...; block b holds the tokens [b B, (b + 1) B) and leaves the recent
memory at the end of step M + b B, when it becomes B / c slots, numbered in the order of their making.

In a state, token e lies in row e mod (M + 1) of the recent ring and slot s in row s mod N of the slot ring.

With a judge the slots of kept blocks alone are made and numbered, and how many there are is no longer told by the
token's number; what was judged then comes as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import torch as th

from memory_agents.memory.compressive.judgement import Judgement
from memory_agents.memory.tracing import is_traced
from memory_agents.nn import HIDDEN, Band, chunk_length
from memory_agents.nn.arguments import check_integers


@dataclass(frozen=True)
class MemoryShape:
    """
    Sizes of the two memories.

    :param memory_length: M, tokens of recent memory; 0 for none: a token then sees itself and nothing else
    :param compressed_length: N, slots of compressed memory; 0 for none
    :param compression_rate: c, tokens per slot
    :param block_length: B, tokens that leave the recent memory together
    :raises ValueError: when the sizes do not fit together
    """

    memory_length: int
    compressed_length: int
    compression_rate: int
    block_length: int

    def __post_init__(self) -> None:
        m, n, c, b = self.memory_length, self.compressed_length, self.compression_rate, self.block_length
        check_integers(least=0, memory_length=m, compressed_length=n)
        check_integers(compression_rate=c, block_length=b)
        if n > 0 and b % c:
            fitting = c * max(1, min(b, m) // c)
            more = f" and memory_length={fitting}" if fitting > m else ""
            raise ValueError(
                f"block_length={b} must be a multiple of compression_rate={c}; use block_length={fitting}{more}"
            )
        if n > 0 and m == 0:
            raise ValueError(
                f"compressed_length={n} has no recent memory to be filled from where memory_length=0; use "
                f"memory_length={b} or more there, or compressed_length=0 (both may be lists, a number for each layer)"
            )
        if b > max(m, 1):
            raise ValueError(
                f"block_length={b} must not exceed memory_length={m}: a block leaves the recent memory whole; "
                f"use memory_length={b} or more"
            )
        if n > 0 and n < self.slots_per_block:
            raise ValueError(
                f"compressed_length={n} cannot hold the {self.slots_per_block} slots of one block "
                f"(block_length={b} / compression_rate={c}); "
                f"use compressed_length={self.slots_per_block} or more, or 0 for none"
            )

    @property
    def slots_per_block(self) -> int:
        """Slots that one block becomes; 0 without a compressed memory."""
        return self.block_length // self.compression_rate if self.compressed_length else 0

    @property
    def ring_length(self) -> int:
        """Rows of the recent ring: the newest token and the M before it."""
        return self.memory_length + 1

    @property
    def n_positions(self) -> int:
        """Relative positions: distances 0 to M, then slot ranks 0 (the newest) to N - 1."""
        return self.ring_length + self.compressed_length

    def blocks_left(self, tokens: th.Tensor) -> th.Tensor:
        """
        :param tokens: token numbers e, any shape
        :return: E(e) = max(0, ceil((e - M) / B)), blocks that have left the recent memory before token e is processed
        """
        return (tokens - (self.memory_length - self.block_length + 1)).clamp_min(0) // self.block_length

    def slot_times(self, numbers: th.Tensor) -> th.Tensor:
        """
        :param numbers: numbers of slots, any shape
        :return: the mean number of the tokens that each stands for, in the order of both, float64
        """
        return numbers.double() * self.compression_rate + (self.compression_rate - 1) / 2

    def block_leaves(self, tokens: th.Tensor) -> th.Tensor:
        """
        :param tokens: token numbers e, any shape
        :return: whether a block leaves at the end of step e
        """
        past = tokens - self.memory_length
        return (past >= 0) & (past % self.block_length == 0)


class StateLayout:
    """
    What lies where in a state, in the order [slot ring | recent ring], K = N + M + 1 rows in all.

    :param shape: sizes of the memories
    :param steps: tokens seen of the episode in progress, (batch,)
    :param judgement: with a judge, its part of the state
    """

    def __init__(self, shape: MemoryShape, steps: th.Tensor, judgement: Judgement | None = None) -> None:
        device, ring, n = steps.device, shape.ring_length, shape.compressed_length
        seen = steps[:, None]
        rows = th.arange(ring, device=device)
        slots = th.arange(n, device=device)
        if judgement is None:
            made = shape.slots_per_block * shape.blocks_left(seen)
            numbers = made - 1 - (made - 1 - slots) % n if n else made
        else:
            made, numbers = judgement.made[:, None], judgement.numbers
        #: whether the episode has written a row, (batch, K)
        self.written = th.cat([slots < made, rows < seen], dim=1)
        tokens = seen - 1 - (seen - 1 - rows) % ring
        #: when its content was, in tokens, (batch, K); meant for written rows alone
        self.times = th.cat([shape.slot_times(numbers), tokens.double()], dim=1) if n else tokens


class StepLayout:
    """
    What one acting step reads and writes. Keys lie in the order [slot ring | recent ring], K = N + M + 1 in all.

    :param shape: sizes of the memories
    :param tokens: number e of the token of this step, (batch,)
    :param judgement: with a judge, its part of the state
    """

    def __init__(self, shape: MemoryShape, tokens: th.Tensor, judgement: Judgement | None = None) -> None:
        device, ring, n = tokens.device, shape.ring_length, shape.compressed_length
        self._shape = shape
        #: number of the token, which is its time, (batch, 1)
        self.tokens = e = tokens[:, None]
        blocks = shape.blocks_left(e)
        reach = e - shape.block_length * blocks
        #: batch entries, (batch,)
        self.batch = th.arange(tokens.shape[0], device=device)
        #: row of the recent ring that this token takes, (batch,)
        self.row = tokens % ring
        if n == 0:
            self.positions = (e - th.arange(ring, device=device)) % ring
            self.hidden = self.positions > reach
            self.leaving = th.empty(0, dtype=th.long, device=device)
            return
        self.leave_where(shape.block_leaves(tokens))
        all_made = shape.slots_per_block * blocks
        #: slots made so far, (batch, 1)
        self.made = made = all_made if judgement is None else judgement.made[:, None]
        # What a compiler makes of tensors must not be kept.
        rings = _rings if th.compiler.is_compiling() else _known_rings
        in_slots, rows, lengths, first_positions = rings(n, ring, device)
        newest = made - 1
        # Rank of a slot, distance of a token.
        age = (th.where(in_slots, newest, e) - rows) % lengths
        #: relative position of each key, (batch, K)
        self.positions = age + first_positions
        #: whether it must not be seen, (batch, K)
        self.hidden = age > th.where(in_slots, newest, reach)
        if self.leaving.shape[0]:
            #: rows of the recent ring that hold the leaving block, (batch, B); meant for the leaving entries alone
            self.block_rows = (e - shape.memory_length + th.arange(shape.block_length, device=device)) % ring
            within = th.arange(shape.slots_per_block, device=device)
            #: rows of the slot ring that its slots take, (batch, B / c)
            self.slot_rows = (made + within) % n
            #: their numbers if everything was kept, (batch, B / c)
            self.slot_numbers = all_made + within

    @property
    def slot_times(self) -> th.Tensor:
        """When the slots made at this step were, in tokens, (batch, B / c)."""
        return self._shape.slot_times(self.slot_numbers)

    def leave_where(self, leaves: th.Tensor) -> None:
        """
        :param leaves: whether a block leaves at the end of this step and becomes slots, (batch,) bool
        """
        self.leaves = leaves
        #: batch entries whose blocks are compressed, (L,): those where one leaves, or all of them in a graph
        self.leaving = self.batch if is_traced() else leaves.nonzero().squeeze(1)


def _rings(n_slots: int, n_recent: int, device: th.device) -> tuple[th.Tensor, ...]:
    """
    :param n_slots: rows of the slot ring
    :param n_recent: rows of the recent ring
    :param device: where they lie
    :return: for each row of [slot ring | recent ring]: whether it is one of slots, its number in its ring, the length
        of the ring, and the relative position of the ring's newest row
    """
    row = th.arange(n_slots + n_recent, device=device)
    in_slots = row < n_slots
    length = th.where(in_slots, n_slots, n_recent)
    return in_slots, th.where(in_slots, row, row - n_slots), length, th.where(in_slots, n_recent, 0)


_known_rings = cache(_rings)


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
    The same for a window of T steps at once. Keys lie in the order [slots at the window's start | slots made during the
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

    def band(self, dtype: th.dtype) -> Band:
        """
        :param dtype: of its bias
        :return: the same in chunks, with no keys that no token of a chunk can see
        """
        if dtype not in self._bands:
            m, window = self.shape.memory_length, self.tokens.shape[1]
            length = chunk_length(window)
            distance = self.distance[:length, : m + length]
            batch, n_slots = len(self.ranks), self.ranks.shape[2]
            seen = (distance >= 0) & (distance <= self.reach.view(batch, -1, length, 1))
            hidden = th.cat([self.slots_hidden.view(batch, window // length, length, n_slots), ~seen], dim=3)
            bias = th.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, HIDDEN)
            self._bands[dtype] = Band(bias, self.ranks, m)
        return self._bands[dtype]

    def _find_leaving_blocks(self, window: int) -> None:
        shape, b = self.shape, self.shape.block_length
        device = self.tokens.device
        chunks = -(-window // b)
        #: whether a block leaves at the end of a step, (batch, T)
        self.leaves = shape.block_leaves(self.tokens)
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
