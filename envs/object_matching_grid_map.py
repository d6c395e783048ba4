"""The map of object matching on a grid: two rooms and a corridor into the second, with search over them."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.grid_view import MOVES, REACH

Cell: TypeAlias = tuple[int, int]  # Row and column, counted as in GridView.

FLOOR, WALL, CASE, PAD, PEDESTAL = range(5)
CODES = {".": FLOOR, "#": WALL, "@": FLOOR, "G": CASE, "P": PAD, "C": PEDESTAL}

# The glass cases (G) flank the way from the start (@) to the pad (P): they are seen from the shortest path, so looking
# costs no step. Pedestals are C.
ROOM_A = (
    ".......",
    "......G",
    ".......",
    "@.....P",
    ".......",
    "......G",
    ".......",
)
ROOM_B = (
    "#####",
    "....C",
    ".....",
    ".....",
    ".....",
    "....C",
    "#####",
)
MIDDLE = 3
SIDE_A, SIDE_B = len(ROOM_A[0]), len(ROOM_B[0])


class GridMap:
    """Room A, a gap of wall, the corridor and room B.

    A corridor shorter than the longest one keeps its eastern end; what is left of it in the west is closed.

    :param longest: Cells of the longest corridor.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        # As wide as the agent sees, so that no view shows both rooms, or the corridor from room A.
        gap = "#" * REACH
        rows = [
            a + gap + ("." if row == MIDDLE else "#") * longest + b
            for row, (a, b) in enumerate(zip(ROOM_A, ROOM_B, strict=True))
        ]
        cells = {(row, column): kind for row, line in enumerate(rows) for column, kind in enumerate(line)}
        self.start, self.pad = (next(cell for cell, kind in cells.items() if kind == sign) for sign in "@P")
        self.cases, self.pedestals = (tuple(cell for cell, kind in cells.items() if kind == sign) for sign in "GC")
        self.door: Cell = MIDDLE, SIDE_A + REACH + longest
        self.rooms = _corners(cells, 0, SIDE_A), _corners(cells, self.door[1], SIDE_B)
        #: Codes of all cells, with ``REACH`` cells of wall added on every side.
        self.world: NDArray[np.intp] = np.pad(
            np.array([[CODES[kind] for kind in line] for line in rows], np.intp), REACH, constant_values=WALL
        )
        self.steps_to_pad = self.distances(self.start)[self.pad]
        distances = self.distances(self.door)
        self._steps_from_door = min(distances[pedestal] for pedestal in self.pedestals)

    def arrival(self, length: int) -> Cell:
        """Return the cell that the pad leads to.

        :param length: Cells of the corridor.
        """
        return MIDDLE, self.door[1] - length

    def steps_to_choice(self, length: int) -> int:
        """Return the length of the shortest path from the corridor's beginning to a pedestal.

        :param length: Cells of the corridor.
        """
        return length + self._steps_from_door

    def move(self, cell: Cell, action: int) -> Cell:
        """Return where a move from a cell leads; walls and cases stop it.

        :param cell: The cell to move from.
        :param action: Index into ``MOVES``.
        """
        row, column = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
        return cell if self.world[row + REACH, column + REACH] in (WALL, CASE) else (row, column)

    def distances(self, start: Cell) -> dict[Cell, int]:
        """Return all cells within reach and how many moves away they are, found breadth first.

        :param start: The cell to begin from.
        """
        found, queue = {start: 0}, deque([start])
        while queue:
            cell = queue.popleft()
            for action in range(len(MOVES)):
                neighbour = self.move(cell, action)
                if neighbour not in found:
                    found[neighbour] = found[cell] + 1
                    queue.append(neighbour)
        return found


def _corners(cells: dict[Cell, str], west: int, side: int) -> tuple[Cell, Cell]:
    """Return the first and the last cell of a room."""
    inside = [cell for cell, kind in cells.items() if west <= cell[1] < west + side and kind != "#"]
    return inside[0], inside[-1]
