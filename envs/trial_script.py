"""Episodes of trials, written out beforehand: what is seen and what is asked at each step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TrialScript(NamedTuple):
    """Some episodes, an episode a row.

    What is seen is told by a number. The environment has a table of observations that all its episodes share, row 0 of
    which is blank; numbers beyond that table are rows of ``own``.

    :param looks: What is seen at each step, ``(episodes, steps + 1)``; 0 after the last trial.
    :param asked: The action that each step asks for, likewise; 0 where it asks for none.
    :param own: Observations that only this episode has, ``(episodes, n_own, n_features)``.
    """

    looks: NDArray[np.int32]
    asked: NDArray[np.int8]
    own: NDArray[np.float32]

    @classmethod
    def blank(cls, episodes: int, trials: int, steps: int, own: NDArray[np.float32]) -> TrialScript:
        """Return episodes in which nothing is seen and nothing asked for.

        :param episodes: Number of episodes.
        :param trials: Trials of an episode.
        :param steps: Steps of a trial.
        :param own: Observations that only this episode has.
        """
        # Episodes of many copies are drawn ahead, so that small numbers save time.
        shape = (episodes, trials * steps + 1)
        return cls(np.zeros(shape, np.int32), np.zeros(shape, np.int8), own)

    def by_trial(self, trials: int) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Return what is seen and what is asked for, ``(episodes, trials, steps)`` each, to be written to.

        :param trials: Trials of an episode.
        """
        shape = (len(self.looks), trials, -1)
        return self.looks[:, :-1].reshape(shape), self.asked[:, :-1].reshape(shape)

    def without_spare_delays(self, first: int, delays: NDArray[np.int64]) -> TrialScript:
        """Return the same episodes, with trials that had the longest delay there is shortened to delays of their own.

        :param first: The step of a trial with which its delay begins. One step follows the delay.
        :param delays: The delay of each trial, ``(episodes, trials)``.
        """
        episodes, trials = delays.shape
        number = np.arange((self.looks.shape[1] - 1) // trials)
        number[-1] = -1  # The last step is kept, however short the delay.
        kept = (number < first + delays[:, :, None]).reshape(episodes, -1)
        filled = np.arange(self.looks.shape[1]) < kept.sum(axis=1)[:, None]
        shorter = self.blank(episodes, trials, len(number), self.own)
        shorter.looks[filled] = self.looks[:, :-1][kept]
        shorter.asked[filled] = self.asked[:, :-1][kept]
        return shorter

    def observations(self, shared: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return what is seen in the only episode there is, a step an entry.

        :param shared: The table of observations that all episodes share.
        """
        table = np.concatenate([shared, self.own[0]]) if self.own.size else shared
        return list(table.take(self.looks[0], axis=0))
