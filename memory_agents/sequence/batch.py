"""What sequence models learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch as th


class SequenceBatch(NamedTuple):
    """
    Sequences of equal length, side by side.

    :param tokens: (batch, length) int64
    :param targets: what is to be foretold after each token, (batch, length) int64
    :param scored: whether it counts, (batch, length) bool
    :param starts: whether everything before a token is to be forgotten, (batch, length) bool
    """

    tokens: th.Tensor
    targets: th.Tensor
    scored: th.Tensor
    starts: th.Tensor

    @property
    def begins_anew(self) -> bool:
        """Whether nothing from before is remembered in any of the sequences, however many there were."""
        return bool(self.starts[:, 0].all())

    def windows(self, length: int) -> Iterator[SequenceBatch]:
        """
        :param length: tokens in a window; the last one may have fewer
        :return: the same, cut into windows
        """
        for start in range(0, self.tokens.shape[1], length):
            yield SequenceBatch(*(part[:, start : start + length] for part in self))

    def to(self, device: th.device) -> SequenceBatch:
        """
        :param device: where it shall be
        :return: the same there
        """
        return SequenceBatch(*(part.to(device, non_blocking=True) for part in self))
