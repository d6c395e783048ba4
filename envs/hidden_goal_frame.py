"""Pictures of the grid with a hidden goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.drawing import (
    ACCENT,
    FAINT,
    GLYPHS,
    GOOD,
    INK,
    WHITE,
    Canvas,
    Colour,
    disc,
    outline,
)

WIDTH, HEIGHT = 320, 256
FLOOR: Colour = (226, 229, 236)
LINE: Colour = (208, 212, 221)
LEFT, TOP, SIDE = 16.0, 16.0, 200.0
STAR = GLYPHS[3]
SHOWN_TRAIL = 12


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param size: Cells along each side.
    :param goal: The goal's cell.
    :param trail: The agent's cells since the start or the last hit, the present one last.
    :param hits: How often the goal was reached.
    :param just_hit: Whether the last step reached it.
    :param time: Steps taken.
    :param horizon: Steps of the episode.
    """

    size: int
    goal: int
    trail: tuple[int, ...]
    hits: int
    just_hit: bool
    time: int
    horizon: int


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    pitch = SIDE / scene.size
    canvas.panel(LEFT, TOP, LEFT + SIDE, TOP + SIDE, FLOOR)
    for line in (*range(1, scene.size), 0, scene.size):
        along, reach, colour = line * pitch, 0.5, LINE
        if line in (0, scene.size):
            reach, colour = 2.5, GOOD if scene.just_hit else INK
        canvas.panel(LEFT + along - reach, TOP - 2.5, LEFT + along + reach, TOP + SIDE + 2.5, colour)
        canvas.panel(LEFT - 2.5, TOP + along - reach, LEFT + SIDE + 2.5, TOP + along + reach, colour)
    _draw_goal(canvas, scene, pitch)
    _draw_agent(canvas, scene, pitch)
    _draw_words(canvas, scene)
    canvas.panel(16, 232, 304, 240, FAINT, 4)
    if scene.time:
        canvas.panel(16, 232, 24 + 280 * scene.time / scene.horizon, 240, ACCENT, 4)
    return canvas.image()


def _centre(cell: int, size: int, pitch: float) -> tuple[float, float]:
    row, column = divmod(cell, size)
    return LEFT + (column + 0.5) * pitch, TOP + (row + 0.5) * pitch


def _draw_goal(canvas: Canvas, scene: Scene, pitch: float) -> None:
    x, y = _centre(scene.goal, scene.size, pitch)
    if scene.just_hit:
        canvas.panel(x - pitch / 2, y - pitch / 2, x + pitch / 2, y + pitch / 2, GOOD, 2)
        canvas.fill(STAR, x, y, 0.38 * pitch, WHITE)
    else:
        canvas.fill(outline(STAR, 2.6 / max(4.0, 0.38 * pitch)), x, y, 0.38 * pitch, GOOD)


def _draw_agent(canvas: Canvas, scene: Scene, pitch: float) -> None:
    shown = scene.trail[-SHOWN_TRAIL:]
    for age, cell in enumerate(reversed(shown[:-1]), start=1):
        canvas.fill(disc(1.0), *_centre(cell, scene.size, pitch), 0.14 * pitch, ACCENT, 1.0 - age / SHOWN_TRAIL)
    x, y = _centre(scene.trail[-1], scene.size, pitch)
    canvas.fill(disc(1.0), x, y, 0.36 * pitch, WHITE)
    canvas.fill(disc(1.0), x, y, 0.3 * pitch, ACCENT)


def _draw_words(canvas: Canvas, scene: Scene) -> None:
    middle = (LEFT + SIDE + 4 + WIDTH) / 2
    canvas.text("REACHED", middle, 24, anchor=0.5)
    canvas.text(str(scene.hits), middle, 46, GOOD if scene.hits else INK, 4, anchor=0.5)
    canvas.text("STEP", middle, 96, anchor=0.5)
    canvas.text(f"{scene.time}/", middle, 116, anchor=0.5)
    canvas.text(str(scene.horizon), middle, 136, anchor=0.5)
    canvas.fill(outline(STAR, 0.25), middle, 174, 11, GOOD)
    canvas.text("HIDDEN", middle, 190, INK, 1, anchor=0.5)
    canvas.text("FROM THE AGENT", middle, 202, INK, 1, anchor=0.5)
