"""Pictures of object matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.drawing import (
    ACCENT,
    ARROW_LEFT,
    ARROW_RIGHT,
    BAD,
    FAINT,
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
from memory_agents.envs.frame_parts import draw_trials

WIDTH, HEIGHT = 320, 256
CUE, PAD, DELAY, CHOICE = range(4)
STAGES: tuple[Colour, ...] = ((214, 231, 245), (224, 238, 224), (62, 68, 82), (250, 230, 202))
SLOT_CENTRES, SLOT_REACH = (86, 234), 54
# Each phase has a fixed share of the time line, so that a long delay leaves the others visible.
TIME_LINE = (("CUE", 16.0, 78.0), ("PAD", 82.0, 130.0), ("DELAY", 134.0, 230.0), ("CHOICE", 234.0, 304.0))


class Choice(NamedTuple):
    """A choice already made: the action, and whether it was correct."""

    action: int
    correct: bool


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param phase: Index of the phase.
    :param step: Steps already spent in it.
    :param steps: Steps it lasts.
    :param slots: The features of the left and the right slot: shape, then colour, as one-hot or as noise.
    :param n_shapes: How many of the features are shapes.
    :param rule: ``"nonmatch"`` or ``"match"``.
    :param trials: Trials of the episode.
    :param choices: The choices made so far.
    :param over: Whether the episode has ended.
    """

    phase: int
    step: int
    steps: int
    slots: tuple[NDArray[Any], ...]
    n_shapes: int
    rule: str
    trials: int
    choices: tuple[Choice, ...]
    over: bool

    @property
    def finished(self) -> bool:
        """Whether the last choice has been made, so that it is what the slots show."""
        return len(self.choices) == self.trials

    @property
    def just_chosen(self) -> bool:
        """Whether the step before this scene was a choice."""
        return self.finished or (bool(self.choices) and self.phase == CUE and self.step == 0)


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    draw_trials(canvas, [one.correct for one in scene.choices], scene.trials)
    canvas.panel(16, 40, 304, 208, STAGES[scene.phase], 14)
    if scene.phase == PAD:
        _draw_pad(canvas)
    else:
        for x, features in zip(SLOT_CENTRES, scene.slots, strict=True):
            _draw_slot(canvas, scene, x, features)
    _draw_caption(canvas, scene)
    _draw_outcome(canvas, scene)
    _draw_time_line(canvas, scene)
    return canvas.image()


def _draw_slot(canvas: Canvas, scene: Scene, x: float, features: NDArray[Any]) -> None:
    left, top, right, bottom = x - SLOT_REACH, 50, x + SLOT_REACH, 50 + 2 * SLOT_REACH
    y = top + SLOT_REACH
    if scene.phase == DELAY:
        canvas.panel(left, top, right, bottom, WHITE, 12, opacity=0.1)
    else:
        canvas.panel(left + 2, top + 3, right + 2, bottom + 3, INK, 12, opacity=0.12)
        canvas.panel(left, top, right, bottom, WHITE, 12)
    shape, colour = features[: scene.n_shapes], features[scene.n_shapes :]
    if shape.max() == 1.0 == shape.sum():
        canvas.glyph(int(shape.argmax()), x, y, 38, OBJECT_COLOURS[int(colour.argmax())])
    elif features.any():
        tiles = 4
        edge = 2 * (SLOT_REACH - 10) / tiles
        for tile, value in enumerate(np.resize(features, tiles * tiles)):
            row, column = divmod(tile, tiles)
            corner_x, corner_y = left + 10 + column * edge, top + 10 + row * edge
            grey = round(90 + 150 * float(value))
            canvas.panel(corner_x + 1, corner_y + 1, corner_x + edge - 1, corner_y + edge - 1, (grey, grey, grey), 3)
    if scene.finished:
        chosen, correct = scene.choices[-1]
        if chosen == 1 + SLOT_CENTRES.index(int(x)):
            canvas.panel(left, top, right, bottom, GOOD if correct else BAD, 12, border=5)


def _draw_pad(canvas: Canvas) -> None:
    for radius, colour in ((46, WHITE), (38, ACCENT), (28, WHITE), (20, ACCENT)):
        canvas.fill(disc(1.0), WIDTH / 2, 104, radius, colour)


def _draw_caption(canvas: Canvas, scene: Scene) -> None:
    if scene.over:
        words = "EPISODE OVER" if scene.finished else "OUT OF TIME"
    else:
        words = (
            "REMEMBER THIS",
            "STEP ON THE PAD",
            f"WAIT {scene.step + 1}/{scene.steps}",
            f"PICK THE {'SAME' if scene.rule == 'match' else 'OTHER'}",
        )[scene.phase]
    canvas.text(words, WIDTH / 2, 178, WHITE if scene.phase == DELAY else INK, anchor=0.5)


def _draw_outcome(canvas: Canvas, scene: Scene) -> None:
    """Frame the stage, right after a choice, in the colour of its outcome, and show what was chosen."""
    if not scene.just_chosen:
        return
    action, correct = scene.choices[-1]
    colour = GOOD if correct else BAD
    canvas.panel(16, 40, 304, 208, colour, 14, border=5)
    canvas.fill(disc(1.0), WIDTH / 2, 100, 15, colour)
    canvas.fill(TICK if correct else SALTIRE, WIDTH / 2, 100, 9, WHITE)
    if action in (1, 2):
        canvas.fill((ARROW_LEFT, ARROW_RIGHT)[action - 1], WIDTH / 2, 132, 11, colour)


def _draw_time_line(canvas: Canvas, scene: Scene) -> None:
    for phase, (name, left, right) in enumerate(TIME_LINE):
        done = 1.0 if phase < scene.phase else (scene.step + 1) / scene.steps if phase == scene.phase else 0.0
        canvas.panel(left, 222, right, 230, FAINT, 4)
        if done:
            canvas.panel(left, 222, max(left + 8, left + done * (right - left)), 230, ACCENT, 4)
        canvas.text(name, (left + right) / 2, 238, INK if phase == scene.phase else (150, 156, 168), 1, anchor=0.5)
