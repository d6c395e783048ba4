"""Pictures of the card game Concentration."""

from __future__ import annotations

from dataclasses import dataclass

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
    WHITE,
    Canvas,
    Colour,
)

WIDTH, HEIGHT = 320, 256
TABLE: Colour = (224, 238, 224)
BACK: Colour = (86, 98, 130)
BACK_MARK: Colour = (132, 144, 176)
LEFT, TOP, RIGHT, BOTTOM = 16, 40, 304, 220


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param shown: The value of every card, 0 while it lies face down.
    :param turn: The cards of the turn being played: none, one, or two that do not match.
    :param found: Pairs found.
    :param pairs: Pairs to find.
    :param flips_left: Flips left.
    :param over: Whether the episode has ended.
    """

    shown: tuple[int, ...]
    turn: tuple[int, ...]
    found: int
    pairs: int
    flips_left: int
    over: bool


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(f"PAIRS {scene.found}/{scene.pairs}", 16, 14)
    words, colour = _caption(scene)
    canvas.text(words, 304, 14, colour, anchor=1.0)
    canvas.panel(LEFT, TOP, RIGHT, BOTTOM, TABLE, 14)
    columns, rows, pitch = _layout(len(scene.shown))
    for card in range(len(scene.shown)):
        row, column = divmod(card, columns)
        x = (LEFT + RIGHT) / 2 + pitch * (column - (columns - 1) / 2)
        y = (TOP + BOTTOM) / 2 + pitch * (row - (rows - 1) / 2)
        _draw_card(canvas, scene, card, x, y, 0.44 * pitch)
    flips = 4 * scene.pairs
    canvas.panel(16, 236, 304, 244, FAINT, 4)
    if scene.flips_left < flips:
        canvas.panel(16, 236, max(24.0, 304 - 288 * scene.flips_left / flips), 244, ACCENT, 4)
    return canvas.image()


def _layout(n_cards: int) -> tuple[int, int, float]:
    """Return the columns, rows and distance of cards that lets them be largest."""

    def pitch(columns: int) -> float:
        return min((RIGHT - LEFT - 12) / columns, (BOTTOM - TOP - 12) / -(-n_cards // columns))

    columns = max(range(1, n_cards + 1), key=pitch)
    return columns, -(-n_cards // columns), pitch(columns)


def _draw_card(canvas: Canvas, scene: Scene, card: int, x: float, y: float, reach: float) -> None:
    box = x - reach, y - reach, x + reach, y + reach
    corner = 0.2 * reach
    value = scene.shown[card]
    if not value:
        canvas.panel(*box, BACK, corner)
        canvas.glyph(8, x, y, 0.5 * reach, BACK_MARK)
        return
    colour, glyph = divmod(value - 1, len(GLYPHS))
    in_turn = card in scene.turn
    canvas.panel(*box, WHITE, corner)
    canvas.glyph(glyph, x, y, 0.66 * reach, OBJECT_COLOURS[colour])
    if in_turn:
        canvas.panel(*box, BAD if len(scene.turn) == 2 else ACCENT, corner, border=max(2.0, 0.12 * reach))
    else:
        canvas.panel(*box, TABLE, corner, opacity=0.6)
        canvas.panel(*box, GOOD, corner, border=max(1.5, 0.08 * reach))


def _caption(scene: Scene) -> tuple[str, Colour]:
    if scene.over:
        return ("ALL FOUND", GOOD) if scene.found == scene.pairs else ("OUT OF FLIPS", BAD)
    if len(scene.turn) == 2:
        return "NO MATCH", BAD
    return ("FLIP A SECOND" if scene.turn else "FLIP A CARD"), INK
