"""The cue stream: a rare token matters, all others only look like it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_integer, check_probability, check_span
from memory_agents.envs.chance import below, geometric
from memory_agents.envs.token_stream import (
    ANSWER,
    MARK,
    REMEMBER,
    TOKEN,
    MarkedTokenOracle,
    SupervisedBatch,
    TokenStream,
)


class CueStream(TokenStream):
    """In a long stream of random tokens, say that of the newest cue whenever asked.

    **Task.** A test of selective memory. At every step a token passes, independent and uniformly random; rare ones, the
    cues, carry a mark. A query asks for the token of the newest cue. A memory that takes in everything must reach back
    over all that has passed since; one that takes in the cues alone needs a single place, however long the delay.

    - Queries come ``delay[0]`` to ``delay[1]`` steps after the newest cue, never earlier or later, so that a stream
      is wholly within or wholly beyond the reach of a memory of given length. One of these steps, drawn uniformly, is
      a query, and so is each of the others with probability ``query_rate``.
    - Before the first cue, and once the last one's queries are over, each step is a cue with probability ``p_cue``.
      The first cue comes early enough for its queries, so that none of the episodes is without. The last cue's queries
      may be cut off by the end.

    **Observation.** ``MultiDiscrete([3, n_values + 1])``, int64: the mark (0 none, 1 query, 2 cue), then the token,
    from 1 to ``n_values``; a query shows none, 0. After the last step it is all zeros.

    **Actions.** ``Discrete(n_values)``: action ``a`` says token ``a + 1``. It matters only at a query.

    **Rewards.** At a query 1 for the correct answer, divided by the number of queries of the episode, else 0.

    **Ends.** Terminated after ``length`` steps. The info of the last step holds ``correct_answers`` and ``is_success``
    (every answer correct). The info of every step, the reset's too, holds ``important``: whether the observation is a
    cue, for memories that are told, or learn to tell, what to keep.

    **Anchors.** Optimal 1; memoryless and random ``1 / n_values``, since all queries look the same.

    :param p_cue: Probability of a cue where one may come, above 0.
    :param n_values: Number of different tokens, at least 2.
    :param delay: Steps from the newest cue to a query, at least 1: a number, or an inclusive range ``(low, high)``.
        The presets train within the reach of most memories and extrapolate to delays that need selection.
    :param query_rate: Probability of a query at each further step of that range; 0 asks once per cue.
    :param length: Steps of an episode, more than the longest delay.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds.
    """

    tags: ClassVar[tuple[str, ...]] = ("object",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"delay": (8, 32)},
        "interpolate": {"delay": (4, 16)},
        "extrapolate": {"delay": (1000, 3000), "query_rate": 0.002, "length": 8192},
    }

    def __init__(
        self,
        *,
        p_cue: float = 0.1,
        n_values: int = 4,
        delay: Span = (8, 32),
        query_rate: float = 0.1,
        length: int = 128,
        render_mode: str | None = None,
    ) -> None:
        n_values = check_integer("n_values", n_values, 2)
        super().__init__(n_tokens=n_values, columns=[3, n_values + 1], render_mode=render_mode)
        self.p_cue = check_probability("p_cue", p_cue, positive=True)
        self.delay = check_span("delay", delay, 1)
        self.query_rate = check_probability("query_rate", query_rate)
        self.length = self.longest = check_integer("length", length, self.delay[1] + 1)
        # As many cues as there could ever be, and the delays at which each can be followed by a query.
        self._most_cues = -(-self.length // (self.delay[1] + 1))
        self._n_delays = self.delay[1] - self.delay[0] + 1
        # The token of each step; the gap before each cue, the delay of its first query, and the chance of one at each.
        self.draws = self.length + self._most_cues * (2 + self._n_delays)

    def oracle(self) -> MarkedTokenOracle:
        return MarkedTokenOracle()

    def plan(self, uniforms: NDArray[np.float64]) -> SupervisedBatch:
        batch_size, length, most_cues = len(uniforms), self.length, self._most_cues
        gaps_begin, queries_begin = length, length + 2 * most_cues
        tokens = self._blank_tokens(batch_size, length)
        tokens[..., TOKEN] = self._tokens_from(uniforms[:, :length])
        cues = self._cues_from(uniforms[:, gaps_begin : gaps_begin + most_cues])
        first_delays = below(uniforms[:, gaps_begin + most_cues : queries_begin], self._n_delays)

        # From here on steps are numbered through all episodes, and so are cues and queries; the last ones of an
        # episode may lie beyond its end.
        cues_in_time = (cues < length).reshape(-1)
        cues += np.arange(0, batch_size * length, length)[:, None]
        cues, ends = cues.reshape(-1), np.arange(length, (batch_size + 1) * length, length).repeat(most_cues)
        asked = (uniforms[:, queries_begin:] < self.query_rate).reshape(-1)
        asked[np.arange(0, asked.size, self._n_delays) + first_delays.reshape(-1)] = True
        queries = asked.nonzero()[0]
        cue_of = queries // self._n_delays
        queries += self.delay[0] + (cues - np.arange(0, asked.size, self._n_delays)).take(cue_of)
        in_time = queries < ends.take(cue_of)
        queries, cue_of = queries[in_time], cue_of[in_time]

        important, mask = np.zeros((2, batch_size, length), np.bool_)
        targets = np.zeros((batch_size, length), np.int64)
        rows = tokens.reshape(-1, 2)
        cues_seen = cues[cues_in_time]
        important.reshape(-1)[cues_seen], rows[cues_seen, MARK] = True, REMEMBER
        targets.reshape(-1)[queries] = rows[:, TOKEN].take(cues.take(cue_of)) - 1
        mask.reshape(-1)[queries] = True
        rows[queries] = ANSWER, 0
        return SupervisedBatch(tokens, targets, mask, important, np.full(batch_size, length, np.int64))

    def _cues_from(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the steps of cues, as many in each episode as could ever be; the last ones may lie beyond its end."""
        high = self.delay[1]
        gaps = geometric(uniforms, self.p_cue, self.length) + high
        gaps[:, 0] = np.minimum(gaps[:, 0] - high - 1, self.length - 1 - high)
        cues: NDArray[np.int64] = gaps.cumsum(axis=1)
        return cues

    def _caption(self, mark: int) -> str:
        return ("WATCH OUT FOR CUES", "SAY THE NEWEST CUE", "A CUE: REMEMBER IT")[mark]
