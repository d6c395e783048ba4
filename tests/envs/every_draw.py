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

    def random(self, size: int | tuple[int, ...]) -> Any:
        """Numbers of which nothing is known but the integers that they are turned into, or their order."""
        uniforms = np.array([Uniform(self) for _ in range(int(np.prod(size)))], object)
        return uniforms.reshape(size)

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


class Uniform:
    """A uniform number that is multiplied by a bound, once, and then has the next integer below it; or is compared."""

    def __init__(self, draws: EveryDraw) -> None:
        self.draws = draws
        self.order: list[Uniform] = []  # Those it has been compared with, and itself, in rising order.

    def __mul__(self, bound: int) -> int:
        return self.draws._next(int(bound))

    def __lt__(self, other: Uniform) -> bool:
        one, known = (self, other) if other.order else (other, self)
        known.order = known.order or [known]
        if not one.order:
            one.order = known.order
            one.order.insert(self.draws._next(len(one.order) + 1), one)
        assert self.order is other.order, "two orders that are known cannot become one"
        return self.order.index(self) < self.order.index(other)
