"""What tasks on streams of tokens share: an episode is a script of rows with answers, made many at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import check_integer
from memory_agents.envs.base import Action, Frame, MemoryEnv, Observation
from memory_agents.envs.chance import within
from memory_agents.envs.token_frame import SHOWN, Moment, Scene, draw

# The first column of a row marks it; the last one holds a token, counted from 1, or 0 where there is none.
MARK, TOKEN = 0, -1
PLAIN, ANSWER, REMEMBER = range(3)


class SupervisedBatch(NamedTuple):
    """Whole episodes with the answers to give, for supervised training; short ones are padded with zeros.

    :param tokens: The observations, ``(batch, time, columns)``, int64.
    :param targets: The action to take at each step, ``(batch, time)``, int64; 0 where none is asked for.
    :param mask: Where an answer is asked for, ``(batch, time)``, bool.
    :param important: Observations that an answer to come may depend on, ``(batch, time)``, bool.
    :param lengths: Steps of each episode, ``(batch,)``, int64.
    """

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    mask: NDArray[np.bool_]
    important: NDArray[np.bool_]
    lengths: NDArray[np.int64]


class TokenStream(MemoryEnv):
    """A task in which rows of tokens pass, and at some of them a token seen before must be said.

    Actions change nothing about what is seen, so that an episode can be drawn in advance: it is a supervised batch of
    one. An observation is a row of integers, the first its mark: 0 none, 1 an answer is asked for, 2 remember this.
    After the last step it is all zeros. Action ``a`` says token ``a + 1``. The answers of an episode share a reward of
    1 among them equally, and each wrong one is paid :attr:`wrong_reward` times its share. ``info["important"]`` tells
    at every step whether an answer to come may depend on the observation returned with it, and after every action
    ``info["asked"]`` whether that was an answer; the info of the last step holds ``correct_answers`` and ``is_success``
    (every answer correct).

    A subclass draws episodes so that, at a row which asks for an answer, all tokens are equally likely to be the
    correct one given that row alone. The anchors follow.

    :param n_tokens: Number of tokens to answer with.
    :param columns: Number of values in each column of a row.
    :param render_mode: None or ``"rgb_array"``.
    """

    #: Steps of the longest episode; the constructor sets it.
    longest: int

    #: What a wrong answer is paid, where a correct one is paid 1.
    wrong_reward: ClassVar[float] = 0.0

    def __init__(self, *, n_tokens: int, columns: list[int], render_mode: str | None) -> None:
        super().__init__(render_mode=render_mode)
        self.n_tokens, self.columns = n_tokens, columns
        self.action_space = spaces.Discrete(n_tokens)
        self.observation_space = spaces.MultiDiscrete(columns)
        self._blank = np.zeros(len(columns), np.int64)

    @property
    def optimal_return(self) -> float:
        return 1.0

    @property
    def memoryless_return(self) -> float:
        return (1.0 + (self.n_tokens - 1) * self.wrong_reward) / self.n_tokens

    @property
    def random_return(self) -> float:
        return self.memoryless_return

    def supervised_batch(self, batch_size: int, rng: np.random.Generator | int | None = None) -> SupervisedBatch:
        """Draw episodes with their answers, as many as wanted at once; the episode being played goes on unchanged.

        ``reset(seed=s)`` begins the episode of ``supervised_batch(1, s)``.

        :param batch_size: Number of episodes.
        :param rng: A generator, or the seed of one; None seeds it from the operating system.
        :raises ValueError: If ``batch_size`` is below 1.
        """
        batch_size = check_integer("batch_size", batch_size, 1)
        return self.plan(np.random.default_rng(rng).random((batch_size, self.draws)))

    @abstractmethod
    def plan(self, uniforms: NDArray[np.float64]) -> SupervisedBatch:
        """Return the episodes that uniform numbers make, padded to the length of the longest among them.

        :param uniforms: Uniform numbers from [0, 1), ``(episodes, draws)``.
        """

    def _tokens_from(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return tokens from 1 to ``n_tokens``, all equally likely, in the shape of the uniform numbers."""
        return within(uniforms, (1, self.n_tokens))

    def _blank_tokens(self, batch_size: int, time: int) -> NDArray[np.int64]:
        return np.zeros((batch_size, time, self._blank.size), np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode and return its first observation and an info which tells whether that is important.

        :param seed: Seed for :attr:`np_random`; None draws on.
        :param options: Not used.
        """
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "important": self._important[0]}

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        episode = self.plan(uniforms[None])
        self._rows: list[Observation] = list(episode.tokens[0])
        self._important: list[bool] = episode.important[0].tolist()
        # -1 where no answer is asked for: lists of plain numbers are what makes a step cheap.
        self._targets: list[int] = np.where(episode.mask[0], episode.targets[0], -1).tolist()
        self._asked = int(np.count_nonzero(episode.mask))
        self._answers: list[int] = []
        self._correct = 0
        return self._rows[0].copy()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, self.n_tokens)
        target = self._targets[len(self._answers)]
        self._answers.append(action)
        reward = 0.0
        if target == action:
            self._correct += 1
            reward = 1.0 / self._asked
        elif target >= 0:
            reward = self.wrong_reward / self._asked
        time = len(self._answers)
        if time < len(self._rows):
            info: dict[str, Any] = {"important": self._important[time], "asked": target >= 0}
            return self._rows[time].copy(), reward, False, False, info
        self._playing = False
        success = self._correct == self._asked
        info = {"important": False, "asked": target >= 0, "correct_answers": self._correct, "is_success": success}
        return self._blank.copy(), reward, True, False, info

    @abstractmethod
    def _caption(self, mark: int) -> str:
        """Tell a person what to do at a row that shows something, in 26 letters.

        :param mark: The row's mark.
        """

    def _frame(self) -> Frame:
        time, rows = len(self._answers), self._rows
        moments = tuple(self._moment(when) for when in range(max(0, time - SHOWN + 1), min(time + 1, len(rows))))
        if not self._playing:
            caption = "EPISODE OVER"
        else:
            caption = self._caption(int(rows[time][MARK])) if rows[time].any() else "WAIT"
        asked_so_far = sum(target >= 0 for target in self._targets[:time])
        return draw(
            Scene(
                caption=caption,
                moments=moments,
                over=not self._playing,
                n_tokens=self.n_tokens,
                correct=self._correct,
                wrong=asked_so_far - self._correct,
                asked=self._asked,
                time=time,
                length=len(rows),
            )
        )

    def _moment(self, when: int) -> Moment:
        row = self._rows[when]
        past = when < len(self._answers)
        asked = self._targets[when] >= 0
        return Moment(
            key=int(row[1]) if row.size == 3 else 0,
            token=int(row[TOKEN]),
            asked=asked,
            marked=int(row[MARK]) == REMEMBER,
            said=self._answers[when] + 1 if asked and past else 0,
            due=self._targets[when] + 1 if asked and past else 0,
        )


class MarkedTokenOracle:
    """Says the newest token that was marked as one to remember."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.token = 1

    def act(self, observation: Observation) -> int:
        if observation[MARK] == REMEMBER:
            self.token = int(observation[TOKEN])
        return self.token - 1
