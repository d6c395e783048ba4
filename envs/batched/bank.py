"""Episodes drawn ahead: making many at once costs little more than making one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

# Episodes drawn ahead per copy: more would make drawing hardly cheaper.
MOST_AHEAD = 24
# What the episodes of all copies may take.
MOST_BYTES = 1 << 26
# Uniform numbers that are made into episodes at once; arrays should stay within the processor's cache.
MOST_UNIFORMS = 1 << 15


class Bank:
    """The episodes being played and some to come, for every copy of an environment.

    Each copy has a generator of its own, which is only ever asked for the uniform numbers of whole episodes, so that
    it makes no difference how many are drawn at once.

    :param n_envs: Number of copies.
    :param draws: Uniform numbers that make an episode.
    :param plan: Makes episodes: from uniform numbers, ``(episodes, draws)``, to a named tuple of arrays whose first
        axis is the episode, and whose other axes are always the same.
    """

    def __init__(self, n_envs: int, draws: int, plan: Callable[[NDArray[np.float64]], Any]) -> None:
        self.n_envs, self.draws, self.plan = n_envs, draws, plan
        sample = plan(np.zeros((1, draws)))
        size = max(1, sum(field.nbytes for field in sample))
        # One place for the episode being played, the others for those to come.
        self.depth = 1 + min(MOST_AHEAD, max(1, MOST_BYTES // (n_envs * size) - 1))
        fields = (np.zeros((n_envs * self.depth, *field.shape[1:]), field.dtype) for field in sample)
        #: The episodes, with one row per place: a copy's places follow each other.
        self.episodes = type(sample)(*fields)
        self.generators = [seeding.np_random()[0] for _ in range(n_envs)]
        places = np.arange(n_envs * self.depth).reshape(n_envs, self.depth)
        self._first_places = places[:, 0].copy()
        self._places_after = np.roll(places, -1, axis=1).reshape(-1)
        #: The place of the episode that each copy plays.
        self.places = self._first_places.copy()
        self._ahead = np.zeros(n_envs, np.int64)

    def seed(self, seeds: Sequence[int | None]) -> None:
        """Seed the copies' generators as Gymnasium does, and forget what they had drawn.

        :param seeds: A seed for each copy; None lets it go on.
        """
        for copy, seed in enumerate(seeds):
            if seed is not None:
                self.generators[copy] = seeding.np_random(seed)[0]
                self._ahead[copy] = 0

    def go_on(self, which: NDArray[np.int64]) -> None:
        """Go on to the next episode of some copies.

        :param which: Numbers of the copies.
        """
        # Asked by argmin(), which takes less time than all() and min().
        ahead = self._ahead[which]
        if not ahead[ahead.argmin()]:
            self._refill()
        self._ahead[which] -= 1
        self.places[which] = self._places_after[self.places[which]]

    def _refill(self) -> None:
        missing = self.depth - 1 - self._ahead
        copies = np.repeat(np.arange(self.n_envs), missing)
        ranks = np.arange(copies.size) - np.repeat(missing.cumsum() - missing, missing)
        places = (self.places + self._ahead + 1)[copies] + ranks
        places -= np.where(places >= self._first_places[copies] + self.depth, self.depth, 0)
        uniforms = np.empty((copies.size, self.draws))
        end = 0
        for generator, count in zip(self.generators, missing.tolist(), strict=True):
            begin, end = end, end + count
            generator.random(out=uniforms[begin:end])
        at_once = max(1, MOST_UNIFORMS // max(1, self.draws))
        for begin in range(0, copies.size, at_once):
            planned = self.plan(uniforms[begin : begin + at_once])
            for field, values in zip(self.episodes, planned, strict=True):
                field[places[begin : begin + at_once]] = values
        self._ahead[:] = self.depth - 1
