"""Pictures of object matching on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.drawing import (
    ACCENT,
    BAD,
    FAINT,
    GLYPHS,
    GOOD,
    INK,
    OBJECT_COLOURS,
    SALTIRE,
    TICK,
    WHITE,
    Canvas,
    Colour,
    disc,
    ring,
)
from memory_agents.envs.grid_view import REACH, draw_tile
from memory_agents.envs.object_matching_grid_map import CASE, PAD, PEDESTAL, PLATE, WALL, Cell, GridMap

WIDTH, HEIGHT = 320, 256
CELL, BORDER, HALL = 15.0, 7.0, 90.0
MAP_TOP = 42.0
GROUND: Colour = (226, 229, 236)
GROUNDS: dict[int, Colour] = {WALL: INK, CASE: (176, 222, 240), PEDESTAL: (242, 222, 180)}

Object: TypeAlias = tuple[int, int]  # Shape and colour.


class Pick(NamedTuple):
    """A choice already made: the object (None for neither), whether it was correct, and at which step."""

    thing: Object | None
    correct: bool
    time: int


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param grid: The map.
    :param cell: Where the agent is.
    :param arrival: Where the pad leads to.
    :param objects: The objects in cases and on pedestals, by cell.
    :param sample: The sample of this loop.
    :param rule: ``"nonmatch"`` or ``"match"``.
    :param picks: The choices made so far.
    :param time: Steps taken.
    :param horizon: Steps of the episode.
    """

    grid: GridMap
    cell: Cell
    arrival: Cell
    objects: dict[Cell, Object]
    sample: Object
    rule: str
    picks: tuple[Pick, ...]
    time: int
    horizon: int

    @property
    def just_chosen(self) -> bool:
        """Whether the step before this scene was a choice."""
        return bool(self.picks) and self.picks[-1].time == self.time


def cell_tile(kind: int, thing: Object | None) -> NDArray[np.uint8]:
    """Return the tile of a cell in ``"image"`` observations.

    :param kind: What the cell is.
    :param thing: The object in or on it.
    """
    ground = GROUNDS.get(kind, GROUND)
    if thing is not None:
        return draw_tile(ground, (GLYPHS[thing[0]], OBJECT_COLOURS[thing[1]]))
    if kind == PLATE:
        return draw_tile(ground, (ring(0.8, 0.4), INK))
    if kind == PAD:
        return draw_tile(ground, (disc(1.0), ACCENT), (disc(0.65), WHITE), (disc(0.35), ACCENT))
    return draw_tile(ground)


class Plan:
    """Where the edges of the map's cells lie in the picture: walls are thin, and long corridors are squeezed.

    :param grid: The map.
    """

    def __init__(self, grid: GridMap) -> None:
        columns = np.where((grid.world == WALL).all(axis=0), BORDER, CELL)
        rows = np.where((grid.world == WALL).all(axis=1), BORDER, CELL)
        hall = grid.door[1] - grid.longest + REACH
        columns[hall : hall + grid.longest] = min(CELL, HALL / grid.longest)
        self.x = (WIDTH - columns.sum()) / 2 + np.append(0.0, np.cumsum(columns))
        self.y = MAP_TOP + np.append(0.0, np.cumsum(rows))

    def span(self, first: Cell, last: Cell) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the rectangle from one cell to another."""
        (top, left), (bottom, right) = first, last
        x, y = self.x[[left + REACH, right + REACH + 1]], self.y[[top + REACH, bottom + REACH + 1]]
        return float(x[0]), float(y[0]), float(x[1]), float(y[1])

    def view(self, cell: Cell) -> tuple[float, float, float, float]:
        """Return the rectangle that is seen from a cell."""
        row, column = cell
        return self.span((row - REACH, column - REACH), (row + REACH, column + REACH))

    def centre(self, cell: Cell) -> tuple[float, float]:
        """Return the middle of a cell."""
        left, top, right, bottom = self.span(cell, cell)
        return (left + right) / 2, (top + bottom) / 2


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas, plan = Canvas(WIDTH, HEIGHT), Plan(scene.grid)
    _draw_score(canvas, scene)
    _draw_map(canvas, scene, plan)
    _draw_agent(canvas, scene, plan)
    words, colour = _caption(scene)
    canvas.text(words, WIDTH / 2, 184, colour, anchor=0.5)
    _draw_memory(canvas, scene)
    canvas.panel(16, 240, 304, 248, FAINT, 4)
    if scene.time:
        canvas.panel(16, 240, max(24.0, 16 + 288 * scene.time / scene.horizon), 248, ACCENT, 4)
    return canvas.image()


def _draw_score(canvas: Canvas, scene: Scene) -> None:
    """The number of the loop, and a mark for each choice made; when they get too many, the newest ones."""
    canvas.text(f"LOOP {len(scene.picks) + 1}", 16, 12)
    for place, pick in enumerate(scene.picks[:-9:-1]):
        x = 295 - 24 * place
        canvas.fill(disc(1.0), x, 19, 9, GOOD if pick.correct else BAD)
        canvas.fill(TICK if pick.correct else SALTIRE, x, 19, 5.6, WHITE)


def _draw_map(canvas: Canvas, scene: Scene, plan: Plan) -> None:
    grid = scene.grid
    areas = [plan.span(*corners) for corners in (*grid.rooms, (scene.arrival, grid.door))]
    for left, top, right, bottom in areas:
        canvas.panel(left - 4, top - 4, right + 4, bottom + 4, INK)
    for area in areas:
        canvas.panel(*area, GROUND)
    canvas.panel(*plan.view(scene.cell), WHITE, 2, opacity=0.6)
    for kind, cells in ((CASE, grid.cases), (PEDESTAL, grid.pedestals)):
        for cell in cells:
            canvas.panel(*plan.span(cell, cell), GROUNDS[kind])
    for cell, size, colour in ((grid.pad, 6.5, ACCENT), (grid.plate, 6.5, INK), (scene.arrival, 4.5, ACCENT)):
        canvas.fill(ring(0.85, 0.3), *plan.centre(cell), size, colour)
    canvas.fill(disc(1.0), *plan.centre(grid.pad), 3, ACCENT)
    for cell, thing in scene.objects.items():
        canvas.glyph(thing[0], *plan.centre(cell), 6, OBJECT_COLOURS[thing[1]])
        kind, seen_from = (CASE, grid.pad) if cell in grid.cases else (PEDESTAL, grid.plate)
        if scene.cell != seen_from:
            canvas.panel(*plan.span(cell, cell), GROUNDS[kind], opacity=0.65)


def _draw_agent(canvas: Canvas, scene: Scene, plan: Plan) -> None:
    canvas.panel(*plan.view(scene.cell), ACCENT, 3, border=2)
    x, y = plan.centre(scene.cell)
    canvas.fill(disc(1.0), x, y, 6.5, WHITE)
    canvas.fill(disc(1.0), x, y, 5, INK)


def _draw_memory(canvas: Canvas, scene: Scene) -> None:
    """What there is to remember, and the choice before."""
    canvas.text("SAMPLE", 16, 215)
    _draw_object(canvas, 108, scene.sample, CASE)
    if scene.picks:
        pick = scene.picks[-1]
        canvas.text("LAST", 180, 215)
        _draw_object(canvas, 248, pick.thing, PEDESTAL)
        colour = GOOD if pick.correct else BAD
        canvas.panel(233, 206, 263, 236, colour, 4, border=3)
        canvas.fill(TICK if pick.correct else SALTIRE, 285, 221, 11, colour)


def _draw_object(canvas: Canvas, x: float, thing: Object | None, holder: int) -> None:
    canvas.panel(x - 15, 206, x + 15, 236, GROUNDS[holder], 4)
    if thing is not None:
        canvas.glyph(thing[0], x, 221, 11, OBJECT_COLOURS[thing[1]])


def _caption(scene: Scene) -> tuple[str, Colour]:
    if scene.just_chosen:
        return ("CORRECT", GOOD) if scene.picks[-1].correct else ("WRONG", BAD)
    if scene.time == scene.horizon:
        return "OUT OF TIME", INK
    if scene.cell == scene.grid.pad:
        return "LOOK AT THE SAMPLE", INK
    if scene.cell[1] <= scene.grid.pad[1]:
        return "GO TO THE PAD", INK
    if scene.cell != scene.grid.plate:
        return "REMEMBER", INK
    return f"PICK THE {'SAME' if scene.rule == 'match' else 'OTHER'}", INK
