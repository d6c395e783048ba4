"""Many games of Concentration at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.base import Masks
from memory_agents.envs.batched.batched_env import BatchedEnv, Copies, Infos
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
        # The cards of all tables in a row, so that one number names a card.
        self._cards = np.zeros(num_envs * self.env.n_cards, np.int64)
        self._shown = np.zeros(num_envs * self.env.n_cards, np.int64)
        self._table = np.arange(num_envs) * self.env.n_cards
        #: The card of the last action.
        self._card = self._table.copy()
        #: Whether a turn has begun, and the card it began with.
        self._begun = np.zeros(num_envs, np.bool_)
        self._first = self._table.copy()
        self._first_value = np.zeros(num_envs, np.int64)
        #: Whether the last two cards do not match.
        self._mismatch = np.zeros(num_envs, np.bool_)
        self._pairs = np.zeros(num_envs, np.int64)
        self._found = np.zeros(num_envs, np.int64)
        self._reward = np.zeros(num_envs)
        #: The step that ends the episode unless one more mismatch gets turned down.
        self._last_step = np.zeros(num_envs, np.int64)

    def _begin(self, which: NDArray[np.int64]) -> None:
        row, n_cards = self.row[which], self.env.n_cards
        self._cards.reshape(-1, n_cards)[which] = self.episodes.cards[row]
        self._shown.reshape(-1, n_cards)[which] = self.episodes.shown[row]
        self._pairs[which] = pairs = self.episodes.pairs[row]
        self._reward[which] = 1.0 / pairs
        self._last_step[which] = 4 * pairs
        self._found[which] = 0
        self._begun[which] = self._mismatch[which] = False

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        card = self._table + actions
        value, shown = self._cards.take(card), self._shown.take(card)
        # Where a card lies face up already, turning it up makes no difference.
        self._shown[card] = np.where(self._mismatch, shown, value)
        flips = (shown == FACE_DOWN) > self._mismatch
        seconds = flips & self._begun
        matches = seconds & (value == self._first_value)
        self._turn_down(self._mismatch.nonzero()[0])
        firsts = flips > self._begun
        self._first = np.where(firsts, card, self._first)
        self._first_value = np.where(firsts, value, self._first_value)
        self._begun = self._begun ^ flips
        self._mismatch = seconds ^ matches
        self._card = card
        self._found += matches
        return matches * self._reward, (self._found == self._pairs) | (self.elapsed == self._last_step)

    def _turn_down(self, copies: NDArray[np.int64]) -> None:
        self._shown[self._first[copies]] = FACE_DOWN
        self._shown[self._card[copies]] = FACE_DOWN
        self._last_step[copies] += 1

    def _observe(self, which: Copies) -> NDArray[Any]:
        shown = self._shown.reshape(-1, self.env.n_cards)
        return shown.copy() if isinstance(which, slice) else shown[which]

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        found = self._found[which]
        return {"pairs_found": found, "is_success": found == self._pairs[which]}

    def action_masks(self) -> Masks:
        """Return which cards lie face down in each copy, ``(n, n_cards)``; after a mismatch all are valid."""
        self.check_begun("action_masks")
        shown = self._shown.reshape(-1, self.env.n_cards)
        masks: Masks = (shown == FACE_DOWN) | self._mismatch[:, None]
        return masks
