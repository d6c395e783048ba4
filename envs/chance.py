"""Chance from uniform numbers: what an episode holds is a function of a row of them, whether one is drawn or many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def below(uniforms: NDArray[np.float64], bound: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return integers from 0 to ``bound - 1``, all equally likely.

    :param uniforms: Uniform numbers from [0, 1), in any shape.
    :param bound: How many integers there are: one number, or an array of numbers that broadcasts.
    """
    return (uniforms * bound).astype(np.int64)


def within(uniforms: NDArray[np.float64], span: tuple[int, int]) -> NDArray[np.int64]:
    """Return integers of an inclusive range, all equally likely.

    :param uniforms: Uniform numbers from [0, 1), in any shape.
    :param span: The smallest and the largest integer.
    """
    low, high = span
    return below(uniforms, high - low + 1) + low


def orders(uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return orders of the numbers 0 to ``n - 1``, all equally likely.

    :param uniforms: Uniform numbers from [0, 1), ``(..., n)``; each row makes an order.
    """
    order: NDArray[Any] = uniforms.argsort(axis=-1, kind="stable")
    return order


def geometric(uniforms: NDArray[np.float64], probability: float, most: int) -> NDArray[np.int64]:
    """Return how many trials it takes until one succeeds.

    :param uniforms: Uniform numbers from [0, 1), in any shape.
    :param probability: Chance of success of each trial, above 0.
    :param most: Larger numbers become this one.
    """
    if probability == 1.0:
        return np.ones(uniforms.shape, np.int64)
    failures = np.floor(np.log1p(-uniforms) / np.log1p(-probability))
    trials: NDArray[np.int64] = np.minimum(failures + 1.0, most).astype(np.int64)
    return trials
