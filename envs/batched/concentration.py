"""Many games of Concentration at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.base import Masks
from memory_agents.envs.batched.batched_env import EVERYONE, BatchedEnv, Copies, Infos
from memory_agents.envs.concentration import FACE_DOWN, Concentration, ConcentrationEpisodes


class BatchedConcentration(BatchedEnv):
    """Copies of :class:`~memory_agents.envs.concentration.Concentration`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = Concentration
    env: Concentration
    episodes: ConcentrationEpisodes

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        # All cards of all episodes are numbered through. What is shown is kept where the bank has it at first.
        self._values, self._shown = self.episodes.cards.reshape(-1), self.episodes.shown.reshape(-1)
        self._first_card = np.zeros(num_envs, np.int64)
        #: The card of the last action.
        self._card = np.zeros(num_envs, np.int64)
        #: The card that the last turn began with, and its value.
        self._first = np.zeros(num_envs, np.int64)
        self._first_value = np.zeros(num_envs, np.int64)
        #: Whether a turn has begun, and whether the last two cards do not match.
        self._begun = np.zeros(num_envs, np.bool_)
        self._mismatch = np.zeros(num_envs, np.bool_)
        self._pairs = np.ones(num_envs, np.int64)
        self._pairs_left = np.ones(num_envs, np.int64)
        self._reward = np.ones(num_envs)
        #: The step that ends the episode unless one more mismatch gets turned down.
        self._last_step = np.zeros(num_envs, np.int64)

    def _begin(self, which: NDArray[np.int64]) -> None:
        row = self.row[which]
        self._first_card[which] = row * self.env.n_cards
        self._pairs[which] = self._pairs_left[which] = pairs = self.episodes.pairs[row]
        self._reward[which] = 1.0 / pairs
        self._last_step[which] = 4 * pairs
        self._begun[which] = self._mismatch[which] = False

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        card = self._first_card + actions
        value, shown = self._values.take(card), self._shown.take(card)
        flips = (shown == FACE_DOWN) > self._mismatch
        # Where a card lies face up already, turning it up makes no difference.
        np.putmask(value, self._mismatch, shown)
        self._shown[card] = value
        seconds = flips & self._begun
        matches = seconds & (value == self._first_value)
        closed = self._mismatch.nonzero()[0]
        self._shown[self._first[closed]] = self._shown[self._card[closed]] = FACE_DOWN
        self._last_step += self._mismatch
        firsts = flips > self._begun
        np.putmask(self._first, firsts, card)
        np.putmask(self._first_value, firsts, value)
        self._begun ^= flips
        np.not_equal(seconds, matches, out=self._mismatch)
        self._card = card
        self._pairs_left -= matches
        return matches * self._reward, (self._pairs_left == 0) | (self.elapsed == self._last_step)

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self.episodes.shown.take(self.row[which], axis=0)

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        left = self._pairs_left[which]
        return {"pairs_found": self._pairs[which] - left, "is_success": left == 0}

    def action_masks(self) -> Masks:
        """Return which cards lie face down in each copy, ``(n, n_cards)``; after a mismatch all are valid."""
        self.check_begun("action_masks")
        masks: Masks = (self._observe(EVERYONE) == FACE_DOWN) | self._mismatch[:, None]
        return masks
