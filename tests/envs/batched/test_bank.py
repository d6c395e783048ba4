from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from gymnasium.utils import seeding
from numpy.typing import NDArray

from memory_agents.envs.batched import bank
from memory_agents.envs.batched.bank import Bank


class Numbers(NamedTuple):
    first: NDArray[np.float64]
    all: NDArray[np.float64]


class Planner:
    def __init__(self, size: int = 3) -> None:
        self.calls: list[int] = []
        self.size = size

    def __call__(self, uniforms: NDArray[np.float64]) -> Numbers:
        self.calls.append(len(uniforms))
        return Numbers(uniforms[:, 0], np.repeat(uniforms, self.size, axis=1))


def test_every_copy_plays_the_episodes_of_its_own_generator() -> None:
    """Whoever plays fast or slow, each copy meets the rows that its generator gives one by one."""
    made = Bank(4, 2, Planner())
    made.seed([7, 8, 9, 10])
    generators = [seeding.np_random(seed)[0] for seed in (7, 8, 9, 10)]
    rng = np.random.default_rng(0)
    for turn in range(200):
        if turn == 90:
            made.seed([None, 3, None, None])
            generators[1] = seeding.np_random(3)[0]
        which = rng.random(4) < [0.9, 0.5, 0.2, 0.05]
        if not which.any():
            continue
        made.go_on(which.nonzero()[0])
        rows = made.places[which]
        for copy, row in zip(which.nonzero()[0].tolist(), rows.tolist(), strict=True):
            expected = generators[copy].random(2)
            assert made.episodes.first[row] == expected[0]
            np.testing.assert_array_equal(made.episodes.all[row], np.repeat(expected, 3))


def test_an_episode_stays_while_it_is_played() -> None:
    made = Bank(2, 1, Planner())
    made.go_on(np.array([0, 1]))
    kept = made.places[0]
    number = made.episodes.first[kept]
    for _ in range(50):
        made.go_on(np.array([1]))
        assert made.episodes.first[kept] == number


def test_many_episodes_are_planned_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "MOST_AHEAD", 8)
    planner = Planner()
    made = Bank(10, 1, planner)
    for _ in range(16):
        made.go_on(np.arange(10))
    assert planner.calls == [1, 80, 80]


def test_large_episodes_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "MOST_BYTES", 24_000)
    monkeypatch.setattr(bank, "MOST_AHEAD", 8)
    size = 8 * (1 + 3 * 10)
    assert Bank(10, 10, Planner()).depth == 8 + 1
    assert Bank(40, 10, Planner()).depth == 24_000 // (40 * size) == 2
    assert Bank(4000, 10, Planner()).depth == 2


def test_many_numbers_are_turned_into_episodes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "MOST_AHEAD", 8)
    monkeypatch.setattr(bank, "MOST_UNIFORMS", 70)
    planner = Planner()
    made = Bank(5, 2, planner)
    made.seed(list(range(5)))
    made.go_on(np.arange(5))
    rows = made.places
    assert planner.calls == [1, 35, 5]
    first = [seeding.np_random(seed)[0].random() for seed in range(5)]
    np.testing.assert_array_equal(made.episodes.first[rows], first)


def test_unseeded_copies_differ() -> None:
    made = Bank(20, 1, Planner())
    made.go_on(np.arange(20))
    assert len(set(made.episodes.first[made.places].tolist())) == 20
