"""
Aggregates over few runs with honest uncertainty, after Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge
of the Statistical Precipice", https://arxiv.org/abs/2108.13264.

Scores of an agent are a list with one array for each task, whose entries are its runs there; tasks may have different
numbers of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_agents.benchmarks.evaluation import ROUNDING
from memory_agents.nn.arguments import check_integers

#: Scores of one agent: for each task one array over runs, (..., runs), leading dimensions being resamples.
Scores = Sequence[NDArray[np.float64]]
#: Maps scores to a figure, (...,).
Statistic = Callable[[Scores], NDArray[np.float64]]

REPETITIONS = 10_000
CONFIDENCE = 0.95
#: Runs of a task from which on the percentile bootstrap's intervals are taken at their word.
ENOUGH_RUNS = 5
#: In how many of 100 cases the 95 % interval of the mean of normal scores on one task held the truth, by the number of
#: runs; tests/benchmarks/report/test_statistics.py measures it again.
COVERAGE = {3: 75, 5: 83, 10: 90, 20: 93}


@dataclass(frozen=True)
class Estimate:
    """
    :param value: the figure, of all runs
    :param low: lower end of its confidence interval; None where each task has a single run
    :param high: upper end
    """

    value: float
    low: float | None
    high: float | None


def interquartile_mean(scores: Scores) -> NDArray[np.float64]:
    """
    Mean of the middle half of all runs of all tasks together: of n runs the floor(n / 4) lowest and as many of the
    highest are left out. It depends less on outliers than the mean and uses more of the runs than the median.

    :param scores: scores of one agent
    :return: the mean, (...,)
    """
    pooled = np.sort(np.concatenate(list(scores), axis=-1), axis=-1)
    cut = pooled.shape[-1] // 4
    return np.asarray(pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1))


def mean(scores: Scores) -> NDArray[np.float64]:
    """
    :param scores: scores of one agent
    :return: mean over tasks of the means over runs, (...,)
    """
    return np.asarray(np.mean([task.mean(axis=-1) for task in scores], axis=0))


def median(scores: Scores) -> NDArray[np.float64]:
    """
    :param scores: scores of one agent
    :return: median over tasks of the means over runs, (...,)
    """
    return np.asarray(np.median([task.mean(axis=-1) for task in scores], axis=0))


def optimality_gap(scores: Scores) -> NDArray[np.float64]:
    """
    :param scores: scores of one agent
    :return: by how much runs fall short of 1, those above 1 counting as 1: mean over tasks of the means over runs
    """
    return 1.0 - mean([np.minimum(task, 1.0) for task in scores])


def probability_of_improvement(x: Scores, y: Scores) -> NDArray[np.float64]:
    """
    The chance that a run of X scores higher than a run of Y on the same task, ties counting one half (the Mann-Whitney
    statistic over its maximum); the mean over tasks. Scores that rounding alone may have told apart are ties.

    :param x: normalised scores of agent X
    :param y: those of agent Y, on the same tasks in the same order
    :return: the chance, (...,)
    """
    chances = []
    for a, b in zip(x, y, strict=True):
        above, below = a[..., :, None], b[..., None, :]
        wins, losses = above > below + ROUNDING, below > above + ROUNDING
        chances.append(0.5 + 0.5 * (wins.mean(axis=(-2, -1)) - losses.mean(axis=(-2, -1))))
    return np.asarray(np.mean(chances, axis=0))


def resample(scores: Scores, rng: np.random.Generator, repetitions: int) -> list[NDArray[np.float64]]:
    """
    The stratified bootstrap: runs are drawn with replacement, within each task by itself.

    :param scores: scores of one agent, (runs,) each
    :param rng: where randomness comes from
    :param repetitions: how many resamples
    :return: for each task (repetitions, runs)
    """
    return [task[rng.integers(len(task), size=(repetitions, len(task)))] for task in scores]


def interval(
    statistic: Statistic,
    scores: Scores,
    *,
    seed: int = 0,
    repetitions: int = REPETITIONS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """
    :param statistic: the figure
    :param scores: scores of one agent, (runs,) each
    :param seed: seed of the resampling
    :param repetitions: how many resamples
    :param confidence: how often the interval shall hold the truth
    :return: the figure and its percentile interval by the stratified bootstrap
    :raises ValueError: when there is no task, a task without runs, or ``confidence`` is no share
    """
    _check(scores, repetitions, confidence)
    value = float(statistic(scores))
    if all(len(task) == 1 for task in scores):
        return Estimate(value, None, None)
    draws = statistic(resample(scores, np.random.default_rng(seed), repetitions))
    return _estimate(value, draws, confidence)


def improvement_interval(
    x: Scores, y: Scores, *, seed: int = 0, repetitions: int = REPETITIONS, confidence: float = CONFIDENCE
) -> Estimate:
    """
    :param x: scores of agent X, (runs,) each
    :param y: scores of agent Y, on the same tasks in the same order
    :param seed: seed of the resampling
    :param repetitions: how many resamples
    :param confidence: how often the interval shall hold the truth
    :return: the chance that X improves on Y, and its percentile interval; runs of both are drawn anew
    :raises ValueError: when there is no task, a task without runs, or ``confidence`` is no share
    """
    for scores in (x, y):
        _check(scores, repetitions, confidence)
    value = float(probability_of_improvement(x, y))
    if all(len(task) == 1 for task in (*x, *y)):
        return Estimate(value, None, None)
    rng = np.random.default_rng(seed)
    draws = probability_of_improvement(resample(x, rng, repetitions), resample(y, rng, repetitions))
    return _estimate(value, draws, confidence)


def bands(
    statistic: Statistic, curves: Scores, *, seed: int = 0, repetitions: int = 1_000, confidence: float = CONFIDENCE
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """
    An interval at every point of learning curves. Whole runs are drawn, the same ones at all points.

    :param statistic: the figure
    :param curves: for each task (points, runs), at the same points
    :param seed: seed of the resampling
    :param repetitions: how many resamples
    :param confidence: how often the interval at a point shall hold the truth
    :return: the figure and the ends of its interval, (points,) each; where every task has a single run, the ends are
        the figure itself
    :raises ValueError: when there is no task, a task without runs, or ``confidence`` is no share
    """
    _check(curves, repetitions, confidence)
    value = statistic(curves)
    if all(task.shape[-1] == 1 for task in curves):
        return value, value, value
    rng = np.random.default_rng(seed)
    draws = [rng.integers(task.shape[-1], size=(repetitions, task.shape[-1])) for task in curves]
    # One point at a time: all at once would be (repetitions, points, runs) of every task.
    ends = [
        np.quantile(statistic([task[point][draw] for task, draw in zip(curves, draws, strict=True)]), _ends(confidence))
        for point in range(curves[0].shape[0])
    ]
    low, high = np.array(ends).reshape(-1, 2).T
    return value, low, high


def _check(scores: Scores, repetitions: int, confidence: float) -> None:
    check_integers(repetitions=repetitions)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}; use 0.95")
    sizes = [task.shape[-1] for task in scores]
    if not sizes or min(sizes) == 0:
        raise ValueError(
            f"scores must have one run or more of each of one task or more, got {sizes} runs; leave empty tasks out"
        )


def _ends(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


def _estimate(value: float, draws: NDArray[np.float64], confidence: float) -> Estimate:
    low, high = np.quantile(draws, _ends(confidence))
    return Estimate(value, float(low), float(high))
