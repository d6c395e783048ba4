"""
Who sees whom: the integer side of the compressive memory, without a single hidden state.

Tokens of an episode are counted e = 0, 1, 2, ...; block b holds the tokens [b B, (b + 1) B) and leaves the recent
memory at the end of step M + b B, when it becomes B / c slots, numbered in the order of their making.

In a state, token e lies in row e mod (M + 1) of the recent ring and slot s in row s mod N of the slot ring.

With a judge the slots of kept blocks alone are made and numbered, and how many there are is no longer told by the
token's number; what was judged then comes as an argument.
"""

from __future__ import annotations

from functools import cache

import torch as th

from memory_agents.memory.compressive.judgement import Judgement
from memory_agents.memory.compressive.shape import MemoryShape
from memory_agents.nn.tracing import is_traced


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
            numbers = made - 1 - (made - 1 - slots) % n if n else made[:, :0]
        else:
            # Layers without slots are not judged.
            made, numbers = judgement.made[:, None], judgement.numbers[:, :n]
        #: whether the episode has written a row, (batch, K)
        self.written = th.cat([slots < made, rows < seen], dim=1)
        #: numbers of the slots, (batch, N); meant for written rows alone
        self.numbers = numbers
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
