from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.envs.chance import below, geometric, orders, within

LARGEST = np.nextafter(1.0, 0.0)


@given(st.integers(1, 2**40), st.lists(st.floats(0.0, LARGEST), min_size=1))
def test_one_number_is_turned_into_what_many_are(bound: int, numbers: list[float]) -> None:
    many = below(np.array(numbers), bound)
    assert many.dtype == np.int64
    assert many.tolist() == [int(number * bound) for number in numbers]
    assert 0 <= many.min() <= many.max() < bound


def test_integers_share_the_line_equally() -> None:
    uniforms = (np.arange(60) + 0.5) / 60
    np.testing.assert_array_equal(np.bincount(below(uniforms, 5)), 12)
    np.testing.assert_array_equal(np.bincount(within(uniforms, (3, 6))), [0, 0, 0, 15, 15, 15, 15])
    assert within(uniforms, (7, 7)).tolist() == [7] * 60


def test_bounds_can_differ() -> None:
    np.testing.assert_array_equal(below(np.full(3, 0.99), np.array([1, 10, 100])), [0, 9, 99])


def test_every_order_of_the_numbers_is_an_order() -> None:
    found = orders(np.array(list(permutations([0.1, 0.5, 0.9]))))
    assert len({tuple(row) for row in found.tolist()}) == 6
    np.testing.assert_array_equal(np.sort(found, axis=1), [[0, 1, 2]] * 6)


@pytest.mark.parametrize("probability", [0.03, 0.5, 0.9])
def test_trials_until_success(probability: float) -> None:
    """Of evenly spread numbers, the share above each count is that of so many failures in a row."""
    uniforms = (np.arange(200_000) + 0.5) / 200_000
    trials = geometric(uniforms, probability, 30)
    assert trials.dtype == np.int64
    assert trials.min() == 1
    for count in range(1, 30):
        assert np.mean(trials > count) == pytest.approx((1 - probability) ** count, abs=1e-5)
    assert trials.max() <= 30


def test_trials_at_the_ends() -> None:
    ends = np.array([0.0, LARGEST])
    assert geometric(ends, 1.0, 9).tolist() == [1, 1]
    assert geometric(ends, 1e-12, 9).tolist() == [1, 9]
