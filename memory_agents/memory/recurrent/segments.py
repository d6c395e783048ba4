"""Windows cut where episodes start, so that a kernel that knows nothing of episodes runs over whole pieces."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import torch as th
import torch.nn.functional as F

from memory_agents.memory.rounding import ROW_MULTIPLE

#: One more step of a kernel costs about as much as this many more rows in a step (measured with GRUs on the CPU).
ROWS_PER_STEP = 32


class Group(NamedTuple):
    """
    Segments that run together, one a column, the longest first; shorter ones go on into tokens whose outputs nobody
    reads.

    :param tokens: where their inputs are among the flattened (batch * T) tokens, (length, columns) int64
    :param entries: the batch entry each belongs to, (columns,) int64
    :param continuing: whether it goes on with the state from before the window, (columns,) bool
    """

    tokens: th.Tensor
    entries: th.Tensor
    continuing: th.Tensor


class Segments:
    """
    A batch of windows as segments: each from an episode start, or from the window's first step, up to the next start.
    Segments do not depend on one another, so those of similar length run side by side, and the number of steps falls
    to about the length of the longest.

    :param episode_starts: whether an episode starts at a step, (batch, T) bool
    :param row_multiple: what the number of columns is a multiple of
    """

    def __init__(self, episode_starts: th.Tensor, row_multiple: int = ROW_MULTIPLE) -> None:
        batch, steps = self.shape = episode_starts.shape
        device, n_tokens = episode_starts.device, batch * steps
        begins = episode_starts.clone()
        begins[:, 0] = True
        first = begins.flatten().nonzero().squeeze(1)
        lengths = th.diff(first, append=first.new_tensor([n_tokens]))
        order = lengths.argsort(descending=True, stable=True)
        continuing = ~episode_starts.flatten()[first]

        self.groups: list[Group] = []
        #: Per segment: row of its first output when the groups' outputs are laid out in a row, and rows per step.
        row, stride = th.empty_like(first), th.empty_like(first)
        used = 0
        for longest, start, stop in _borders(lengths[order].tolist()):
            members = order[start:stop]
            filling = -len(members) % row_multiple
            columns = len(members) + filling
            tokens = F.pad(first[members], (0, filling)) + th.arange(longest, device=device)[:, None]
            self.groups.append(
                Group(
                    tokens.clamp(max=n_tokens - 1),
                    F.pad(first[members] // steps, (0, filling)),
                    F.pad(continuing[members], (0, filling)),
                )
            )
            row[members] = used + th.arange(len(members), device=device)
            stride[members] = columns
            used += longest * columns
        segment = begins.flatten().cumsum(0) - 1
        age = th.arange(n_tokens, device=device) - first[segment]
        self._rows = row[segment] + age * stride[segment]

    def split(self, x: th.Tensor) -> list[th.Tensor]:
        """
        :param x: windows, (batch, T, width)
        :return: per group, (length, columns, width)
        """
        flat = x.flatten(0, 1)
        return [flat.index_select(0, group.tokens.flatten()).view(*group.tokens.shape, -1) for group in self.groups]

    def join(self, pieces: list[th.Tensor]) -> th.Tensor:
        """
        Undo :meth:`split`.

        :param pieces: per group, (length, columns, width)
        :return: windows, (batch, T, width)
        """
        flat = th.cat([piece.flatten(0, 1) for piece in pieces])
        return flat.index_select(0, self._rows).view(*self.shape, -1)

    def begin(self, group: Group, state: th.Tensor) -> th.Tensor:
        """
        :param group: one of the groups
        :param state: part of the state before the window, (batch, width)
        :return: the same before the group's segments: zeros where an episode starts, (columns, width)
        """
        return state.index_select(0, group.entries).masked_fill(~group.continuing[:, None], 0)


def _borders(lengths: list[int]) -> list[tuple[int, int, int]]:
    """
    Which segments run together. Those from one power of two up to the next always do; shorter ones join longer ones
    unless running past their ends would cost more than steps of their own.

    :param lengths: of all segments, falling
    :return: per group, the longest length, and where it starts and stops among the segments
    """
    borders: list[tuple[int, int, int]] = []
    stop = 0
    for _, similar in groupby(lengths, key=int.bit_length):
        members = list(similar)
        start, stop = stop, stop + len(members)
        if borders:
            longest, group_start, _ = borders[-1]
            if longest * len(members) - sum(members) <= ROWS_PER_STEP * members[0]:
                borders[-1] = (longest, group_start, stop)
                continue
        borders.append((members[0], start, stop))
    return borders
