"""How far runs have come, from what they write."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.progress import MEAN_RETURN, STEPS, read_progress


@dataclass(frozen=True)
class Progress:
    """
    :param steps: environment steps done
    :param mean_return: mean return of the last 100 episodes (None: none has ended)
    """

    steps: int = 0
    mean_return: float | None = None


def progress_of(folder: Path) -> Progress:
    """
    :param folder: a run's folder, which another process may just be writing
    :return: what its newest whole line says
    """
    try:
        rows = read_progress(folder)
    except UsageError:
        return Progress()
    for row in reversed(rows):
        try:
            return Progress(int(row[STEPS]), float(row[MEAN_RETURN]) if row.get(MEAN_RETURN) else None)
        # Its last line may be half-written.
        except (KeyError, TypeError, ValueError):
            continue
    return Progress()


class Pace:
    """
    How fast a run goes, and when it will be done.

    :param total: environment steps that it shall make
    """

    def __init__(self, total: int) -> None:
        self.total, self.start = total, time.monotonic()

    def rate(self, progress: Progress) -> float | None:
        """
        :param progress: how far the run has come
        :return: steps per second since it was started; None before the first
        """
        seconds = time.monotonic() - self.start
        return progress.steps / seconds if progress.steps and seconds > 0 else None

    def left(self, progress: Progress) -> float | None:
        """
        :param progress: how far the run has come
        :return: seconds until it has made all steps; None as long as that cannot be told
        """
        rate = self.rate(progress)
        return None if rate is None else max(0, self.total - progress.steps) / rate


def duration(seconds: float | None) -> str:
    """
    :param seconds: a length of time, or None
    :return: it as one reads it; a dash for None
    """
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
