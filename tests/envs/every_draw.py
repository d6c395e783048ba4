"""Exact expectations over an environment's randomness."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from memory_agents.envs import MemoryEnv


class EveryDraw:
    """In place of a random generator: each episode takes the next of all combinations of draws."""

    def __init__(self) -> None:
        self.path: list[list[int]] = []  # Per draw of the episode: the number drawn and how many there are.
        self.depth = 0

    @classmethod
    def given_to(cls, env: MemoryEnv) -> EveryDraw:
        draws = cls()
        env.np_random = cast(np.random.Generator, draws)
        return draws

    def integers(
        self, low: int, high: int | None = None, size: int | tuple[int, ...] = (), endpoint: bool = False
    ) -> Any:
        if high is None:
            low, high = 0, low
        draws = np.array([low + self._next(high - low + endpoint) for _ in range(int(np.prod(size)))])
        return draws.reshape(size)[()]

    def permuted(self, rows: Any, axis: int) -> Any:
        """Every order of every row."""
        assert axis == 1, "only rows are enumerated"
        shuffled = np.array(rows)
        for row in shuffled:
            for place in range(len(row) - 1):
                other = place + self._next(len(row) - place)
                row[[place, other]] = row[[other, place]]
        return shuffled

    def _next(self, bound: int) -> int:
        if self.depth == len(self.path):
            self.path.append([0, bound])
        self.depth += 1
        return self.path[self.depth - 1][0]

    def advance(self) -> bool:
        """Go to the next combination; False after the last."""
        self.depth = 0
        while self.path and self.path[-1][0] == self.path[-1][1] - 1:
            self.path.pop()
        if self.path:
            self.path[-1][0] += 1
        return bool(self.path)

    @property
    def probability(self) -> float:
        return float(np.prod([1 / bound for _, bound in self.path]))
