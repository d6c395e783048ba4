"""Pictures of token streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
)

WIDTH, HEIGHT = 320, 256
PLAIN_STAGE: Colour = (226, 229, 236)
ASKED_STAGE: Colour = (250, 230, 202)
MARKED_STAGE: Colour = (196, 222, 242)
QUIET: Colour = (150, 156, 168)
DRAWN_TOKENS = len(GLYPHS) * len(OBJECT_COLOURS)
SHOWN = 12
FIRST_CELL, CELL = 60.0, 21.0
SEEN_Y, SAID_Y, DUE_Y = 157, 182, 205


class Moment(NamedTuple):
    """One step as the time line shows it; tokens and keys count from 1, and 0 is none.

    :param key: The key seen.
    :param token: The token seen.
    :param asked: Whether an answer is asked for.
    :param marked: Whether the token is one to remember.
    :param said: The answer given.
    :param due: The correct answer, once one has been given.
    """

    key: int
    token: int
    asked: bool
    marked: bool
    said: int
    due: int


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param caption: What to do now.
    :param moments: The last steps, at most :data:`SHOWN`; the last of them is the present one, unless all is over.
    :param over: Whether the episode has ended.
    :param n_tokens: Number of tokens to answer with.
    :param correct: Correct answers so far.
    :param wrong: Wrong answers so far.
    :param asked: Answers asked for in the whole episode.
    :param time: Steps taken.
    :param length: Steps of the episode.
    """

    caption: str
    moments: tuple[Moment, ...]
    over: bool
    n_tokens: int
    correct: int
    wrong: int
    asked: int
    time: int
    length: int

    @property
    def last_answer(self) -> Moment | None:
        """The step before this scene, if an answer was given at it."""
        past = self.moments if self.over else self.moments[:-1]
        return past[-1] if past and past[-1].said else None


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(scene.caption, WIDTH / 2, 12, anchor=0.5)
    _draw_stage(canvas, scene)
    _draw_outcome(canvas, scene)
    _draw_time_line(canvas, scene)
    canvas.panel(16, 234, 304, 242, FAINT, 4)
    if scene.time:
        canvas.panel(16, 234, max(24.0, 16 + 288 * scene.time / scene.length), 242, ACCENT, 4)
    canvas.text(f"STEP {scene.time}/{scene.length}", 16, 222, INK, 1)
    canvas.text(f"{scene.correct} RIGHT  {scene.wrong} WRONG  OF {scene.asked}", 304, 222, INK, 1, anchor=1)
    return canvas.image()


def _draw_stage(canvas: Canvas, scene: Scene) -> None:
    """What the agent sees now, large: the token, the key, or both."""
    now = None if scene.over else scene.moments[-1]
    colour = PLAIN_STAGE
    if now is not None and (now.asked or now.marked):
        colour = ASKED_STAGE if now.asked else MARKED_STAGE
    canvas.panel(16, 34, 304, 134, colour, 14)
    if now is None:
        canvas.text(f"{scene.correct}/{scene.asked}", WIDTH / 2, 66, INK, 5, anchor=0.5)
        return
    cards = [("key", now.key)] if now.key else []
    if now.token:
        cards.append(("token", now.token))
    for place, (kind, number) in enumerate(cards):
        x = WIDTH / 2 + 88 * (place - (len(cards) - 1) / 2)
        canvas.panel(x - 38, 47, x + 42, 124, INK, 12, opacity=0.12)
        canvas.panel(x - 40, 44, x + 40, 124, WHITE, 12)
        if kind == "key":
            name = _key_name(number)
            scale = max(1, min(5, 12 // len(name)))
            canvas.text(name, x, 84 - 3.5 * scale, INK, scale, anchor=0.5)
        else:
            _draw_token(canvas, number, x, 84, 28)
    if now.asked and not cards:
        canvas.text("?", WIDTH / 2, 62, INK, 6, anchor=0.5)


def _key_name(key: int) -> str:
    return chr(ord("A") + key - 1) if key <= 26 else str(key)


def _draw_token(canvas: Canvas, token: int, x: float, y: float, size: float) -> None:
    """Tokens differ in glyph first and then in colour; beyond all pairs of both they are numbers."""
    if token <= DRAWN_TOKENS:
        glyph, turn = (token - 1) % len(GLYPHS), (token - 1) // len(GLYPHS)
        canvas.glyph(glyph, x, y, size, OBJECT_COLOURS[(glyph + turn) % len(OBJECT_COLOURS)])
    else:
        scale = max(1, round(size / 12))
        canvas.text(str(token), x, y - 3.5 * scale, INK, scale, anchor=0.5)


def _draw_outcome(canvas: Canvas, scene: Scene) -> None:
    """Frame the stage, right after an answer, in the colour of its outcome."""
    answer = scene.last_answer
    if answer is None:
        return
    correct = answer.said == answer.due
    colour = GOOD if correct else BAD
    canvas.panel(16, 34, 304, 134, colour, 14, border=4)
    canvas.fill(disc(1.0), 284, 54, 11, colour)
    canvas.fill(TICK if correct else SALTIRE, 284, 54, 7, WHITE)


def _draw_time_line(canvas: Canvas, scene: Scene) -> None:
    for words, y in (("SEEN", SEEN_Y), ("SAID", SAID_Y), ("RIGHT", DUE_Y)):
        canvas.text(words, 16, y - 3, QUIET, 1)
    present = None if scene.over else len(scene.moments) - 1
    for place, moment in enumerate(scene.moments):
        x = FIRST_CELL + CELL * place
        if place == present:
            canvas.panel(x - 10, SEEN_Y - 11, x + 10, SEEN_Y + 11, INK, 5, border=1.5)
        if moment.marked or moment.asked:
            colour = MARKED_STAGE if moment.marked else ASKED_STAGE
            canvas.panel(x - 9, SEEN_Y - 10, x + 9, SEEN_Y + 10, colour, 4)
        _draw_seen(canvas, moment, x)
        if moment.said:
            canvas.panel(x - 9, SAID_Y - 10, x + 9, SAID_Y + 10, GOOD if moment.said == moment.due else BAD, 4)
            canvas.panel(x - 7, SAID_Y - 8, x + 7, SAID_Y + 8, WHITE, 3)
            _draw_token(canvas, moment.said, x, SAID_Y, 6)
            _draw_token(canvas, moment.due, x, DUE_Y, 6)


def _draw_seen(canvas: Canvas, moment: Moment, x: float) -> None:
    if moment.key and moment.token:
        canvas.text(_key_name(moment.key), x, SEEN_Y - 9, INK, 1, anchor=0.5)
        _draw_token(canvas, moment.token, x, SEEN_Y + 4, 5)
    elif moment.key:
        canvas.text(_key_name(moment.key), x, SEEN_Y - 3, INK, 1, anchor=0.5)
    elif moment.token:
        _draw_token(canvas, moment.token, x, SEEN_Y, 6)
    elif moment.asked:
        canvas.text("?", x, SEEN_Y - 3, INK, 1, anchor=0.5)
    else:
        canvas.fill(disc(1.0), x, SEEN_Y, 1.5, QUIET)
