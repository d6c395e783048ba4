"""How far back a judged memory reads, token by token."""

from __future__ import annotations

from typing import Any

import torch as th

from memory_agents.memory.compressive import Choice
from memory_agents.memory.state import tree_map


class ReadingRecord:
    """
    The decisions of a judger over sequences, and after each token the age of the oldest one that the memory still
    holds: the reading distance of DCT (Chang and Ma 2021, arXiv 2110.04821, figure 2), to be drawn over time. To
    compare with, ``judger="keep"`` in a memory's arguments has the distance that the number of slots gives.
    """

    def __init__(self) -> None:
        self._windows: list[Choice] = []

    def add(self, choices: Any) -> None:
        """
        :param choices: what a memory chose in the window after those that have been added, (batch, window) each
        :raises ValueError: when the memory has no judger
        """
        if not isinstance(choices, Choice):
            raise ValueError(
                "there are no decisions to record, as the memory has no judger; "
                "use memory_kwargs=dict(judger='keep') for one that keeps everything"
            )
        self._windows.append(tree_map(lambda part: part.cpu(), choices))

    @property
    def choices(self) -> Choice:
        """
        All of them, (batch, tokens) each.

        :raises ValueError: when nothing has been recorded
        """
        if not self._windows:
            raise ValueError("nothing has been recorded; evaluate(..., record=this) does it")
        return tree_map(lambda *parts: th.cat(parts, dim=1), *self._windows)

    @property
    def n_decisions(self) -> int:
        """Blocks that were judged: those that left the recent memory once the slots were full."""
        return int(self.choices.judged.sum())

    @property
    def keep_rate(self) -> float | None:
        """Share of them that were kept; None where none was judged."""
        choices = self.choices
        return float(choices.keep[choices.judged].float().mean()) if choices.judged.any() else None

    @property
    def reading_distance(self) -> th.Tensor:
        """Age of the oldest token that is still represented, after each token, (batch, tokens) int64."""
        return self.choices.reading_distance
