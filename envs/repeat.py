"""Tokens to be repeated: the one of k steps ago, or the first one."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_flag, check_integer, check_span
from memory_agents.envs.base import Observation
from memory_agents.envs.chance import within
from memory_agents.envs.token_stream import (
    ANSWER,
    MARK,
    REMEMBER,
    TOKEN,
    MarkedTokenOracle,
    SupervisedBatch,
    TokenStream,
)


class RepeatPrevious(TokenStream):
    """Say, at every step, the token of ``k`` steps ago.

    **Task.** After POPGym's RepeatPrevious (Morad et al. 2023, https://arxiv.org/abs/2303.01859). A stream of
    independent, uniformly random tokens passes. From the step on at which there is one of ``k`` steps ago, that token
    must be said at every step. What is remembered changes all the time and is needed in order. Nothing shows ``k``, so
    that an agent must be trained for each ``k`` anew, and each preset is a task of its own.

    **Observation.** ``MultiDiscrete([2, n_tokens + 1])``, int64: whether an answer is asked for, then the token, from
    1 to ``n_tokens``. After the last step it is all zeros.

    **Actions.** ``Discrete(n_tokens)``: action ``a`` says token ``a + 1``. It matters only where an answer is asked
    for.

    **Rewards.** +1 for a correct and -1 for a wrong answer, divided by the number of answers, ``length - k``.

    **Ends.** Terminated after ``length`` steps. The info of the last step holds ``correct_answers`` and ``is_success``
    (every answer correct). The info of every step, the reset's too, holds ``important``: whether the token seen will
    have to be said.

    **Anchors.** Optimal 1; memoryless and random ``2 / n_tokens - 1``, since the token seen tells nothing about the
    one to say.

    :param k: How many steps ago the token to say was seen.
    :param n_tokens: Number of different tokens, at least 2.
    :param length: Steps of an episode, more than ``k``.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds.
    """

    tags: ClassVar[tuple[str, ...]] = ("sequential",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"k": 4},
        "interpolate": {"k": 2},
        "extrapolate": {"k": 32, "length": 128},
    }
    wrong_reward: ClassVar[float] = -1.0

    def __init__(self, *, k: int = 4, n_tokens: int = 4, length: int = 64, render_mode: str | None = None) -> None:
        n_tokens = check_integer("n_tokens", n_tokens, 2)
        super().__init__(n_tokens=n_tokens, columns=[2, n_tokens + 1], render_mode=render_mode)
        self.k = check_integer("k", k, 1)
        self.length = self.longest = self.draws = check_integer("length", length, self.k + 1)

    def oracle(self) -> RepeatPreviousOracle:
        return RepeatPreviousOracle(self.k)

    def plan(self, uniforms: NDArray[np.float64]) -> SupervisedBatch:
        tokens = self._blank_tokens(len(uniforms), self.length)
        tokens[..., TOKEN] = self._tokens_from(uniforms)
        tokens[:, self.k :, MARK] = ANSWER
        targets = np.zeros_like(tokens[..., TOKEN])
        targets[:, self.k :] = tokens[:, : -self.k, TOKEN] - 1
        important = np.zeros(targets.shape, np.bool_)
        important[:, : -self.k] = True
        return SupervisedBatch(
            tokens, targets, tokens[..., MARK] == ANSWER, important, np.full(len(uniforms), self.length, np.int64)
        )

    def _caption(self, mark: int) -> str:
        if mark != ANSWER:
            return "WATCH"
        return "SAY THE ONE BEFORE" if self.k == 1 else f"SAY THE ONE {self.k} BEFORE"


class RepeatFirst(TokenStream):
    """Say the first token at every later step.

    **Task.** After POPGym's RepeatFirst (Morad et al. 2023, https://arxiv.org/abs/2303.01859). The first token is
    marked as one to remember; from then on it must be said at every step, while other tokens, independent and
    uniformly random, pass.

    **Observation.** ``MultiDiscrete([3, n_tokens + 1])``, int64: the mark (0 none, 1 answer, 2 remember), then the
    token, from 1 to ``n_tokens``. After the last step it is all zeros.

    **Actions.** ``Discrete(n_tokens)``: action ``a`` says token ``a + 1``. It matters only where an answer is asked
    for.

    **Rewards.** +1 for a correct and -1 for a wrong answer, divided by the number of answers, the episode's length
    less 1.

    **Ends.** Terminated after ``length`` steps. The info of the last step holds ``correct_answers`` and ``is_success``
    (every answer correct). The info of every step, the reset's too, holds ``important``: whether the observation is
    the first one.

    **Anchors.** Optimal 1; memoryless and random ``2 / n_tokens - 1``, since the later tokens tell nothing about the
    first.

    :param n_tokens: Number of different tokens, at least 2.
    :param length: Steps of an episode, at least 2: a number, or an inclusive range ``(low, high)`` to draw from in
        every episode.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds.
    """

    tags: ClassVar[tuple[str, ...]] = ("object",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"length": 64},
        "interpolate": {"length": (16, 64)},
        "extrapolate": {"length": (128, 1024)},
    }
    wrong_reward: ClassVar[float] = -1.0

    def __init__(self, *, n_tokens: int = 4, length: Span = 64, render_mode: str | None = None) -> None:
        n_tokens = check_integer("n_tokens", n_tokens, 2)
        super().__init__(n_tokens=n_tokens, columns=[3, n_tokens + 1], render_mode=render_mode)
        self.length = check_span("length", length, 2)
        self.longest = self.length[1]
        self.draws = 1 + self.longest

    def oracle(self) -> MarkedTokenOracle:
        return MarkedTokenOracle()

    def plan(self, uniforms: NDArray[np.float64]) -> SupervisedBatch:
        lengths = within(uniforms[:, 0], self.length)
        tokens = self._blank_tokens(len(uniforms), int(lengths.max()))
        tokens[..., TOKEN] = self._tokens_from(uniforms[:, 1 : 1 + tokens.shape[1]])
        tokens[..., MARK] = ANSWER
        tokens[:, 0, MARK] = REMEMBER
        tokens[np.arange(tokens.shape[1]) >= lengths[:, None]] = 0
        mask = tokens[..., MARK] == ANSWER
        targets = np.where(mask, tokens[:, :1, TOKEN] - 1, 0)
        return SupervisedBatch(tokens, targets, mask, tokens[..., MARK] == REMEMBER, lengths)

    def _caption(self, mark: int) -> str:
        return "REMEMBER THIS" if mark == REMEMBER else "SAY THE FIRST ONE"


class CopyFirst(TokenStream):
    """Say the first token once, after a delay.

    **Task.** The least that a memory must do: a token, marked as one to remember, is seen once; a delay follows; then
    it must be said. Unlike in :class:`RepeatFirst`, nothing is asked or rewarded before the end.

    **Observation.** ``MultiDiscrete([3, n_tokens + 1])``, int64: the mark (0 none, 1 answer, 2 remember), then the
    token, from 1 to ``n_tokens``, or 0 where none is seen. During the delay it is all zeros, or with ``distractors``
    an unmarked random token; where the answer is asked for no token is seen. After the last step it is all zeros.

    **Actions.** ``Discrete(n_tokens)``: action ``a`` says token ``a + 1``. Only the last one matters.

    **Rewards.** At the last step +1 for the correct answer and -1 for a wrong one.

    **Ends.** Terminated after ``delay + 2`` steps. The info of the last step holds ``correct_answers`` and
    ``is_success``. The info of every step, the reset's too, holds ``important``: whether the observation is the first
    one.

    **Anchors.** Optimal 1; memoryless and random ``2 / n_tokens - 1``, since the last observation is always the same.

    :param n_tokens: Number of different tokens, at least 2.
    :param delay: Steps between the token and the question: a number, or an inclusive range ``(low, high)`` to draw
        from in every episode.
    :param distractors: Whether random tokens pass during the delay, drawn anew at every step.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds, or ``distractors`` are to fill a delay of 0.
    """

    tags: ClassVar[tuple[str, ...]] = ("object",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"delay": 16},
        "interpolate": {"delay": (4, 16)},
        "extrapolate": {"delay": (32, 256)},
    }
    wrong_reward: ClassVar[float] = -1.0

    def __init__(
        self, *, n_tokens: int = 4, delay: Span = 16, distractors: bool = False, render_mode: str | None = None
    ) -> None:
        n_tokens = check_integer("n_tokens", n_tokens, 2)
        super().__init__(n_tokens=n_tokens, columns=[3, n_tokens + 1], render_mode=render_mode)
        self.delay = check_span("delay", delay, 0)
        self.distractors = check_flag("distractors", distractors)
        self.longest = self.delay[1] + 2
        # The delay, the first token, and those that pass meanwhile.
        self.draws = 2 + self.distractors * self.delay[1]
        if self.distractors and self.delay[1] == 0:
            raise ValueError(
                f"distractors=True has no use with delay={delay!r}: pass a longer delay, or distractors=False."
            )

    def oracle(self) -> MarkedTokenOracle:
        return MarkedTokenOracle()

    def plan(self, uniforms: NDArray[np.float64]) -> SupervisedBatch:
        last = within(uniforms[:, 0], self.delay) + 1
        tokens = self._blank_tokens(len(uniforms), int(last.max()) + 1)
        if self.distractors:
            tokens[:, 1:-1, TOKEN] = self._tokens_from(uniforms[:, 2 : tokens.shape[1]])
            tokens[np.arange(tokens.shape[1]) >= last[:, None], TOKEN] = 0
        tokens[:, 0, TOKEN] = first = self._tokens_from(uniforms[:, 1])
        tokens[:, 0, MARK] = REMEMBER
        tokens[np.arange(len(uniforms)), last, MARK] = ANSWER
        mask = tokens[..., MARK] == ANSWER
        targets = np.where(mask, first[:, None] - 1, 0)
        return SupervisedBatch(tokens, targets, mask, tokens[..., MARK] == REMEMBER, last + 1)

    def _caption(self, mark: int) -> str:
        return ("WAIT", "SAY THE FIRST ONE", "REMEMBER THIS")[mark]


class RepeatPreviousOracle:
    """Keeps the last tokens in a queue and says the one at its far end.

    :param k: How many steps ago the token to say was seen.
    """

    def __init__(self, k: int) -> None:
        self.tokens: deque[int] = deque(maxlen=k + 1)

    def reset(self) -> None:
        self.tokens.clear()

    def act(self, observation: Observation) -> int:
        self.tokens.append(int(observation[TOKEN]))
        return self.tokens[0] - 1
