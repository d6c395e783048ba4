"""The map of object matching on a grid: two rooms and a corridor into the second, with search over them."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.grid_view import MOVES, REACH

Cell: TypeAlias = tuple[int, int]  # Row and column, counted as in GridView.

FLOOR, PAD, PLATE, WALL, CASE, PEDESTAL = range(6)  # From WALL on they stop the agent.
CODES = {".": FLOOR, "@": FLOOR, "p": PAD, "o": PLATE, "#": WALL, "G": CASE, "P": PEDESTAL}

# From the pad (p) both glass cases (G) are seen, and from the plate (o) both pedestals (P). The agent starts at @.
ROOM_A = (
    ".......",
    "......G",
    ".......",
    "@.....p",
    ".......",
    "......G",
    ".......",
)
ROOM_B = (
    "#####",
    ".....",
    "....P",
    "....o",
    "....P",
    ".....",
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
        self.start, self.pad, self.plate = (_places(cells, sign)[0] for sign in "@po")
        self.cases, self.pedestals = (_places(cells, sign) for sign in "GP")
        self.door: Cell = MIDDLE, SIDE_A + REACH + longest
        self.rooms = _corners(cells, 0, SIDE_A), _corners(cells, self.door[1], SIDE_B)
        #: Codes of all cells, with ``REACH`` cells of wall added on every side.
        self.world: NDArray[np.intp] = np.pad(
            np.array([[CODES[kind] for kind in line] for line in rows], np.intp), REACH, constant_values=WALL
        )
        self.steps_to_pad = self.distances(self.start)[self.pad]
        self._steps_to_plate = self.distances(self.door)[self.plate]

    def arrival(self, length: int) -> Cell:
        """Return the cell that the pad leads to.

        :param length: Cells of the corridor.
        """
        return MIDDLE, self.door[1] - length

    def steps_to_choice(self, length: int) -> int:
        """Return the fewest steps from the pad to the choice: one leads into the corridor, the last one chooses.

        :param length: Cells of the corridor.
        """
        return 1 + length + self._steps_to_plate + 1

    def move(self, cell: Cell, action: int) -> Cell:
        """Return where a move from a cell leads; what stands in the way stops it.

        :param cell: The cell to move from.
        :param action: Index into ``MOVES``.
        """
        row, column = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
        return cell if self.world[row + REACH, column + REACH] >= WALL else (row, column)

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


def _places(cells: dict[Cell, str], sign: str) -> list[Cell]:
    """Return the cells of one kind."""
    return [cell for cell, kind in cells.items() if kind == sign]


def _corners(cells: dict[Cell, str], west: int, side: int) -> tuple[Cell, Cell]:
    """Return the first and the last cell of a room."""
    inside = [cell for cell, kind in cells.items() if west <= cell[1] < west + side and kind != "#"]
    return inside[0], inside[-1]
