"""Pictures of the tasks in three phases: the cells of their worlds, and frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.drawing import (
    ACCENT,
    BAD,
    FAINT,
    GOOD,
    INK,
    PAPER,
    SALTIRE,
    TICK,
    WHITE,
    Canvas,
    Colour,
    Plane,
    Shape,
    box,
    disc,
    polygon,
    ring,
)
from memory_agents.envs.grid_view import REACH, draw_tile

WIDTH, HEIGHT = 320, 256
# Okabe and Ito's, which colour-blind eyes tell apart.
COLOURS: tuple[Colour, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (86, 180, 233),
)
FLOOR_COLOUR: Colour = (226, 229, 236)
APPLE_COLOUR: Colour = (176, 18, 40)
PHASES = ("LOOK", "APPLES", "CHOOSE")
MAP_LEFT, MAP_TOP, CELL = 16, 40, 26
SIDE_LEFT, SIDE_RIGHT = 214, 304

Layers = tuple[tuple[Shape, Colour], ...]


def _key(x: Plane, y: Plane) -> Plane:
    bow = ring(0.36, 0.26)(x + 0.42, y)
    shaft = box(0.5, 0.14)(x - 0.42, y)
    teeth = np.minimum(box(0.12, 0.22)(x - 0.42, y - 0.24), box(0.12, 0.22)(x - 0.8, y - 0.24))
    return np.minimum(np.minimum(bow, shaft), teeth)


_LEAF = polygon([(0.0, -0.42), (0.16, -0.9), (0.6, -0.86)])


def layers(kind: str, colour: int = 0) -> Layers:
    """Return the shapes, bottom first, that make up what stands in a cell.

    :param kind: ``"floor"``, ``"wall"``, ``"apple"``, ``"square"``, ``"key"`` or ``"door"``.
    :param colour: Which of the :data:`COLOURS`; floor, walls and apples have their own.
    """
    paint = COLOURS[colour]
    looks: dict[str, Layers] = {
        "floor": (),
        "wall": ((box(1.0, 1.0), INK),),
        "apple": ((disc(0.6), APPLE_COLOUR), (_LEAF, GOOD)),
        "square": ((box(0.8, 0.8), paint),),
        "key": ((_key, paint),),
        "door": ((box(1.0, 1.0), paint), (disc(0.3), INK), (box(0.12, 0.5), INK)),
    }
    return looks[kind]


def cell_tile(kind: str, colour: int = 0) -> NDArray[np.uint8]:
    """Return the tile of a cell, for observations in pictures.

    :param kind: See :func:`layers`.
    :param colour: See :func:`layers`.
    """
    return draw_tile(FLOOR_COLOUR, *layers(kind, colour))


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param cells: Rows of cells, each a kind and a colour.
    :param row: The agent's row.
    :param column: The agent's column.
    :param phase: Index of the phase.
    :param step: Steps taken in this phase.
    :param steps: Steps of each phase.
    :param asked: Kind and colour of the thing shown in the first phase.
    :param key: Whether the key is carried, None where there is no key.
    :param apples: Apples eaten.
    :param right: Row and column of the right choice, None before the end.
    :param touched: Whether the agent stands on a choice, at the end.
    :param success: Whether the final reward was given.
    """

    cells: tuple[tuple[tuple[str, int], ...], ...]
    row: int
    column: int
    phase: int
    step: int
    steps: tuple[int, int, int]
    asked: tuple[str, int]
    key: bool | None
    apples: int
    right: tuple[int, int] | None
    touched: bool
    success: bool


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    words, colour = _caption(scene)
    canvas.text(words, WIDTH / 2, 14, colour, anchor=0.5)
    _draw_map(canvas, scene)
    _draw_agent(canvas, scene)
    _draw_phases(canvas, scene)
    _draw_asked(canvas, scene)
    _draw_time(canvas, scene)
    return canvas.image()


def _centre(row: float, column: float) -> tuple[float, float]:
    return MAP_LEFT + CELL * (column + 0.5), MAP_TOP + CELL * (row + 0.5)


def _draw_map(canvas: Canvas, scene: Scene) -> None:
    size = CELL * len(scene.cells)
    canvas.panel(MAP_LEFT, MAP_TOP, MAP_LEFT + size, MAP_TOP + size, FLOOR_COLOUR)
    for row, cells in enumerate(scene.cells):
        for column, (kind, colour) in enumerate(cells):
            x, y = _centre(row, column)
            for shape, paint in layers(kind, colour):
                canvas.fill(shape, x, y, CELL / 2 if kind == "wall" else CELL / 2 - 2, paint)
    if scene.right is not None:
        _frame_cell(canvas, *scene.right, GOOD)
    for row, cells in enumerate(scene.cells):
        for column in range(len(cells)):
            if max(abs(row - scene.row), abs(column - scene.column)) > REACH:
                x, y = _centre(row, column)
                canvas.panel(x - CELL / 2, y - CELL / 2, x + CELL / 2, y + CELL / 2, PAPER, opacity=0.66)
    reach = CELL * (REACH + 0.5)
    x, y = _centre(scene.row, scene.column)
    left, top = max(x - reach, MAP_LEFT), max(y - reach, MAP_TOP)
    right, bottom = min(x + reach, MAP_LEFT + size), min(y + reach, MAP_TOP + size)
    canvas.panel(left, top, right, bottom, ACCENT, border=2)


def _frame_cell(canvas: Canvas, row: int, column: int, colour: Colour) -> None:
    x, y = _centre(row, column)
    canvas.panel(x - CELL / 2, y - CELL / 2, x + CELL / 2, y + CELL / 2, colour, 3, border=4)


def _draw_agent(canvas: Canvas, scene: Scene) -> None:
    x, y = _centre(scene.row, scene.column)
    over = scene.right is not None
    colour = ACCENT if not over else GOOD if scene.success else BAD
    canvas.fill(disc(1.0), x, y, 10, WHITE)
    canvas.fill(disc(1.0), x, y, 8.5, colour)
    if over:
        canvas.fill(TICK if scene.success else SALTIRE, x, y, 5.5, WHITE)


def _draw_phases(canvas: Canvas, scene: Scene) -> None:
    for phase, name in enumerate(PHASES):
        top = MAP_TOP + 32 * phase
        now = phase == scene.phase
        canvas.panel(SIDE_LEFT, top, SIDE_RIGHT, top + 26, ACCENT if now else FAINT, 6)
        canvas.text(name, (SIDE_LEFT + SIDE_RIGHT) / 2, top + 6, WHITE if now else INK, anchor=0.5)
    step = f"STEP {scene.step}/{scene.steps[scene.phase]}"
    canvas.text(step, (SIDE_LEFT + SIDE_RIGHT) / 2, MAP_TOP + 100, scale=1, anchor=0.5)


def _draw_asked(canvas: Canvas, scene: Scene) -> None:
    """For the spectator only: the agent has to remember this."""
    top = MAP_TOP + 116
    middle = (SIDE_LEFT + SIDE_RIGHT) / 2
    canvas.panel(SIDE_LEFT, top, SIDE_RIGHT, top + 66, FAINT, 6, border=2)
    kind, colour = scene.asked
    words = "SHOWN" if scene.key is None else "KEY TAKEN" if scene.key else "KEY NOT TAKEN"
    canvas.text(words, middle, top + 7, scale=1, anchor=0.5)
    opacity = 0.25 if scene.key is False else 1.0
    for shape, paint in layers(kind, colour):
        canvas.fill(shape, SIDE_LEFT + 26, top + 38, 16, paint, opacity)
    for shape, paint in layers("apple"):
        canvas.fill(shape, SIDE_LEFT + 60, top + 38, 11, paint)
    canvas.text(str(scene.apples), SIDE_LEFT + 71, top + 35, scale=1)


def _draw_time(canvas: Canvas, scene: Scene) -> None:
    left, total = 16.0, sum(scene.steps)
    for phase, steps in enumerate(scene.steps):
        width = (288 - 8) * steps / total
        canvas.panel(left, 232, left + width, 240, FAINT, 4)
        done = steps if phase < scene.phase else scene.step if phase == scene.phase else 0
        if done:
            canvas.panel(left, 232, left + width * done / steps, 240, ACCENT, 4)
        left += width + 4


def _caption(scene: Scene) -> tuple[str, Colour]:
    if scene.right is not None:
        if scene.success:
            return "RIGHT: FINAL REWARD", GOOD
        if not scene.touched:
            return "TOO LATE", BAD
        return ("NO KEY" if scene.key is False else "WRONG COLOUR"), BAD
    kind, _ = scene.asked
    first = "REMEMBER THE COLOUR" if scene.key in (None, True) else "TAKE THE KEY"
    return (first, "APPLES DISTRACT", f"WHICH {'SQUARE' if kind == 'square' else 'DOOR'}?")[scene.phase], INK
