"""All views of object matching on a grid, painted beforehand."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.base import Observation
from memory_agents.envs.grid_view import REACH
from memory_agents.envs.object_matching_grid import FIRST_OBJECT, ObjectMatchingGrid
from memory_agents.envs.object_matching_grid_map import WALL, Cell

# In place of the view from a cell whose view depends on the objects.
SHOWS_OBJECTS = -1


class GridViews:
    """Views by number; cells are numbered row by row, with the ones added around the world.

    :param env: The environment they are seen in.
    """

    def __init__(self, env: ObjectMatchingGrid) -> None:
        self._env, self._grid = env, env._grid
        self._numbers: dict[bytes, int] = {}
        views = self._paint_objects()
        here = [cell for room in (self._grid.start, self._grid.door) for cell in self._grid.distances(room)]
        #: Number of the view from each cell.
        self.bare = np.full(self._grid.world.size, SHOWS_OBJECTS)
        for cell in here:
            if cell not in (self._grid.pad, self._grid.plate):
                self.bare[self.cell_number(cell)] = self._paint(views, self._grid.world, cell)
        columns: dict[int, list[Cell]] = defaultdict(list)
        for cell in here:
            columns[cell[1]].append(cell)
        low, high = env.corridor
        #: Numbers of the views from the first two columns of shorter corridors, where what is closed is in sight, by
        #: how much longer than the shortest they are, column and row, with the rows added around.
        self.closed = np.zeros((high - low + 1, REACH, len(self._grid.world)), np.int64)
        for length in range(low, high):
            row, column = self._grid.arrival(length)
            world = self._grid.world.copy()
            world[row + REACH, self._grid.door[1] - high + REACH : column + REACH] = WALL
            for cell in columns[column] + columns[column + 1]:
                place = length - low, cell[1] - column, cell[0] + REACH
                self.closed[place] = self._paint(views, world, cell)
        #: The views, ``(n_views, *shape)``.
        self.looks = np.array(views)

    def cell_number(self, cell: Cell) -> int:
        """Return the number of a cell.

        :param cell: Its row and column, counted without the added cells.
        """
        width: int = self._grid.world.shape[1]
        return (cell[0] + REACH) * width + cell[1] + REACH

    @staticmethod
    def from_pad(n_objects: int, case_sides: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of views from the pad.

        :param n_objects: How many objects there are.
        :param case_sides: Where the sample is, 0 for north and 1 for south.
        :param samples: The samples.
        """
        return case_sides * n_objects + samples

    @staticmethod
    def from_plate(
        n_objects: int, sample_sides: NDArray[np.int64], samples: NDArray[np.int64], foils: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the numbers of views from the plate.

        :param n_objects: How many objects there are.
        :param sample_sides: Where the sample is, 0 for north and 1 for south.
        :param samples: The samples.
        :param foils: The foils.
        """
        return ((2 + sample_sides * n_objects) + samples) * n_objects + foils

    def _paint_objects(self) -> list[Observation]:
        """Paint the views from the pad and those from the plate, in the order of their numbers."""
        grid, objects, first_pick = self._grid, range(len(self._env._objects)), self._env._first_pick
        shown = [(grid.pad, {grid.cases[side]: FIRST_OBJECT + sample}) for side in range(2) for sample in objects]
        shown += [
            (grid.plate, {grid.pedestals[side]: first_pick + sample, grid.pedestals[1 - side]: first_pick + foil})
            for side in range(2)
            for sample in objects
            for foil in objects
        ]
        views = []
        for cell, codes in shown:
            world = grid.world.copy()
            for (row, column), code in codes.items():
                world[row + REACH, column + REACH] = code
            views.append(self._env._view.look(world, *cell))
        return views

    def _paint(self, views: list[Observation], world: NDArray[np.intp], cell: Cell) -> int:
        """Return the number of the view from a cell, which is painted unless there is another like it."""
        view = self._env._view.look(world, *cell)
        number = self._numbers.setdefault(view.tobytes(), len(views))
        if number == len(views):
            views.append(view)
        return number
