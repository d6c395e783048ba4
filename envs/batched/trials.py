"""Many episodes of trials at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.batched.batched_env import BatchedEnv, Copies, Infos
from memory_agents.envs.delayed_match import NO, YES, DelayedMatch
from memory_agents.envs.object_matching import (
    CHOICE_REWARD,
    LEFT,
    PAD_REWARD,
    RIGHT,
    STEP_ON_PAD,
    ObjectMatching,
)
from memory_agents.envs.trial_script import TrialScript


class BatchedTrials(BatchedEnv):
    """Copies of an environment whose episodes are trials, written out beforehand.

    All that an action does follows from what is asked of it: a subclass says what, in tables.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env: ObjectMatching | DelayedMatch
    episodes: TrialScript

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        rows, self._length = self.episodes.looks.shape
        self._n_own = self.episodes.own.shape[1]
        # The episodes' own observations lie behind those that all share, so that one table has all that can be seen.
        self._n_shared = len(self.env._looks)
        self._table = np.zeros((self._n_shared + rows * self._n_own, self.env._looks.shape[1]), np.float32)
        self._table[: self._n_shared] = self.env._looks
        own = self._table[self._n_shared :].reshape(self.episodes.own.shape)
        self.episodes = self._bank.episodes = self.episodes._replace(own=own)
        self._scripted, self._asked = self.episodes.looks.reshape(-1), self.episodes.asked.reshape(-1)

        asked, action = np.indices((4, self._n_actions))
        rewards, right, waits = self._outcomes(asked, action)
        self._rewards, self._right = rewards.ravel(), right.ravel().astype(np.int64)
        self._moves = None if not waits.any() else 1 - waits.ravel().astype(np.int64)

        self._time, self._look, self._own_before, self._count = (np.zeros(num_envs, np.int64) for _ in range(4))

    @abstractmethod
    def _outcomes(self, asked: NDArray[np.int64], action: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """Return what actions earn, whether they answer a question right, and whether the script waits after them.

        :param asked: What is asked for, ``(4, n_actions)``.
        :param action: What is done, likewise.
        """

    def _begin(self, which: NDArray[np.int64]) -> None:
        row = self.row[which]
        self._own_before[which] = self._n_own * row
        self._time[which] = row = self._length * row
        self._count[which] = 0
        self._look[which] = self._seen(row, which)

    def _seen(self, time: NDArray[np.int64], which: Copies) -> NDArray[np.int64]:
        look = self._scripted.take(time).astype(np.int64)
        if self._n_own:
            look += self._own_before[which] * (look >= self._n_shared)
        return look

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        outcome = self._asked.take(self._time) * self._n_actions + actions
        self._time += 1 if self._moves is None else self._moves.take(outcome)
        self._count += self._right.take(outcome)
        self._look = self._seen(self._time, slice(None))
        return self._rewards.take(outcome), self._look == 0

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self._table.take(self._look[which], axis=0)


class BatchedObjectMatching(BatchedTrials):
    """Copies of :class:`~memory_agents.envs.object_matching.ObjectMatching`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = ObjectMatching
    env: ObjectMatching

    def _outcomes(self, asked: NDArray[np.int64], action: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        choice, pad = (asked == LEFT) | (asked == RIGHT), asked == STEP_ON_PAD
        right = choice & (action == asked)
        waits = pad & (action != STEP_ON_PAD) & self.env.self_paced
        rewards = np.where(pad & ~waits, PAD_REWARD, 0.0)
        rewards[choice] = np.where(right[choice], CHOICE_REWARD, -CHOICE_REWARD)
        return rewards, right, waits

    def _cut(self, terminated: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        if self.env.time_limit is None:
            return None
        cut: NDArray[np.bool_] = (self.elapsed == self.env.time_limit) & ~terminated
        return cut

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        correct = self._count[which]
        return {"correct_choices": correct, "is_success": correct == self.env.trials}


class BatchedDelayedMatch(BatchedTrials):
    """Copies of :class:`~memory_agents.envs.delayed_match.DelayedMatch`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = DelayedMatch
    env: DelayedMatch

    def _outcomes(self, asked: NDArray[np.int64], action: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        probe = (asked == YES) | (asked == NO)
        right = probe & (action == asked)
        reward = 1.0 / self.env.trials
        return np.where(probe, np.where(right, reward, -reward), 0.0), right, np.zeros_like(probe)

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        correct = self._count[which]
        return {"correct_answers": correct, "is_success": correct == self.env.trials}
