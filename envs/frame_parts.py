"""Parts that frames of several environments share."""

from __future__ import annotations

from collections.abc import Sequence

from memory_agents.envs.drawing import ACCENT, BAD, FAINT, GOOD, SALTIRE, TICK, WHITE, Canvas, disc, ring


def draw_trials(canvas: Canvas, correct: Sequence[bool], trials: int) -> None:
    """Draw the trial's number and one mark per trial along the upper edge: tick or cross when it is over, a dot while
    it is played, a circle when it is to come.

    :param canvas: Where to draw.
    :param correct: Of each trial that is over, whether it was answered correctly.
    :param trials: Trials of the episode.
    """
    current = len(correct)
    shown = f"TRIAL {min(current + 1, trials)}/{trials}"
    canvas.text(shown, 16, 14)
    left = 40 + 12 * len(shown)
    pitch = min(24.0, (296 - left) / trials)
    size = min(9.0, 0.42 * pitch)
    for trial in range(trials):
        x = 304 - size - (trials - 1 - trial) * pitch
        if trial < current:
            canvas.fill(disc(1.0), x, 21, size, GOOD if correct[trial] else BAD)
            canvas.fill(TICK if correct[trial] else SALTIRE, x, 21, 0.62 * size, WHITE)
        elif trial == current:
            canvas.fill(disc(1.0), x, 21, size, ACCENT)
        else:
            canvas.fill(ring(0.9, 0.2), x, 21, size, FAINT)
