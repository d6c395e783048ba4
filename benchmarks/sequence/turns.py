"""Runs of one folder that several processes share among them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from memory_agents.benchmarks.run_lock import RunBusyError, hold
from memory_agents.benchmarks.sequence.checkpoint import CHECKPOINT_FILE, remove_checkpoint
from memory_agents.benchmarks.sequence.runs import SCORE_FILE, RunConfig, is_finished

#: Seconds until runs that other processes are at are asked for again.
RETRY_SECONDS = 2.0

R = TypeVar("R")


def in_turn(runs: Iterable[R], do: Callable[[R], object], say: Callable[[str], None]) -> None:
    """
    Do runs, one after the other. Those that other processes are at come after one's own, most of which will have been
    finished by then, and are asked for again until nobody is at them.

    :param runs: the runs
    :param do: does one; raises :class:`~memory_agents.benchmarks.run_lock.RunBusyError` where another process is at it
    :param say: called with a line for each that another process is at
    """
    pending = deque(enumerate(runs))
    told = set[int]()
    busy = 0
    while pending:
        number, run = pending.popleft()
        try:
            do(run)
            busy = 0
        except RunBusyError as error:
            if number not in told:
                say(f"{error}; its result will be taken from there")
            told.add(number)
            pending.append((number, run))
            busy += 1
            if busy == len(pending):
                time.sleep(RETRY_SECONDS)
                busy = 0


def is_settled(folder: Path, config: RunConfig, score_file: str = SCORE_FILE) -> bool:
    """
    :param folder: a run's folder, which may be missing
    :param config: the run's arguments
    :param score_file: name of the file that is written last
    :return: whether it has been done, and nothing is left to be cleared away
    :raises UsageError: when the folder has a run with other arguments
    """
    return is_finished(folder, config, score_file) and not (folder / CHECKPOINT_FILE).is_file()


@contextmanager
def claim(folder: Path, config: RunConfig, score_file: str = SCORE_FILE) -> Iterator[bool]:
    """
    Keep all other processes out of a run's folder.

    :param folder: the run's folder, made where it is missing
    :param config: the run's arguments
    :param score_file: name of the file that is written last
    :return: whether there is anything to do: whoever held it until now may have finished it
    :raises RunBusyError: when another process holds it
    :raises UsageError: when the folder has a run with other arguments, or cannot be made
    """
    with hold(folder):
        finished = is_finished(folder, config, score_file)
        if finished:
            # One that was killed after its last word has left it.
            remove_checkpoint(folder)
        yield not finished
