"""Concentration, the card game: find the pairs among cards that lie face down."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_integer, check_span
from memory_agents.envs.base import Action, Frame, Masks, MemoryEnv, Observation
from memory_agents.envs.chance import orders, within
from memory_agents.envs.concentration_frame import Scene, draw

FACE_DOWN = 0
MAX_PAIRS = 26


class ConcentrationEpisodes(NamedTuple):
    """What is drawn for episodes.

    :param pairs: Pairs to find, ``(episodes,)``.
    :param cards: The values of all cards, ``(episodes, n_cards)``.
    :param shown: What is seen of them at first, ``(episodes, n_cards)``.
    """

    pairs: NDArray[np.int64]
    cards: NDArray[np.int64]
    shown: NDArray[np.int64]


class Concentration(MemoryEnv):
    """Turn cards over two at a time and find all pairs.

    **Task.** The card game Concentration, also called Pairs or Memory, as a test of reinforcement learning with
    memory after Morad et al. (2023, https://arxiv.org/abs/2303.01859). ``2 * n_pairs`` cards, two of each value, lie
    face down in random order. A turn is two flips, one card each. Two cards that match stay face up. Two that do not
    are seen for one step, and the next action, whatever it is, turns both down again. That action flips nothing and
    is not counted as a flip. (Could it flip a card, then a player without memory might note what it has just seen by
    which card it takes next: with two pairs that finds both for certain.)

    **Observation.** ``MultiDiscrete([max_pairs + 1] * (2 * max_pairs))``: for every card 0 while it lies face down,
    else its value from 1 to ``max_pairs``.

    **Actions.** ``Discrete(2 * max_pairs)``: the card to flip. Choosing a card that lies face up changes nothing, but
    counts as a flip. After a mismatch the action does not matter. :meth:`action_masks` has those that lie face
    down.

    **Rewards.** ``1 / n_pairs`` for every pair found.

    **Ends.** Terminated when all pairs are found or after ``4 * n_pairs`` flips; an action that turns a mismatch down
    is a step but no flip, so that an episode has at most ``6 * n_pairs - 1`` steps. The info of the last step holds
    ``pairs_found`` and ``is_success`` (all of them).

    **Anchors.** Optimal 1: who takes a known pair where there is one, otherwise an unseen card and then its match if
    that has been seen, has at most ``n_pairs`` mismatches, since each begins with a value never seen before. With
    ``n_pairs`` matches that is at most ``4 * n_pairs`` flips. Memoryless: flipping a face-down card uniformly at
    random finds a pair in a turn with probability ``1 / (2 * m - 1)`` while ``m`` pairs are left, and the Markov chain
    over ``m`` gives .753, .531, .373, .212 and .146 for 2, 3, 4, 6 and 8 pairs. No policy that sees the present cards
    only, deterministic or not, finds the first pair sooner: in a turn all find it with the same probability averaged
    over deals, and by Jensen's inequality the chance that many turns fail is least when it is the same in every deal.
    That makes the value exact for two pairs. For three, gradient ascent over all such policies, with exact returns,
    never ended above it (a test repeats this); for more it is not proven. Random: computed exactly by a Markov chain
    over pairs, cards face up and flips left.

    :param n_pairs: Pairs to find, at least 2: a number, or an inclusive range ``(low, high)`` to draw from in every
        episode.
    :param max_pairs: Pairs on the table, up to 26; None means the most that ``n_pairs`` allows. Those beyond
        ``n_pairs``, drawn at random, lie face up from the start, so that agents can be trained on few pairs and tested
        on many.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds, or ``max_pairs`` is below ``n_pairs``.
    """

    tags: ClassVar[tuple[str, ...]] = ("spatial", "capacity")
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"n_pairs": 4, "max_pairs": 8},
        "interpolate": {"n_pairs": (2, 4), "max_pairs": 8},
        "extrapolate": {"n_pairs": 8, "max_pairs": 8},
    }

    def __init__(self, *, n_pairs: Span = 4, max_pairs: int | None = None, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.n_pairs = check_span("n_pairs", n_pairs, 2)
        most = self.n_pairs[1]
        if most > MAX_PAIRS:
            raise ValueError(f"n_pairs={n_pairs!r} is out of bounds: pass at most {MAX_PAIRS} pairs.")
        self.max_pairs = most if max_pairs is None else check_integer("max_pairs", max_pairs, most, MAX_PAIRS)
        self.n_cards = 2 * self.max_pairs
        self.observation_space = spaces.MultiDiscrete([self.max_pairs + 1] * self.n_cards)
        self.action_space = spaces.Discrete(self.n_cards)
        # An order of the cards; how many pairs there are to find, and an order of all pairs, of which they come first.
        self.draws = self.n_cards + (1 + self.max_pairs if self.n_pairs[0] < self.max_pairs else 0)
        self._deck = np.repeat(np.arange(1, self.max_pairs + 1), 2)

    @property
    def optimal_return(self) -> float:
        return 1.0

    @cached_property
    def memoryless_return(self) -> float:
        low, high = self.n_pairs
        return float(np.mean([_memoryless_share(pairs) for pairs in range(low, high + 1)]))

    @cached_property
    def random_return(self) -> float:
        low, high = self.n_pairs
        return float(np.mean([_random_share(pairs, self.n_cards) for pairs in range(low, high + 1)]))

    def oracle(self) -> ConcentrationOracle:
        return ConcentrationOracle()

    def plan(self, uniforms: NDArray[np.float64]) -> ConcentrationEpisodes:
        """Return what episodes hold.

        :param uniforms: Uniform numbers, ``(episodes, draws)``.
        """
        low = self.n_pairs[0]
        cards = self._deck[orders(uniforms[:, : self.n_cards])]
        if low == self.max_pairs:
            return ConcentrationEpisodes(np.full(len(cards), low), cards, np.zeros(cards.shape, np.int64))
        pairs = within(uniforms[:, self.n_cards], self.n_pairs)
        ranks = orders(uniforms[:, self.n_cards + 1 :]).argsort(axis=1)
        hidden = np.take_along_axis(ranks, cards - 1, axis=1) < pairs[:, None]
        return ConcentrationEpisodes(pairs, cards, np.where(hidden, FACE_DOWN, cards))

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        seen: NDArray[np.int64]
        if self.n_pairs[0] == self.max_pairs:
            # As in plan(), with fewer steps around it.
            self._pairs, deal, seen = self.max_pairs, self._deck[orders(uniforms)], np.zeros(self.n_cards, np.int64)
        else:
            pairs, deals, shown = self.plan(uniforms[None])
            self._pairs, deal, seen = int(pairs[0]), deals[0], shown[0]
        self._cards: list[int] = deal.tolist()
        self._shown = seen
        self._face_up: list[bool] = self._shown.astype(np.bool_).tolist()
        self._turn: tuple[int, ...] = ()
        self._found, self._flips = 0, 0
        self._flips_left = 4 * self._pairs
        return seen.copy()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, self.n_cards)
        if len(self._turn) == 2:
            for card in self._turn:
                self._shown[card] = FACE_DOWN
                self._face_up[card] = False
            self._turn = ()
            return self._shown.copy(), 0.0, False, False, {}
        self._flips_left -= 1
        reward = 0.0
        if not self._face_up[action]:
            self._face_up[action] = True
            self._shown[action] = self._cards[action]
            self._turn = (*self._turn, action)
            if len(self._turn) == 2 and self._cards[self._turn[0]] == self._cards[action]:
                self._turn = ()
                self._found += 1
                reward = 1.0 / self._pairs
        success = self._found == self._pairs
        if not success and self._flips_left:
            return self._shown.copy(), reward, False, False, {}
        self._playing = False
        return self._shown.copy(), reward, True, False, {"pairs_found": self._found, "is_success": success}

    def action_masks(self) -> Masks:
        """Return which cards can be flipped, ``(2 * max_pairs,)``: those that lie face down.

        After a mismatch, when the next action flips nothing, all are valid. The observation tells as much.
        """
        self._check_begun("action_masks")
        if len(self._turn) == 2:
            return np.ones(self.n_cards, np.bool_)
        return ~np.array(self._face_up)

    def _frame(self) -> Frame:
        return draw(
            Scene(
                shown=tuple(self._shown.tolist()),
                turn=self._turn,
                found=self._found,
                pairs=self._pairs,
                flips_left=self._flips_left,
                over=not self._playing,
            )
        )


def _memoryless_share(pairs: int) -> float:
    """Return the share of pairs found in ``2 * pairs`` turns of two cards taken at random from those face down."""
    found = np.zeros(pairs + 1)
    found[0] = 1.0
    hits = 1.0 / (2.0 * np.arange(pairs, 0, -1) - 1.0)
    for _ in range(2 * pairs):
        moving = found[:-1] * hits
        found[:-1] -= moving
        found[1:] += moving
    return float(found @ np.arange(pairs + 1)) / pairs


def _random_share(pairs: int, n_cards: int) -> float:
    """Return the share of pairs found in ``4 * pairs`` flips of cards taken at random from the whole table."""
    # What is still to be had by the number of pairs found, before a turn's first flip and before its second.
    first, second = np.zeros(pairs + 1), np.zeros(pairs + 1)
    face_down = 2.0 * np.arange(pairs, -1, -1) / n_cards
    for _ in range(4 * pairs):
        matched = np.append(1.0 / pairs + first[1:], 0.0) / n_cards
        mismatched = (face_down - 2.0 / n_cards) * first
        first, second = (
            face_down * second + (1.0 - face_down) * first,
            matched + mismatched + (1.0 - face_down + 1.0 / n_cards) * second,
        )
        second[-1] = 0.0
    return float(first[0])


class ConcentrationOracle:
    """Remembers all cards seen, takes pairs as soon as it knows them, and otherwise turns over a card not yet seen."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen: dict[int, int] = {}  # The value of every card seen, by card.

    def act(self, observation: Observation) -> int:
        values: list[int] = observation.tolist()
        self.seen.update((card, value) for card, value in enumerate(values) if value != FACE_DOWN)
        open_cards = [card for card, value in enumerate(values) if value != FACE_DOWN and values.count(value) == 1]
        if len(open_cards) == 2:
            return open_cards[0]
        unseen = (card for card in range(len(values)) if card not in self.seen)
        if open_cards:
            mate = self._mate(open_cards[0])
            return next(unseen) if mate is None else mate
        known = (card for card in self.seen if values[card] == FACE_DOWN and self._mate(card) is not None)
        card = next(known, None)
        return next(unseen) if card is None else card

    def _mate(self, card: int) -> int | None:
        return next((other for other, value in self.seen.items() if value == self.seen[card] and other != card), None)
