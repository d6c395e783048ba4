"""How many pads and choices fit into an episode of object matching on a grid, in expectation and exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.grid_view import MOVES, WEST
from memory_agents.envs.object_matching_grid_map import Cell, GridMap

Times = NDArray[np.float64]  # Entry t: the probability that something lasts t steps; from 0 to the horizon.


def expected_visits(to_pad: Times, to_choice: Times) -> tuple[float, float]:
    """Return the expected numbers of pads and of choices up to the horizon.

    Loops are renewals: one begins when a choice ends the one before, and how long it takes is drawn anew.

    :param to_pad: How long it takes from the beginning of a loop to the pad.
    :param to_choice: How long it takes from the pad to the choice.
    """
    loop = np.convolve(to_pad, to_choice)[: len(to_pad)]
    begins = np.zeros_like(to_pad)
    begins[0] = 1.0
    for time in range(1, len(begins)):
        begins[time] = begins[:time] @ loop[time:0:-1]
    pads = np.convolve(begins, to_pad)[: len(to_pad)]
    return float(pads.sum()), float(begins[1:].sum())


def shortest_times(grid: GridMap, shortest: int, horizon: int) -> tuple[Times, Times]:
    """Return how long the shortest paths take: from the start to the pad, and from there to the choice.

    :param grid: The map.
    :param shortest: Cells of the shortest corridor; every length up to the map's longest is equally likely.
    :param horizon: Steps of an episode.
    """
    to_pad, to_choice = np.zeros(horizon + 1), np.zeros(horizon + 1)
    to_pad[grid.steps_to_pad] = 1.0
    to_choice[grid.steps_to_choice(shortest) : grid.steps_to_choice(grid.longest) + 1] = 1.0
    return to_pad, to_choice / to_choice.sum()


def random_times(grid: GridMap, shortest: int, horizon: int) -> tuple[Times, Times]:
    """Return how long uniformly random moves take, see :func:`shortest_times`.

    :param grid: The map.
    :param shortest: Cells of the shortest corridor; every length up to the map's longest is equally likely.
    :param horizon: Steps of an episode.
    """
    arrivals = [grid.arrival(length) for length in range(shortest, grid.longest + 1)]
    to_plate = _walk(grid, arrivals, grid.plate, horizon)
    # One step leads from the pad into the corridor, one from the plate to the choice.
    return _walk(grid, [grid.start], grid.pad, horizon), np.append([0.0, 0.0], to_plate)[: horizon + 1]


def _walk(grid: GridMap, starts: Sequence[Cell], goal: Cell, horizon: int) -> Times:
    """Follow one random walk from each start until it meets the goal; west of its start it meets a wall."""
    number = {cell: index for index, cell in enumerate(grid.distances(starts[-1]))}
    moves = np.array([[number[grid.move(cell, action)] for cell in number] for action in range(len(MOVES))])
    begins, walks = np.array([number[start] for start in starts]), np.arange(len(starts))
    west = moves[WEST, begins]
    # Where the map itself has the wall, the move west leads back already.
    open_west = west != begins
    begins_walled, west, walks_walled = begins[open_west], west[open_west], walks[open_west]
    there = np.zeros((len(number), len(starts)))
    there[begins, walks] = 1 / len(starts)
    times = np.zeros(horizon + 1)
    for time in range(1, horizon + 1):
        # Every move can be undone, so what leads to a cell is what it leads to.
        there = there[moves].sum(axis=0) / len(MOVES)
        there[begins_walled, walks_walled] += there[west, walks_walled]
        there[west, walks_walled] = 0.0
        times[time] = there[number[goal]].sum()
        there[number[goal]] = 0.0
    return times
