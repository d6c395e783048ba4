"""Where runs go on that were killed."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import torch as th

from memory_agents.benchmarks.files import write_whole
from memory_agents.sequence.randomness import random_state, set_random_state

CHECKPOINT_FILE = "checkpoint.pt"


class Clock:
    """
    How long training takes.

    :param cpu: seconds of CPU time that it has taken before
    :param wall: seconds
    """

    def __init__(self, cpu: float = 0.0, wall: float = 0.0) -> None:
        self._start = time.process_time() - cpu, time.perf_counter() - wall

    def spent(self) -> dict[str, float]:
        """
        :return: seconds of both kinds so far
        """
        return {"cpu": time.process_time() - self._start[0], "wall": time.perf_counter() - self._start[1]}


class Checkpoint:
    """
    A file in a run's folder, with all that the run goes on from, to the bit. It is there while the run is not finished.

    :param folder: the run's; None to keep nothing
    :param device: where else than on the CPU numbers are drawn
    :param clock: how long the run has taken so far, which :meth:`load` sets back
    """

    def __init__(self, folder: Path | None, device: th.device, clock: Clock | None = None) -> None:
        self._path = None if folder is None else folder / CHECKPOINT_FILE
        self._device = device
        #: the time that the run has taken
        self.clock = clock or Clock()

    def save(self, **parts: Any) -> None:
        """
        :param parts: tensors, numbers, texts, and lists, tuples and dictionaries of them
        """
        if self._path is None:
            return
        buffer = io.BytesIO()
        th.save({**parts, "random": random_state(self._device), "seconds": self.clock.spent()}, buffer)
        write_whole(self._path, buffer.getvalue())

    def load(self) -> dict[str, Any] | None:
        """
        Draw from where the run drew, and count its time on.

        :return: what was saved last, on the CPU; None where nothing was
        """
        if self._path is None or not self._path.is_file():
            return None
        parts: dict[str, Any] = th.load(self._path, map_location="cpu", weights_only=True)
        set_random_state(parts.pop("random"), self._device)
        self.clock = Clock(**parts.pop("seconds"))
        return parts


def remove_checkpoint(folder: Path) -> None:
    """
    :param folder: of a run that is finished, or cannot go on
    """
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
