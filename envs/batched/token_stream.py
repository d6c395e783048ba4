"""Many streams of tokens at once."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.associative_recall import AssociativeRecall
from memory_agents.envs.batched.batched_env import BatchedEnv, Copies, Infos
from memory_agents.envs.copying import Copy, Reverse
from memory_agents.envs.cue_stream import CueStream
from memory_agents.envs.repeat import CopyFirst, RepeatFirst, RepeatPrevious
from memory_agents.envs.token_stream import TokenStream

NONE_ASKED = -1


class Scripts(NamedTuple):
    """Episodes of equal size, with a blank row after the last step of each, in the smallest types that hold them.

    :param tokens: The observations, ``(episodes, time, columns)``.
    :param targets: The action to take at each step, -1 where none is asked for, ``(episodes, time)``.
    :param important: Observations that an answer to come may depend on, ``(episodes, time)``.
    :param lengths: Steps of each episode, ``(episodes,)``.
    :param asked: Answers that each asks for, ``(episodes,)``.
    """

    tokens: NDArray[Any]
    targets: NDArray[Any]
    important: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    asked: NDArray[np.int64]


class BatchedTokenStream(BatchedEnv):
    """Copies of a :class:`~memory_agents.envs.token_stream.TokenStream`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class: ClassVar[type[TokenStream]]
    env: TokenStream
    episodes: Scripts

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        # All episodes in one row, and where in it the copies are.
        self._tokens = self.episodes.tokens.reshape(-1, len(self.env.columns))
        self._targets = self.episodes.targets.reshape(-1)
        self._important = self.episodes.important.reshape(-1)
        self._place = np.zeros(num_envs, np.int64)
        self._end = np.zeros(num_envs, np.int64)
        self._number_asked = np.zeros(num_envs, np.int64)
        self._correct = np.zeros(num_envs, np.int64)
        self._reward = np.zeros(num_envs)
        self._wrong_reward = np.zeros(num_envs)
        self._asked = np.zeros(num_envs, np.bool_)

    def _plan(self, uniforms: NDArray[np.float64]) -> Scripts:
        env, (episodes, time) = self.env, (len(uniforms), self.env.longest + 1)
        batch = env.plan(uniforms)
        drawn = batch.tokens.shape[1]
        tokens = np.zeros((episodes, time, len(env.columns)), np.min_scalar_type(max(env.columns)))
        tokens[:, :drawn] = batch.tokens
        targets = np.full((episodes, time), NONE_ASKED, np.min_scalar_type(-env.n_tokens))
        targets[:, :drawn] = np.where(batch.mask, batch.targets, NONE_ASKED)
        important = np.zeros((episodes, time), np.bool_)
        important[:, :drawn] = batch.important
        return Scripts(tokens, targets, important, batch.lengths, np.count_nonzero(batch.mask, axis=1))

    def _begin(self, which: NDArray[np.int64]) -> None:
        rows = self.row[which]
        asked = self.episodes.asked[rows]
        self._place[which] = place = rows * (self.env.longest + 1)
        self._end[which] = place + self.episodes.lengths[rows]
        self._number_asked[which] = asked
        self._correct[which] = 0
        self._reward[which] = 1.0 / asked
        self._wrong_reward[which] = self.env.wrong_reward / asked

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        targets = self._targets.take(self._place)
        self._place += 1
        self._asked = targets >= 0
        right = targets == actions
        self._correct += right
        wrong = np.where(self._asked, self._wrong_reward, 0.0) if self.env.wrong_reward else 0.0
        return np.where(right, self._reward, wrong), self._place == self._end

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self._tokens.take(self._place[which], axis=0).astype(np.int64)

    def _infos(self) -> Infos:
        return {"important": self._important.take(self._place), "asked": self._asked}

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        correct = self._correct[which]
        return {"correct_answers": correct, "is_success": correct == self._number_asked[which]}

    def _reset_infos(self, which: NDArray[np.int64]) -> Infos:
        return {"important": self._important.take(self._place[which])}


class BatchedAssociativeRecall(BatchedTokenStream):
    """Copies of :class:`~memory_agents.envs.associative_recall.AssociativeRecall`."""

    env_class = AssociativeRecall


class BatchedCopy(BatchedTokenStream):
    """Copies of :class:`~memory_agents.envs.copying.Copy`."""

    env_class = Copy


class BatchedCopyFirst(BatchedTokenStream):
    """Copies of :class:`~memory_agents.envs.repeat.CopyFirst`."""

    env_class = CopyFirst


class BatchedCueStream(BatchedTokenStream):
    """Copies of :class:`~memory_agents.envs.cue_stream.CueStream`."""

    env_class = CueStream


class BatchedRepeatFirst(BatchedTokenStream):
    """Copies of :class:`~memory_agents.envs.repeat.RepeatFirst`."""

    env_class = RepeatFirst


class BatchedRepeatPrevious(BatchedTokenStream):
    """Copies of :class:`~memory_agents.envs.repeat.RepeatPrevious`."""

    env_class = RepeatPrevious


class BatchedReverse(BatchedTokenStream):
    """Copies of :class:`~memory_agents.envs.copying.Reverse`."""

    env_class = Reverse
