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
    def of_trials(
        cls,
        looks: NDArray[np.int32],
        asked: NDArray[np.int8],
        own: NDArray[np.float32],
        delay_begins: int,
        delays: NDArray[np.int64] | None,
    ) -> TrialScript:
        """Put trials one behind the other.

        :param looks: What is seen, ``(episodes, trials, steps)``, in trials with the longest delay there is, which one
            step follows.
        :param asked: What is asked for, likewise.
        :param own: Observations that only this episode has.
        :param delay_begins: The step of a trial with which its delay begins.
        :param delays: The delay of each trial, ``(episodes, trials)``; None for the longest everywhere.
        """
        episodes, trials, steps = looks.shape
        length = trials * steps + 1
        # Long episodes of many copies are drawn ahead, so small numbers are worth their while.
        all_looks, all_asked = np.zeros((episodes, length), np.int32), np.zeros((episodes, length), np.int8)
        if delays is None:
            all_looks[:, :-1] = looks.reshape(episodes, -1)
            all_asked[:, :-1] = asked.reshape(episodes, -1)
        else:
            number = np.arange(steps)
            number[-1] = -1  # The last step is kept, however short the delay.
            kept = (number < delay_begins + delays[:, :, None]).reshape(episodes, -1)
            filled = np.arange(length) < kept.sum(axis=1)[:, None]
            all_looks[filled] = looks.reshape(episodes, -1)[kept]
            all_asked[filled] = asked.reshape(episodes, -1)[kept]
        return cls(all_looks, all_asked, own)

    def observations(self, shared: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return what is seen in the only episode there is, a step an entry.

        :param shared: The table of observations that all episodes share.
        """
        looks = self.looks[0]
        if not self.own.shape[1]:
            return list(shared.take(looks, axis=0))
        seen = shared.take(looks, axis=0, mode="clip")
        own = looks >= len(shared)
        seen[own] = self.own[0, looks[own] - len(shared)]
        return list(seen)
