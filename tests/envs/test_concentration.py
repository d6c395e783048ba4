from __future__ import annotations

from collections import defaultdict
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import Concentration
from memory_agents.envs.base import Observation
from memory_agents.envs.concentration import FACE_DOWN
from tests.envs.every_draw import EveryDraw
from tests.envs.playing import Policy, always, play, returns_of


def singles(observation: Observation) -> list[int]:
    """The cards that lie face up without their match."""
    values = observation.tolist()
    return [card for card, value in enumerate(values) if value != FACE_DOWN and values.count(value) == 1]


def turn_up_any(seed: int) -> Policy:
    """Without memory: a card taken uniformly from those face down."""
    rng = np.random.default_rng(seed)
    return lambda observation: int(rng.choice(np.flatnonzero(observation == FACE_DOWN)))


def dealt(env: Concentration, cards: list[int]) -> Observation:
    """Begin an episode with these values."""
    for seed in range(5000):
        observation, _ = env.reset(seed=seed)
        if env._cards == cards:
            return observation
    raise AssertionError("no such seed")


@given(st.integers(2, 26), st.integers(0, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_oracle_always_finishes_in_time(n_pairs: int, spare: int, seed: int) -> None:
    env = Concentration(n_pairs=n_pairs, max_pairs=min(26, n_pairs + spare))
    oracle = env.oracle()
    observation, _ = env.reset(seed=seed)
    assert (observation == FACE_DOWN).sum() == 2 * n_pairs
    total, mismatches, over = 0.0, 0, False
    while not over:
        observation, reward, over, truncated, info = env.step(oracle.act(observation))
        assert not truncated
        total += reward
        mismatches += len(singles(observation)) == 2
    assert total == pytest.approx(env.optimal_return)
    assert info == {"pairs_found": n_pairs, "is_success": True}
    assert mismatches <= n_pairs


def test_a_game_step_by_step() -> None:
    env = Concentration(n_pairs=2)
    assert dealt(env, [2, 1, 1, 2]).tolist() == [0, 0, 0, 0]
    game = [
        (0, [2, 0, 0, 0], 0.0),
        (0, [2, 0, 0, 0], 0.0),  # Face up already: a flip lost.
        (1, [2, 1, 0, 0], 0.0),  # No match.
        (3, [0, 0, 0, 0], 0.0),  # Turned down again, and nothing else.
        (1, [0, 1, 0, 0], 0.0),
        (2, [0, 1, 1, 0], 0.5),
        (2, [0, 1, 1, 0], 0.0),  # Part of a pair: a flip lost.
        (3, [0, 1, 1, 2], 0.0),
    ]
    for action, shown, expected in game:
        observation, reward, terminated, truncated, info = env.step(action)
        assert (observation.tolist(), reward, terminated, truncated, info) == (shown, expected, False, False, {})
    observation, reward, terminated, truncated, info = env.step(0)
    assert (observation.tolist(), reward, terminated, truncated) == ([2, 1, 1, 2], 0.5, True, False)
    assert info == {"pairs_found": 2, "is_success": True}


@pytest.mark.parametrize("last_turn", [[0, 1], [1, 1], [0, 3]])
def test_the_game_ends_after_four_flips_for_each_pair(last_turn: list[int]) -> None:
    env = Concentration(n_pairs=2)
    dealt(env, [2, 1, 1, 2])
    for _ in range(3):
        assert env.step(0)[2] is False
        assert env.step(1)[2] is False
        observation, _, terminated, _, _ = env.step(1)
        assert terminated is False
        assert not observation.any()
    assert env.step(last_turn[0])[2] is False
    _, reward, terminated, truncated, info = env.step(last_turn[1])
    found = int(last_turn == [0, 3])
    assert (reward, terminated, truncated) == (0.5 * found, True, False)
    assert info == {"pairs_found": found, "is_success": False}


def test_episodes_have_at_most_the_steps_that_the_docstring_says() -> None:
    lengths = []
    for seed in range(200):
        env = Concentration(n_pairs=3)
        policy = turn_up_any(seed)
        observation, _ = env.reset(seed=seed)
        steps, over = 0, False
        while not over:
            observation, _, over, _, _ = env.step(policy(observation))
            steps += 1
        lengths.append(steps)
    assert max(lengths) == 6 * 3 - 1


def test_wasting_every_flip_earns_nothing() -> None:
    assert play(Concentration(), always(0), seed=0) == (0.0, {"pairs_found": 0, "is_success": False})


@pytest.mark.parametrize("kwargs", [{"n_pairs": 2}, {}, {"n_pairs": (2, 5), "max_pairs": 6}])
def test_cards_at_random_earn_the_memoryless_return(kwargs: dict[str, Any]) -> None:
    env = Concentration(**kwargs)
    returns = returns_of(env, turn_up_any(0), 1000)
    assert abs(returns.mean() - env.memoryless_return) < 4 * returns.std() / np.sqrt(len(returns))


def test_memoryless_returns_are_those_of_the_docstring() -> None:
    returns = [Concentration(n_pairs=n_pairs).memoryless_return for n_pairs in (2, 3, 4, 6, 8)]
    assert returns == pytest.approx([0.753, 0.531, 0.373, 0.212, 0.146], abs=0.0005)
    # Two pairs: all is done unless one of four turns, each a hit in three, comes in time for the other pair, too.
    misses = [(2 / 3) ** turns for turns in range(5)]
    assert returns[0] == pytest.approx((1 - misses[4] + 1 - misses[3]) / 2)


class ThreePairs:
    """Exact returns of stochastic policies without memory for three pairs.

    A policy says which card to take first, given the pairs found, and which second, given also the first and its
    value. Of the last pair every turn is a hit. Flips that change nothing are left out, as they only lose time.
    """

    shapes = ((6,), (6, 3, 6), (15, 3, 6), (15, 3, 6, 3, 6))

    def __init__(self) -> None:
        self.deals = sorted(set(permutations([0, 0, 1, 1, 2, 2])))
        numbers = {pair: number for number, pair in enumerate(combinations(range(6), 2))}
        places = [
            [tuple(card for card in range(6) if deal[card] == value) for value in range(3)] for deal in self.deals
        ]
        self.pairs = th.tensor(places)  # [deal, value, which of both]
        self.numbers = th.tensor([[numbers[pair[0], pair[1]] for pair in deal] for deal in places])
        self.free = th.ones(15, 6, dtype=th.bool)
        for pair, number in numbers.items():
            self.free[number, list(pair)] = False

    def chance(self, first: th.Tensor, second: th.Tensor, value: Any) -> th.Tensor:
        """Probability that a turn takes the pair of this value, ``(deals,)``."""
        one, other = self.pairs[:, value].T
        deals = th.arange(len(self.deals))
        return (
            first[deals, one] * second[deals, one, value, other]
            + first[deals, other] * second[deals, other, value, one]
        )

    def expected_return(self, policy: list[th.Tensor]) -> th.Tensor:
        not_itself = ~th.eye(6, dtype=th.bool)[:, None, :]
        first = policy[0].softmax(-1).expand(len(self.deals), -1)
        second = policy[1].masked_fill(~not_itself, -1e9).softmax(-1).expand(len(self.deals), -1, -1, -1)
        later_first = policy[2].masked_fill(~self.free[:, None], -1e9).softmax(-1)
        allowed = self.free[:, None, None, None] & not_itself
        later_second = policy[3].masked_fill(~allowed, -1e9).softmax(-1)

        hits = th.stack([self.chance(first, second, value) for value in range(3)], 1)
        later_hits = th.stack(
            [
                sum(
                    (
                        self.chance(later_first[number, found], later_second[number, found], value)
                        for value in range(3)
                        if value != found
                    ),
                    th.zeros(()),
                )
                for found, number in enumerate(self.numbers.T)
            ],
            1,
        )
        none, one = th.ones(len(self.deals), 1), th.zeros(len(self.deals), 3)
        two = three = th.zeros(len(self.deals), 1)
        for _ in range(2 * 3):
            three = three + two
            two = (one * later_hits).sum(1, keepdim=True)
            one = one * (1 - later_hits) + none * hits
            none = none * (1 - hits.sum(1, keepdim=True))
        return ((one.sum(1, keepdim=True) + 2 * two + 3 * three) / 3).mean()


@pytest.fixture
def double_precision() -> Any:
    before = th.get_default_dtype()
    th.set_default_dtype(th.float64)
    yield
    th.set_default_dtype(before)


@pytest.mark.usefixtures("double_precision")
def test_no_memoryless_policy_found_by_ascent_beats_cards_at_random() -> None:
    game, bound = ThreePairs(), Concentration(n_pairs=3).memoryless_return
    assert game.expected_return([th.zeros(shape) for shape in game.shapes]).item() == pytest.approx(bound, abs=1e-12)
    generator = th.Generator().manual_seed(0)
    for spread in (0.3, 1.0, 8.0):
        policy = [(spread * th.randn(shape, generator=generator)).requires_grad_() for shape in game.shapes]
        optimiser = th.optim.Adam(policy, lr=0.2)
        reached = []
        for _ in range(60):
            loss = -game.expected_return(policy)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            reached.append(-loss.item())
        assert max(reached) < bound + 1e-9
        assert reached[-1] > reached[0]
        if spread < 2:
            assert reached[-1] > bound - 0.002


@pytest.mark.usefixtures("double_precision")
def test_the_model_of_three_pairs_agrees_with_the_environment() -> None:
    game, env = ThreePairs(), Concentration(n_pairs=3)
    generator, rng = th.Generator().manual_seed(1), np.random.default_rng(1)
    tables = [2 * th.randn(shape, generator=generator) for shape in game.shapes]
    numbers = {pair: number for number, pair in enumerate(combinations(range(6), 2))}

    def policy(observation: Observation) -> int:
        open_cards = singles(observation)
        face_down = np.flatnonzero(observation == FACE_DOWN)
        if len(open_cards) == 2 or len(face_down) < 3:
            return int(face_down[0])
        paired = [card for card in range(6) if observation[card] and card not in open_cards]
        state = (numbers[paired[0], paired[1]], int(observation[paired[0]]) - 1) if paired else ()
        for card in open_cards:
            state = (*state, card, int(observation[card]) - 1)
        table = tables[2 * bool(paired) + len(open_cards)]
        odds = table[state].exp().numpy()[face_down]
        return int(rng.choice(face_down, p=odds / odds.sum()))

    returns = returns_of(env, policy, 2500)
    expected = game.expected_return(tables).item()
    assert expected < env.memoryless_return - 0.05
    assert abs(returns.mean() - expected) < 4 * returns.std() / np.sqrt(len(returns))


def test_presets_share_their_spaces() -> None:
    envs = [Concentration(**preset) for preset in Concentration.presets.values()]
    assert len({str(env.observation_space) for env in envs}) == len({str(env.action_space) for env in envs}) == 1


def test_pairs_to_find_and_pairs_left_open_are_drawn_in_every_episode() -> None:
    env = Concentration(n_pairs=(2, 4), max_pairs=5)
    env.reset(seed=0)
    hidden_pairs, hidden_values, hidden_cards = np.zeros(6), np.zeros(6), np.zeros(10)
    for _ in range(600):
        face_down = env.reset()[0] == FACE_DOWN
        hidden_pairs[face_down.sum() // 2] += 1
        hidden_cards += face_down
        hidden_values[np.unique(np.array(env._cards)[face_down])] += 1
    assert hidden_pairs[[0, 1, 5]].sum() == 0
    assert (np.abs(hidden_pairs[2:5] - 200) < 5 * np.sqrt(200)).all()
    for counts in (hidden_values[1:], hidden_cards):
        assert (np.abs(counts - 600 * 3 / 5) < 5 * np.sqrt(600 * 0.24)).all()


@pytest.mark.parametrize(
    ("kwargs", "n_deals"),
    [({"n_pairs": 2}, 6), ({"n_pairs": 2, "max_pairs": 3}, 90 * 3), ({"n_pairs": (2, 3)}, 90 * 4)],
)
def test_all_deals_are_equally_likely(kwargs: dict[str, Any], n_deals: int) -> None:
    """Go through every draw: which cards there are, and which lie face down."""
    env = Concentration(**kwargs)
    draws = EveryDraw.given_to(env)
    chances: dict[tuple[Any, ...], float] = defaultdict(float)
    while True:
        face_down = env.reset()[0] == FACE_DOWN
        chances[(*env._cards, *face_down.tolist())] += draws.probability
        if not draws.advance():
            break
    assert len(chances) == n_deals
    by_pairs: dict[int, list[float]] = defaultdict(list)
    for deal, chance in chances.items():
        by_pairs[sum(deal[env.n_cards :]) // 2].append(chance)
    for alike in by_pairs.values():
        assert sum(alike) == pytest.approx(1 / len(by_pairs))
        assert alike == pytest.approx([alike[0]] * len(alike))


def test_anchors_of_a_range_are_means() -> None:
    parts = [Concentration(n_pairs=n_pairs, max_pairs=5) for n_pairs in (2, 3, 4)]
    mixed = Concentration(n_pairs=(2, 4), max_pairs=5)
    assert mixed.memoryless_return == pytest.approx(np.mean([env.memoryless_return for env in parts]))
    assert mixed.random_return == pytest.approx(np.mean([env.random_return for env in parts]))
    assert parts[0].random_return < Concentration(n_pairs=2).random_return


def test_frames_tell_a_pair_from_a_mismatch_and_success_from_failure() -> None:
    frames = []
    for last in (1, 3):
        env = Concentration(n_pairs=2, render_mode="rgb_array")
        dealt(env, [2, 1, 1, 2])
        env.step(0)
        env.step(last)
        frames.append(env.render())
    reds = [int((frame == (208, 52, 60)).all(axis=2).sum()) for frame in frames]
    assert reds[0] > 500
    assert reds[1] == 0
    env = Concentration(n_pairs=2, render_mode="rgb_array")
    ends = []
    for policy in (env.oracle().act, always(0)):
        play(env, policy, 0)
        ends.append(int((env.render()[:36] == (208, 52, 60)).all(axis=2).sum()))
    assert ends[0] == 0
    assert ends[1] > 100


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_pairs": 1}, "n_pairs=1 is out of bounds: pass an integer of at least 2"),
        ({"n_pairs": 27}, "n_pairs=27 is out of bounds: pass at most 26 pairs"),
        ({"n_pairs": (4, 3)}, r"n_pairs=\(4, 3\) is an empty range"),
        ({"n_pairs": 5, "max_pairs": 4}, "max_pairs=4 is out of bounds: pass an integer from 5 to 26"),
        ({"max_pairs": 27}, "max_pairs=27 is out of bounds"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Concentration(**kwargs)
