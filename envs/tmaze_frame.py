"""Pictures of the T-maze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.drawing import (
    ACCENT,
    ARROW_DOWN,
    ARROW_UP,
    BAD,
    FAINT,
    GOOD,
    INK,
    SALTIRE,
    TICK,
    WHITE,
    Canvas,
    Colour,
    disc,
)

WIDTH, HEIGHT = 320, 256
FLOOR: Colour = (226, 229, 236)
SIGN: Colour = (0, 114, 178)
START_X, JUNCTION_X, ARM_X = 52, 250, 292
MIDDLE, TOP, BOTTOM = 128, 62, 194
MAX_NUMBERED_ARMS = 8


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param n_arms: Number of arms.
    :param cell: Where the agent is, in cells east of the sign.
    :param junction: Where the junction is, in the same cells.
    :param sign: The arm that the sign names, None while it is not seen.
    :param arm: The arm that the agent is in, None while in the corridor.
    :param goal: The arm that was right, None before the episode is over.
    :param time: Steps taken.
    :param horizon: Steps of the episode.
    """

    n_arms: int
    cell: int
    junction: int
    sign: int | None
    arm: int | None
    goal: int | None
    time: int
    horizon: int


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    _draw_maze(canvas, scene)
    _draw_sign(canvas, scene)
    _draw_agent(canvas, scene)
    words, colour = _caption(scene)
    canvas.text(words, WIDTH / 2, 14, colour, anchor=0.5)
    canvas.panel(16, 232, 304, 240, FAINT, 4)
    if scene.time:
        canvas.panel(16, 232, max(24.0, 16 + 288 * scene.time / scene.horizon), 240, ACCENT, 4)
    return canvas.image()


def _arm_y(arm: int, n_arms: int) -> float:
    """Arm 0 lies at the bottom, the last one at the top."""
    return BOTTOM - (BOTTOM - TOP) * arm / (n_arms - 1)


def _draw_maze(canvas: Canvas, scene: Scene) -> None:
    canvas.panel(START_X - 26, MIDDLE - 26, START_X + 26, MIDDLE + 26, FLOOR, 10)
    canvas.panel(START_X, MIDDLE - 13, JUNCTION_X, MIDDLE + 13, FLOOR)
    canvas.panel(JUNCTION_X - 13, TOP - 13, JUNCTION_X + 13, BOTTOM + 13, FLOOR, 6)
    reach = min(13.0, 0.42 * (BOTTOM - TOP) / (scene.n_arms - 1))
    for arm in range(scene.n_arms):
        y = _arm_y(arm, scene.n_arms)
        canvas.panel(JUNCTION_X, y - reach, ARM_X + 13, y + reach, FLOOR, min(6.0, reach))
        if scene.goal is not None and arm in (scene.goal, scene.arm):
            colour = GOOD if arm == scene.goal else BAD
            canvas.panel(JUNCTION_X + 15, y - reach, ARM_X + 13, y + reach, colour, min(6.0, reach))
        if scene.n_arms <= MAX_NUMBERED_ARMS and arm != scene.arm:
            canvas.text(str(arm), ARM_X, y - 6, INK, anchor=0.5)
    cells = scene.junction
    if cells <= 24:
        for cell in range(1, cells):
            x = START_X + (JUNCTION_X - START_X) * cell / cells
            if START_X + 30 < x < JUNCTION_X - 8:
                canvas.fill(disc(1.0), x, MIDDLE, 1.6, (176, 182, 194))


def _draw_sign(canvas: Canvas, scene: Scene) -> None:
    canvas.panel(START_X - 2, MIDDLE - 44, START_X + 2, MIDDLE - 20, INK, 1)
    colour = FAINT if scene.sign is None else SIGN
    canvas.panel(START_X - 32, MIDDLE - 88, START_X + 32, MIDDLE - 40, colour, 8)
    if scene.sign is None:
        canvas.text("-", START_X, MIDDLE - 74, WHITE, 3, anchor=0.5)
    elif scene.n_arms == 2:
        canvas.fill(ARROW_UP if scene.sign else ARROW_DOWN, START_X, MIDDLE - 64, 16, WHITE)
    else:
        canvas.text(str(scene.sign), START_X, MIDDLE - 74, WHITE, 3, anchor=0.5)


def _draw_agent(canvas: Canvas, scene: Scene) -> None:
    x, y = START_X + (JUNCTION_X - START_X) * scene.cell / scene.junction, float(MIDDLE)
    size = 10.0
    if scene.arm is not None:
        x, y = ARM_X, _arm_y(scene.arm, scene.n_arms)
        size = min(size, max(3.0, 0.4 * (BOTTOM - TOP) / (scene.n_arms - 1)))
    canvas.fill(disc(1.0), x, y, size + 2, WHITE)
    canvas.fill(disc(1.0), x, y, size, ACCENT)
    if scene.goal is not None:
        canvas.fill(disc(1.0), x, y, size, GOOD if scene.arm == scene.goal else BAD)
        canvas.fill(TICK if scene.arm == scene.goal else SALTIRE, x, y, 0.6 * size, WHITE)


def _caption(scene: Scene) -> tuple[str, Colour]:
    if scene.goal is not None:
        return ("CORRECT ARM", GOOD) if scene.arm == scene.goal else ("WRONG", BAD)
    if scene.sign is not None:
        return "REMEMBER THE SIGN", SIGN
    if scene.arm is not None:
        return "IN AN ARM", INK
    if scene.cell == scene.junction:
        return "WHICH ARM?", INK
    return (f"CORRIDOR {scene.cell}/{scene.junction}" if scene.cell else "START: BLANK SIGN"), INK
