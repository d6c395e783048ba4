"""Pictures of delayed match to sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.drawing import (
    ACCENT,
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
SAMPLE, DELAY, PROBE = range(3)
STAGES: tuple[Colour, ...] = ((214, 231, 245), (62, 68, 82), (250, 230, 202))
CAPTION_Y, CARDS_Y = 54, 122
# Half the width of a card by the number of cards.
REACHES = (50, 50, 40, 30)
BUTTONS = ((1, 92.0, "YES"), (2, 228.0, "NO"))


class Answer(NamedTuple):
    """An answer already given: the action, and whether it was correct."""

    action: int
    correct: bool


@dataclass(frozen=True)
class Scene:
    """All that a frame shows.

    :param phase: Index of the phase.
    :param items: The kind of the item in each place, None where there is none.
    :param step: Steps of the trial already spent.
    :param steps: Steps of the trial.
    :param rule: ``"match"`` or ``"nonmatch"``.
    :param trials: Trials of the episode.
    :param answers: The answers given so far.
    """

    phase: int
    items: tuple[int | None, ...]
    step: int
    steps: int
    rule: str
    trials: int
    answers: tuple[Answer, ...]

    @property
    def over(self) -> bool:
        """Whether the last probe has been answered, so that it is what the places show."""
        return len(self.answers) == self.trials

    @property
    def just_answered(self) -> bool:
        """Whether the step before this scene was an answer."""
        return self.over or (bool(self.answers) and self.phase == SAMPLE)


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Return the picture of a scene, ``(HEIGHT, WIDTH, 3)``.

    :param scene: What to show.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    draw_trials(canvas, [one.correct for one in scene.answers], scene.trials)
    canvas.panel(16, 40, 304, 216, STAGES[scene.phase], 14)
    _draw_cards(canvas, scene)
    _draw_words(canvas, scene)
    _draw_outcome(canvas, scene)
    _draw_time(canvas, scene)
    return canvas.image()


def _draw_cards(canvas: Canvas, scene: Scene) -> None:
    reach = REACHES[len(scene.items) - 1]
    pitch = 2 * reach + 10
    for place, item in enumerate(scene.items):
        x = WIDTH / 2 + pitch * (place - (len(scene.items) - 1) / 2)
        left, top, right, bottom = x - reach, CARDS_Y - reach, x + reach, CARDS_Y + reach
        if item is None:
            canvas.panel(left, top, right, bottom, WHITE, 12, opacity=0.1)
        else:
            canvas.panel(left + 2, top + 3, right + 2, bottom + 3, INK, 12, opacity=0.12)
            canvas.panel(left, top, right, bottom, WHITE, 12)
            canvas.glyph(item, x, CARDS_Y, 0.7 * reach, OBJECT_COLOURS[0])


def _draw_words(canvas: Canvas, scene: Scene) -> None:
    words = ("REMEMBER", f"WAIT {scene.step}/{scene.steps - 2}", f"{'SAME' if scene.rule == 'match' else 'CHANGED'}?")
    canvas.text(words[scene.phase], WIDTH / 2, CAPTION_Y - 4, WHITE if scene.phase == DELAY else INK, anchor=0.5)


def _draw_outcome(canvas: Canvas, scene: Scene) -> None:
    """At the probe draw the two answers; right after one was given, say which and whether it was correct."""
    answer = scene.answers[-1] if scene.just_answered else None
    if answer:
        colour = GOOD if answer.correct else BAD
        canvas.panel(16, 40, 304, 216, colour, 14, border=5)
    if scene.phase == PROBE:
        for action, x, words in BUTTONS:
            pressed = answer is not None and answer.action == action
            canvas.panel(x - 44, 180, x + 44, 206, colour if pressed else WHITE, 8)
            canvas.text(words, x, 186, WHITE if pressed else INK, anchor=0.5)
    elif answer:
        said = {action: words for action, _, words in BUTTONS}.get(answer.action, "NOTHING")
        canvas.text(f"LAST: {said}", WIDTH / 2 - 14, 186, colour, anchor=0.5)
    if answer:
        x = WIDTH / 2 if scene.phase == PROBE else WIDTH / 2 + 72
        canvas.fill(disc(1.0), x, 193, 12, colour)
        canvas.fill(TICK if answer.correct else SALTIRE, x, 193, 7, WHITE)


def _draw_time(canvas: Canvas, scene: Scene) -> None:
    done = 1.0 if scene.over else scene.step / scene.steps
    canvas.panel(16, 232, 304, 240, FAINT, 4)
    if done:
        canvas.panel(16, 232, max(24.0, 16 + 288 * done), 240, ACCENT, 4)
