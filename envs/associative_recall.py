"""Associative recall: which value went with this key?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_flag, check_integer, check_span
from memory_agents.envs.base import Observation
from memory_agents.envs.chance import orders, within
from memory_agents.envs.token_stream import ANSWER, MARK, TOKEN, SupervisedBatch, TokenStream

KEY = 1


class AssociativeRecall(TokenStream):
    """See pairs of a key and a value, then give the value of each key asked for.

    **Task.** After Ba et al. (2016, https://arxiv.org/abs/1610.06258), with several queries as in Arora et al. (2023,
    https://arxiv.org/abs/2312.04927). ``n_pairs`` different keys are drawn anew in every episode and each is given a
    value, independent and uniformly random, so that keys may share one. The pairs are shown, a delay follows, and then
    keys are asked for one a step, in random order and each of them once before any is asked again.

    By default a pair is seen in one step. With ``split`` its key is seen in one step and its value in the next, as
    sequence models are tested: what belongs together must then be told from the order.

    **Observation.** ``MultiDiscrete([2, n_keys + 1, n_values + 1])``, int64: whether an answer is asked for, the key
    and the value, both counted from 1, and 0 where none is seen. During the delay and after the last step it is all
    zeros.

    **Actions.** ``Discrete(n_values)``: action ``a`` says value ``a + 1``. It matters only where an answer is asked
    for.

    **Rewards.** ``1 / n_queries`` for a correct answer, else 0.

    **Ends.** Terminated after the last query: after ``n_pairs`` steps (twice as many with ``split``), the delay and
    ``n_queries`` steps. The info of the last step holds ``correct_answers`` and ``is_success`` (every answer correct).
    The info of every step, the reset's too, holds ``important``: whether a pair is seen, or a part of one.

    **Anchors.** Optimal 1; memoryless and random ``1 / n_values``, since the key asked for tells nothing about its
    value.

    :param n_pairs: Number of pairs, at most ``n_keys``.
    :param n_keys: Number of keys to draw from.
    :param n_values: Number of different values, at least 2.
    :param n_queries: Number of queries.
    :param delay: Steps between the last pair and the first query: a number, or an inclusive range ``(low, high)`` to
        draw from in every episode.
    :param split: Whether key and value are seen in two steps, one after the other.
    :param render_mode: None or ``"rgb_array"``. Frames show keys as letters and values as glyphs.
    :raises ValueError: If an argument is out of bounds.
    """

    tags: ClassVar[tuple[str, ...]] = ("capacity",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"delay": 4},
        "interpolate": {"n_pairs": 3, "delay": (0, 4)},
        "extrapolate": {"n_pairs": 8, "delay": (8, 64)},
    }

    def __init__(
        self,
        *,
        n_pairs: int = 4,
        n_keys: int = 8,
        n_values: int = 4,
        n_queries: int = 8,
        delay: Span = 4,
        split: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.n_keys = check_integer("n_keys", n_keys, 1)
        n_values = check_integer("n_values", n_values, 2)
        super().__init__(n_tokens=n_values, columns=[2, self.n_keys + 1, n_values + 1], render_mode=render_mode)
        self.n_pairs = check_integer("n_pairs", n_pairs, 1, self.n_keys)
        self.n_queries = check_integer("n_queries", n_queries, 1)
        self.delay = check_span("delay", delay, 0)
        self.split = check_flag("split", split)
        self.longest = (1 + self.split) * self.n_pairs + self.delay[1] + self.n_queries
        # Rounds of queries, each an order of all pairs, the last one cut short.
        self._rounds = -(-self.n_queries // self.n_pairs)
        # The delay, an order of the keys, the values, and those rounds.
        self.draws = 1 + self.n_keys + (1 + self._rounds) * self.n_pairs

    def oracle(self) -> AssociativeRecallOracle:
        return AssociativeRecallOracle()

    def plan(self, uniforms: NDArray[np.float64]) -> SupervisedBatch:
        batch_size, steps = len(uniforms), 1 + self.split
        everyone = np.arange(batch_size)[:, None]
        for_keys, for_values, for_rounds = np.split(uniforms[:, 1:], [self.n_keys, self.n_keys + self.n_pairs], axis=1)
        keys = 1 + orders(for_keys)[:, : self.n_pairs]
        values = self._tokens_from(for_values)
        rounds = orders(for_rounds.reshape(batch_size, self._rounds, self.n_pairs))
        asked = rounds.reshape(batch_size, -1)[:, : self.n_queries]

        first_query = steps * self.n_pairs + within(uniforms[:, 0], self.delay)
        lengths = first_query + self.n_queries
        tokens = self._blank_tokens(batch_size, int(lengths.max()))
        shown = steps * np.arange(self.n_pairs)
        tokens[:, shown, KEY] = keys
        tokens[:, shown + steps - 1, TOKEN] = values
        queries = first_query[:, None] + np.arange(self.n_queries)
        tokens[everyone, queries, MARK] = ANSWER
        tokens[everyone, queries, KEY] = keys[everyone, asked]

        targets = np.zeros(tokens.shape[:2], np.int64)
        targets[everyone, queries] = values[everyone, asked] - 1
        mask = tokens[..., MARK] == ANSWER
        seen = (tokens[..., KEY] | tokens[..., TOKEN]) > 0
        return SupervisedBatch(tokens, targets, mask, seen & ~mask, lengths)

    def _caption(self, mark: int) -> str:
        return "WHICH VALUE HAD THIS KEY?" if mark == ANSWER else "REMEMBER THE PAIR"


class AssociativeRecallOracle:
    """Keeps the value of every key in a table; a value seen alone belongs to the key before it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.key = 0
        self.values: dict[int, int] = {}

    def act(self, observation: Observation) -> int:
        mark, key, value = observation.tolist()
        if mark == ANSWER:
            return self.values[key] - 1
        self.key = key or self.key
        if value:
            self.values[self.key] = value
        return 0
