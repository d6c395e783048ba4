"""Where runs go on that were killed."""

from __future__ import annotations

import io
import pickle
import time
from pathlib import Path
from typing import Any

import torch as th

from memory_agents.benchmarks.arguments import UsageError
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
    :param origin: what the run has itself gone on from; a checkpoint of one that has gone on from something else is
        not loaded
    """

    def __init__(self, folder: Path | None, device: th.device, clock: Clock | None = None, origin: str = "") -> None:
        self._path = None if folder is None else folder / CHECKPOINT_FILE
        self._device = device
        self._origin = origin
        #: the time that the run has taken
        self.clock = clock or Clock()

    def save(self, **parts: Any) -> None:
        """
        :param parts: tensors, numbers, texts, and lists, tuples and dictionaries of them
        """
        if self._path is None:
            return
        buffer = io.BytesIO()
        own = {"random": random_state(self._device), "seconds": self.clock.spent()}
        th.save({**parts, **own, "device": self._device.type, "origin": self._origin}, buffer)
        write_whole(self._path, buffer.getvalue())

    def load(self) -> dict[str, Any] | None:
        """
        Draw from where the run drew, and count its time on.

        :return: what was saved last, on the CPU; None where nothing was
        :raises UsageError: when it is not whole, or another kind of device has drawn
        """
        if self._path is None or not self._path.is_file():
            return None
        parts = read_parts(self._path, "delete it to begin the run anew")
        # Those of earlier versions tell neither.
        if parts.pop("origin", self._origin) != self._origin:
            return None
        if (kind := parts.pop("device", self._device.type)) != self._device.type:
            raise UsageError(
                f"--device is {self._device.type} here, but {self._path} was made with {kind}, which draws other "
                f"random numbers; go on with {kind}, or delete the file to begin the run anew"
            )
        set_random_state(parts.pop("random"), self._device)
        self.clock = Clock(**parts.pop("seconds"))
        return parts


def remove_checkpoint(folder: Path) -> None:
    """
    :param folder: of a run that is finished, or cannot go on
    """
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def read_parts(path: Path, mend: str) -> dict[str, Any]:
    """
    :param path: a file of tensors by name
    :param mend: what to do where it cannot be read
    :return: them, on the CPU
    :raises UsageError: when it is missing, or has been copied by halves
    """
    try:
        parts: dict[str, Any] = th.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); {mend}") from error
    except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise UsageError(f"{path} cannot be read (it is not whole); {mend}") from error
    return parts
