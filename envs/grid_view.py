"""The view of grid worlds: the five by five cells around the agent, as features or as a picture."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.base import Observation
from memory_agents.envs.drawing import Canvas, Colour, Shape

REACH = 2
SIDE = 2 * REACH + 1
TILE = 8
EAST, NORTH, WEST, SOUTH = range(4)
#: What each move adds to row and column.
MOVES = ((0, 1), (-1, 0), (0, -1), (1, 0))


class GridView:
    """What the agent sees: north is up, and the cell it stands on is in the middle.

    A world is an array of cell codes with :data:`REACH` cells added on every side, so that each view lies within it.

    :param features: What a code looks like in ``"symbolic"`` observations, ``(n_codes, n_features)`` from 0 to 1.
    :param tiles: What a code looks like in ``"image"`` observations, ``(n_codes, TILE, TILE, 3)`` of bytes.
    :param observation: ``"symbolic"`` for the features of all cells in a row, ``"image"`` for the tiles as one picture.
    """

    def __init__(self, features: NDArray[np.float32], tiles: NDArray[np.uint8], observation: str) -> None:
        self.image = observation == "image"
        self.space: spaces.Box
        if self.image:
            self.space = spaces.Box(0, 255, (SIDE * TILE, SIDE * TILE, 3), np.uint8)
        else:
            self.space = spaces.Box(0.0, 1.0, (SIDE * SIDE * features.shape[1],), np.float32)
        self._features = features
        # With a row of pixels as one item, putting tiles together copies a few long pieces.
        self._tiles = tiles.reshape(len(tiles), TILE, 3 * TILE)
        looks = self._tiles if self.image else features
        self._codes = {look.tobytes(): code for code, look in enumerate(looks)}

    def look(self, world: NDArray[np.intp], row: int, column: int) -> Observation:
        """Return the observation from a cell.

        :param world: Codes of all cells, with the cells added around.
        :param row: The agent's row, counted without the added cells.
        :param column: The agent's column, counted likewise.
        """
        view = world[row : row + SIDE, column : column + SIDE]
        if self.image:
            return self._tiles.take(view, axis=0).swapaxes(1, 2).reshape(self.space.shape)
        return self._features.take(view, axis=0).reshape(-1)

    def paint(self, world: NDArray[np.intp]) -> NDArray[np.float32 | np.uint8]:
        """Return what all cells of a world look like, for :meth:`crop`.

        Where the world changes seldom, painting it once and cropping is several times faster than :meth:`look`.

        :param world: Codes of all cells, with the cells added around.
        """
        looks = self._tiles if self.image else self._features[:, None]
        rows, columns = world.shape
        return looks.take(world, axis=0).swapaxes(1, 2).reshape(rows * looks.shape[1], columns * looks.shape[2])

    def crop(self, painted: NDArray[np.float32 | np.uint8], row: int, column: int) -> Observation:
        """Return the observation from a cell of a painted world, equal to that of :meth:`look`.

        :param painted: A world from :meth:`paint`.
        :param row: The agent's row, counted without the added cells.
        :param column: The agent's column, counted likewise.
        """
        rows, depth = (TILE, 3 * TILE) if self.image else (1, self._features.shape[1])
        view = painted[rows * row : rows * (row + SIDE), depth * column : depth * (column + SIDE)]
        return view.copy().reshape(self.space.shape)

    def read(self, observation: Observation) -> NDArray[np.intp]:
        """Return the codes of the cells that an observation shows, ``(SIDE, SIDE)``.

        :param observation: An observation from :meth:`look`.
        """
        rows, depth = (TILE, 3 * TILE) if self.image else (1, self._features.shape[1])
        cells = observation.reshape(SIDE, rows, SIDE, depth).swapaxes(1, 2)
        return np.array([[self._codes[cell.tobytes()] for cell in row] for row in cells], np.intp)


def draw_tile(ground: Colour, *layers: tuple[Shape, Colour]) -> NDArray[np.uint8]:
    """Return the tile of a cell.

    :param ground: The colour of its ground.
    :param layers: Shapes within ``[-1, 1]``, each in its colour, drawn one over the other.
    """
    canvas = Canvas(TILE, TILE, ground)
    for shape, colour in layers:
        canvas.fill(shape, TILE / 2, TILE / 2, TILE / 2, colour)
    return canvas.image()


def towards(down: int, right: int) -> int:
    """Return a move that comes nearer across open floor, rows first.

    :param down: Rows to go; negative is north. Not zero together with ``right``.
    :param right: Columns to go; negative is west.
    """
    if down:
        return SOUTH if down > 0 else NORTH
    return EAST if right > 0 else WEST
