"""Where the segments of a window lie: integers alone, without a single hidden state."""

from __future__ import annotations

from typing import NamedTuple

import torch as th
import torch.nn.functional as F


class Round(NamedTuple):
    """
    Segments that run side by side, at most one of each episode. What comes before the window or after the end of an
    episode is there as well, with any token's input, so that all segments are of one length; nobody reads its outputs.

    :param tokens: which of the flattened (batch * T) tokens is at each position, (columns, S) int64
    :param numbers: number of the segment in its episode, (columns,) int64
    :param ending: columns whose segment is the last of its batch entry, (e,) int64
    :param ending_entries: the batch entries of these, (e,) int64
    """

    tokens: th.Tensor
    numbers: th.Tensor
    ending: th.Tensor
    ending_entries: th.Tensor


class WindowLayout:
    """
    A batch of windows as rounds of segments. A line is what a window holds of one episode. Its segments, counted from
    the start of the episode and not of the window, need one another's memory, those of other lines do not: so round r
    runs the r-th segment of every line, and a window of T steps takes T / S rounds and one more at most.

    Lines with more segments come first, so that those with another segment to run are always the first columns.

    :param segment_length: steps per segment S
    :param steps: steps seen of the episode in progress, (batch,) int64
    :param episode_starts: whether an episode starts at a step, (batch, T) bool
    :param row_multiple: what the number of columns is a multiple of
    """

    def __init__(self, segment_length: int, steps: th.Tensor, episode_starts: th.Tensor, row_multiple: int) -> None:
        batch, window = self.shape = episode_starts.shape
        device, n_tokens = steps.device, batch * window
        begins = episode_starts.clone()
        begins[:, 0] = True
        first = begins.flatten().nonzero().squeeze(1)
        lengths = th.diff(first, append=first.new_tensor([n_tokens]))
        entries = first // window
        continuing = ~episode_starts.flatten()[first]
        before = steps[entries] * continuing
        #: Steps seen of the episode in progress after the window, (batch,)
        self.steps_after = (before + lengths)[begins.sum(1).cumsum(0) - 1]

        offset = before % segment_length
        n_segments = (offset + lengths + segment_length - 1) // segment_length
        order = n_segments.argsort(descending=True, stable=True)
        last_of_entry = F.pad(entries[1:] != entries[:-1], (0, 1), value=True)
        columns = len(first) + -len(first) % row_multiple

        def by_column(values: th.Tensor) -> th.Tensor:
            return F.pad(values[order], (0, columns - len(first)))

        #: Per column of the first round: its batch entry, whether its episode goes on from before the window, and the
        #: steps of its segment that come before the window, (columns,)
        self.entries, self.continuing, self.offset = by_column(entries), by_column(continuing), by_column(offset)
        start, number = by_column(first - offset), by_column(before // segment_length)
        ends_in = by_column(th.where(last_of_entry, n_segments, 0))

        position = th.arange(segment_length, device=device)
        self.rounds: list[Round] = []
        used = []
        # By number of segments: how many lines have as many or more, and which columns end a window with as many. All
        # is read at once, since on a device every reading waits.
        exactly = th.bincount(n_segments)
        at_least = exactly.flip(0).cumsum(0).flip(0)
        counts, n_ending = th.stack([at_least, th.bincount(ends_in, minlength=len(exactly))]).tolist()
        endings = th.split(ends_in.argsort(stable=True), n_ending)
        for r, (count, ending) in enumerate(zip(counts[1:], endings[1:], strict=True)):
            n = count + -count % row_multiple
            tokens = start[:n, None] + r * segment_length + position
            self.rounds.append(
                Round(tokens.clamp(0, n_tokens - 1), number[:n] + r, ending, self.entries[ending]),
            )
            used.append(n * segment_length)
        line = begins.flatten().cumsum(0) - 1
        place = th.arange(n_tokens, device=device) - first[line] + offset[line]
        round_start = F.pad(place.new_tensor(used).cumsum(0), (1, 0))
        column = order.argsort()
        self._rows = round_start[place // segment_length] + column[line] * segment_length + place % segment_length

    def join(self, pieces: list[th.Tensor]) -> th.Tensor:
        """
        :param pieces: outputs of every round, (columns, S, width)
        :return: outputs of the windows, (batch, T, width)
        """
        flat = th.cat([piece.flatten(0, 1) for piece in pieces])
        return flat.index_select(0, self._rows).view(*self.shape, -1)
