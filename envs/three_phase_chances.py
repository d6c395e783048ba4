"""What uniformly random walkers reach in the rooms of the tasks in three phases, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.grid_view import MOVES

Cell = tuple[int, int]


@lru_cache(maxsize=8)
def _walk(side: int) -> NDArray[np.float64]:
    """Transitions of a random walk in a square room whose walls stop the walker, cells counted row by row."""
    chances = np.zeros((side * side, side * side))
    for row in range(side):
        for column in range(side):
            for down, right in MOVES:
                to_row, to_column = row + down, column + right
                inside = 0 <= to_row < side and 0 <= to_column < side
                target = to_row * side + to_column if inside else row * side + column
                chances[row * side + column, target] += 1 / len(MOVES)
    return chances


@lru_cache(maxsize=256)
def chance_to_touch(side: int, start: Cell, targets: tuple[Cell, ...], steps: int) -> float:
    """Return the probability that a random walker enters one of several cells in time.

    :param side: Cells along a side of the room.
    :param start: Row and column of the walker.
    :param targets: Rows and columns of the cells to enter.
    :param steps: Steps the walker has.
    """
    walker = np.zeros(side * side)
    walker[start[0] * side + start[1]] = 1.0
    cells = [row * side + column for row, column in targets]
    touched = 0.0
    for _ in range(steps):
        walker = walker @ _walk(side)
        touched += float(walker[cells].sum())
        walker[cells] = 0.0
    return touched


def apples_eaten(side: int, start: Cell, places: Sequence[Sequence[Cell]], steps: int) -> NDArray[np.float64]:
    """Return how many apples a random walker eats on average within 0, 1, ... ``steps`` steps.

    :param side: Cells along a side of the room.
    :param start: Row and column of the walker.
    :param places: For each cell, row by row, where the next apple may appear when the walker is there, equally likely.
        The first one appears so when the walker sets out.
    :param steps: Steps the walker has.
    """
    appear = np.zeros((side * side, side * side))
    for cell, choices in enumerate(places):
        for row, column in choices:
            appear[cell, row * side + column] += 1 / len(choices)
    state = np.zeros_like(appear)  # Walker by apple.
    here = start[0] * side + start[1]
    state[here] = appear[here]
    eaten = np.zeros(steps + 1)
    for step in range(1, steps + 1):
        state = _walk(side).T @ state
        meals = state.diagonal().copy()
        eaten[step] = eaten[step - 1] + meals.sum()
        np.fill_diagonal(state, 0.0)
        state += meals[:, None] * appear
    return eaten
