"""Rows of tokens to be given back, in order or from last to first."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_flag, check_integer, check_span
from memory_agents.envs.base import Observation
from memory_agents.envs.chance import orders, within
from memory_agents.envs.token_stream import ANSWER, MARK, TOKEN, SupervisedBatch, TokenStream


class Copy(TokenStream):
    """See a row of tokens, wait, then give them back in order.

    **Task.** The copying task of Hochreiter and Schmidhuber (1997) in the form of Arjovsky et al. (2016,
    https://arxiv.org/abs/1511.06464): ``length`` independent, uniformly random tokens are shown, ``delay`` blanks
    follow, and then the tokens must be said, one a step. What marks these steps is always the same, so that the memory
    must also know how far it has come. With ``selective`` it is selective copying (Gu and Dao 2023,
    https://arxiv.org/abs/2312.00752): the blanks do not follow the tokens but lie at random places among them.

    **Observation.** ``MultiDiscrete([2, n_tokens + 1])``, int64: whether an answer is asked for, then the token, from
    1 to ``n_tokens``, or 0 where none is seen. Blanks, and what follows the last step, are all zeros.

    **Actions.** ``Discrete(n_tokens)``: action ``a`` says token ``a + 1``. It matters only where an answer is asked
    for.

    **Rewards.** ``1 / length`` for each correct answer, else 0.

    **Ends.** Terminated after ``2 * length + delay`` steps. The info of the last step holds ``correct_answers`` and
    ``is_success`` (every answer correct). The info of every step, the reset's too, holds ``important``: whether a token
    is seen.

    **Anchors.** Optimal 1; memoryless and random ``1 / n_tokens``, since all steps that ask for an answer look the
    same.

    :param n_tokens: Number of different tokens, at least 2.
    :param length: Number of tokens to copy.
    :param delay: Number of blanks: a number, or an inclusive range ``(low, high)`` to draw from in every episode.
    :param selective: Whether the blanks lie among the tokens.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds, or ``selective`` finds no blanks.
    """

    tags: ClassVar[tuple[str, ...]] = ("sequential", "capacity")
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"delay": 8},
        "interpolate": {"delay": (2, 8)},
        "extrapolate": {"delay": (16, 256)},
    }
    #: The order in which the tokens are to be said, and what it is called.
    order: ClassVar[slice] = slice(None)
    order_name: ClassVar[str] = "IN ORDER"

    def __init__(
        self,
        *,
        n_tokens: int = 4,
        length: int = 4,
        delay: Span = 8,
        selective: bool = False,
        render_mode: str | None = None,
    ) -> None:
        n_tokens = check_integer("n_tokens", n_tokens, 2)
        super().__init__(n_tokens=n_tokens, columns=[2, n_tokens + 1], render_mode=render_mode)
        self.length = check_integer("length", length, 1)
        self.delay = check_span("delay", delay, 0)
        self.selective = check_flag("selective", selective)
        self.longest = 2 * self.length + self.delay[1]
        # The delay, the tokens, and lots for the steps at which they are shown.
        self.draws = 1 + self.length + self.selective * (self.length + self.delay[1])
        if self.selective and self.delay[1] == 0:
            raise ValueError(
                f"selective=True has no use with delay={delay!r}, which gives no blanks: pass a longer delay, or "
                "selective=False."
            )

    def oracle(self) -> CopyOracle:
        return CopyOracle(self.order)

    def plan(self, uniforms: NDArray[np.float64]) -> SupervisedBatch:
        everyone = np.arange(len(uniforms))[:, None]
        answers_begin = self.length + within(uniforms[:, 0], self.delay)
        lengths = answers_begin + self.length
        tokens = self._blank_tokens(len(uniforms), int(lengths.max()))
        shown = self._tokens_from(uniforms[:, 1 : 1 + self.length])
        places = self._places_from(uniforms[:, 1 + self.length :], answers_begin)
        tokens[everyone, places, TOKEN] = shown
        answers = answers_begin[:, None] + np.arange(self.length)
        tokens[everyone, answers, MARK] = ANSWER
        targets = np.zeros(tokens.shape[:2], np.int64)
        targets[everyone, answers] = shown[:, self.order] - 1
        return SupervisedBatch(tokens, targets, tokens[..., MARK] == ANSWER, tokens[..., TOKEN] > 0, lengths)

    def _places_from(self, lots: NDArray[np.float64], answers_begin: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the steps at which the tokens are shown, in rising order."""
        if not self.selective:
            return np.arange(self.length)
        lots = np.where(np.arange(lots.shape[1]) < answers_begin[:, None], lots, 1.0)
        return np.sort(orders(lots)[:, : self.length], axis=1)

    def _caption(self, mark: int) -> str:
        return f"SAY THEM {self.order_name}" if mark == ANSWER else "REMEMBER THIS"


class Reverse(Copy):
    """See a row of tokens, wait, then give them back from last to first.

    **Task.** :class:`Copy` with the answers in reverse: ``length`` independent, uniformly random tokens are shown,
    ``delay`` blanks follow (with ``selective`` they lie at random places among the tokens), and then the tokens must be
    said, one a step, the last one first. The first token shown has to be kept longest.

    **Observation.** ``MultiDiscrete([2, n_tokens + 1])``, int64: whether an answer is asked for, then the token, from
    1 to ``n_tokens``, or 0 where none is seen. Blanks, and what follows the last step, are all zeros.

    **Actions.** ``Discrete(n_tokens)``: action ``a`` says token ``a + 1``. It matters only where an answer is asked
    for.

    **Rewards.** ``1 / length`` for each correct answer, else 0.

    **Ends.** Terminated after ``2 * length + delay`` steps. The info of the last step holds ``correct_answers`` and
    ``is_success`` (every answer correct). The info of every step, the reset's too, holds ``important``: whether a token
    is seen.

    **Anchors.** Optimal 1; memoryless and random ``1 / n_tokens``, since all steps that ask for an answer look the
    same.

    :param n_tokens: Number of different tokens, at least 2.
    :param length: Number of tokens to give back.
    :param delay: Number of blanks: a number, or an inclusive range ``(low, high)`` to draw from in every episode.
    :param selective: Whether the blanks lie among the tokens.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds, or ``selective`` finds no blanks.
    """

    order: ClassVar[slice] = slice(None, None, -1)
    order_name: ClassVar[str] = "BACKWARDS"


class CopyOracle:
    """Lists the tokens and reads the list out.

    :param order: The order to read it in.
    """

    def __init__(self, order: slice) -> None:
        self.order = order
        self.reset()

    def reset(self) -> None:
        self.tokens: list[int] = []
        self.said = 0

    def act(self, observation: Observation) -> int:
        if observation[TOKEN]:
            self.tokens.append(int(observation[TOKEN]))
        if observation[MARK] != ANSWER:
            return 0
        self.said += 1
        return self.tokens[self.order][self.said - 1] - 1
