"""Aggregates against numbers worked out by hand, against rliable's, and intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from memory_agents.benchmarks.report import statistics
from memory_agents.benchmarks.report.statistics import bands, improvement_interval, interval

#: Runs in rows, tasks in columns.
A = np.array(
    [[0.126, -0.132, 0.64], [0.105, -0.536, 0.362], [1.304, 0.947, -0.704], [-1.265, -0.623, 0.041],
     [-2.325, -0.219, -1.246]]
)  # fmt: skip
B = np.array(
    [[-0.232, -0.044, 0.184], [0.912, 1.543, 0.371], [1.866, -0.165, 0.852], [1.403, 0.594, -0.243],
     [-0.422, 0.042, 0.72]]
)  # fmt: skip
#: What rliable 1.2.0 (with arch 7.2.0) says of these: interquartile mean, median, mean, optimality gap, and of each the
#: ends of the 95 % interval from 20,000 repetitions.
BY_RLIABLE = {
    "A": ([-0.17555556, -0.1814, -0.235, 1.25526667],
          [[-0.65845278, -0.652, -0.68566833, 0.82985667], [0.26966667, 0.2648, 0.21200333, 1.69067167]]),
    "B": ([0.38511111, 0.394, 0.49206667, 0.62873333],
          [[0.01321944, 0.0938, 0.15346333, 0.3756], [0.86367222, 0.8632, 0.83713667, 0.89060167]]),
}  # fmt: skip
FIGURES = (statistics.interquartile_mean, statistics.median, statistics.mean, statistics.optimality_gap)


def by_task(matrix: np.ndarray) -> list[np.ndarray]:
    return list(matrix.T)


def test_interquartile_mean_by_hand() -> None:
    # Of 8 runs the 2 lowest and the 2 highest are left out: (3 + 4 + 5 + 6) / 4.
    assert statistics.interquartile_mean([np.array([8.0, 1, 4, 3]), np.array([6.0, 5, 7, 2])]) == 4.5
    # Of 5 runs one at each end; of 3 none.
    assert statistics.interquartile_mean([np.array([-100.0, 1, 2, 3, 100])]) == 2
    assert statistics.interquartile_mean([np.array([1.0, 2, 9])]) == 4


def test_tasks_with_different_numbers_of_runs() -> None:
    scores = [np.array([0.0, 1.0]), np.array([2.0]), np.array([5.0, 6.0, 7.0])]
    assert statistics.mean(scores) == pytest.approx((0.5 + 2 + 6) / 3)
    assert statistics.median(scores) == 2
    # Of 0, 1, 2, 5, 6, 7 one at each end is left out.
    assert statistics.interquartile_mean(scores) == 3.5
    # Above 1 nothing is missing: (1 + 0) / 2, 0, 0.
    assert statistics.optimality_gap(scores) == pytest.approx(0.5 / 3)


def test_probability_of_improvement_by_hand() -> None:
    # Pairs: 1 > 0, 1 = 1, 3 > 0, 3 > 1, so 3.5 of 4; on the other task none of 1.
    x, y = [np.array([1.0, 3.0]), np.array([0.0])], [np.array([0.0, 1.0]), np.array([2.0])]
    assert statistics.probability_of_improvement(x, y) == pytest.approx((3.5 / 4 + 0) / 2)
    assert statistics.probability_of_improvement(y, x) == pytest.approx(1 - (3.5 / 4) / 2)
    assert statistics.probability_of_improvement(x, x) == 0.5


def test_what_rounding_alone_tells_apart_is_a_tie() -> None:
    # Normalised returns of four players who made no mistake.
    x, y = [np.array([1.00000004053])], [np.array([1.00000003338, 1.0, 0.99999996])]
    assert statistics.probability_of_improvement(x, y) == 0.5
    assert statistics.probability_of_improvement(y, x) == 0.5
    # One answer of 10,000 is no rounding.
    assert statistics.probability_of_improvement([np.array([1.0])], [np.array([0.9999])]) == 1
    assert statistics.probability_of_improvement([np.array([np.inf])], [np.array([np.inf, 1.0])]) == 0.75


@pytest.mark.parametrize(("name", "matrix"), [("A", A), ("B", B)])
def test_as_by_rliable(name: str, matrix: np.ndarray) -> None:
    values, (low, high) = BY_RLIABLE[name]
    found = [interval(figure, by_task(matrix)) for figure in FIGURES]
    assert_allclose([one.value for one in found], values, atol=1e-8)
    # Two runs of rliable itself with other seeds differ by 0.01.
    assert_allclose(np.array([one.low for one in found], float), low, atol=0.03)
    assert_allclose(np.array([one.high for one in found], float), high, atol=0.03)


def test_improvement_as_by_rliable() -> None:
    found = improvement_interval(by_task(B), by_task(A))
    assert found.value == pytest.approx(0.76)
    assert (found.low, found.high) == pytest.approx((0.56, 0.92), abs=0.02)


def test_resamples_stay_within_their_task() -> None:
    rng = np.random.default_rng(0)
    first, second = statistics.resample([np.array([1.0, 2.0]), np.array([30.0, 40.0, 50.0])], rng, 500)
    assert first.shape == (500, 2)
    assert second.shape == (500, 3)
    assert set(first.ravel()) == {1.0, 2.0}
    assert set(second.ravel()) == {30.0, 40.0, 50.0}


def test_the_mean_of_two_runs_has_the_interval_of_a_coin() -> None:
    # Resamples of (0, 1) have means 0, 0.5, 1 with chances 1/4, 1/2, 1/4.
    coin = [np.array([0.0, 1.0])]
    wide, narrow = (interval(statistics.mean, coin, confidence=share) for share in (0.95, 0.4))
    assert (wide.low, wide.value, wide.high) == (0, 0.5, 1)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_one_run_has_no_interval() -> None:
    one = interval(statistics.mean, [np.array([0.3]), np.array([0.5])])
    assert (one.value, one.low, one.high) == (0.4, None, None)
    two = improvement_interval([np.array([0.3])], [np.array([0.5])])
    assert (two.value, two.low, two.high) == (0.0, None, None)
    value, low, high = bands(statistics.mean, [np.array([[0.3], [0.5]])])
    assert_allclose(value, [0.3, 0.5])
    assert_allclose(low, high)


def test_seed_and_repetitions_count() -> None:
    scores = by_task(A)
    assert interval(statistics.mean, scores) == interval(statistics.mean, scores)
    assert interval(statistics.mean, scores, seed=1) != interval(statistics.mean, scores)
    assert interval(statistics.mean, scores, repetitions=50) != interval(statistics.mean, scores)
    with pytest.raises(ValueError, match="repetitions must be a positive integer, got 0"):
        interval(statistics.mean, scores, repetitions=0)
    with pytest.raises(ValueError, match=r"confidence must lie between 0 and 1, got 95; use 0\.95"):
        interval(statistics.mean, scores, confidence=95)
    with pytest.raises(ValueError, match="leave empty tasks out"):
        interval(statistics.mean, [np.array([])])


def test_bands_are_intervals_at_every_point() -> None:
    rng = np.random.default_rng(0)
    curves = [rng.normal(size=(4, 5)), rng.normal(size=(4, 3))]
    value, low, high = bands(statistics.interquartile_mean, curves, repetitions=5_000)
    for point in range(4):
        alone = interval(statistics.interquartile_mean, [task[point] for task in curves])
        assert value[point] == pytest.approx(alone.value)
        assert low[point] == pytest.approx(alone.low, abs=0.06)
        assert high[point] == pytest.approx(alone.high, abs=0.06)
    # The same runs are drawn at all points, so equal points have equal intervals.
    same = [np.repeat(curves[0][:1], 3, axis=0)]
    _, low, high = bands(statistics.mean, same, repetitions=200)
    assert len(set(low)) == len(set(high)) == 1


@pytest.mark.parametrize("runs", statistics.COVERAGE)
def test_how_often_intervals_hold_the_truth(runs: int) -> None:
    """The share that reports tell their readers; 600 cases have a standard error of at most 2 %."""
    rng = np.random.default_rng(runs)
    held = 0
    for case in range(600):
        found = interval(statistics.mean, [rng.normal(size=runs)], seed=case, repetitions=500)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
    assert held / 6 == pytest.approx(statistics.COVERAGE[runs], abs=5)


def test_another_seed_draws_others() -> None:
    a, b = by_task(A), by_task(B)
    assert improvement_interval(b, a, seed=1) != improvement_interval(b, a)
    assert improvement_interval(b, a, seed=1) == improvement_interval(b, a, seed=1)
    assert interval(statistics.mean, a, seed=1) != interval(statistics.mean, a)


def test_a_task_of_one_run_beside_others_takes_no_interval_away() -> None:
    found = interval(statistics.mean, [np.array([0.3]), np.array([0.0, 1.0])])
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    better = improvement_interval([np.array([0.5])], [np.array([0.0, 1.0])])
    assert (better.low, better.value, better.high) == (0, 0.5, 1)


def test_bands_are_as_wide_as_they_are_to_be_sure() -> None:
    curves = [np.random.default_rng(0).normal(size=(4, 5))]
    _, low, high = bands(statistics.mean, curves, repetitions=500)
    _, inner_low, inner_high = bands(statistics.mean, curves, repetitions=500, confidence=0.4)
    assert (inner_high - inner_low < high - low).all()
