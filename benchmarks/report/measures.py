"""What the files of a run tell beside its score: curves, times, sizes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.evaluation import Anchors
from memory_agents.benchmarks.progress import MEAN_RETURN, STEPS, learning_rows, read_curve, read_progress
from memory_agents.benchmarks.runs import Run

ELAPSED, STATE_BYTES = "time/time_elapsed", "memory/state_bytes_per_transition"


class Reached(NamedTuple):
    """
    :param steps: environment steps up to the end of the first rollout in which a return was reached
    :param seconds: seconds on the clock up to then; None where they were not logged
    """

    steps: int
    seconds: float | None


def curve(run: Run) -> tuple[list[int], list[float]] | None:
    """
    :param run: a run
    :return: what :func:`read_curve` says; None where no episode ended while training or nothing was logged
    """
    try:
        steps, returns = read_curve(run.folder)
    except UsageError:
        return None
    return (steps, returns) if steps else None


def reached(run: Run, level: float) -> Reached | None:
    """
    :param run: a run
    :param level: a return
    :return: when the mean return of the last 100 training episodes first was this or more, those of an easier
        environment that came first left out; None when it never was
    """
    rows = _rows(run)
    learned = learning_rows(rows, run.trained.config.pretrain_timesteps)
    row = next((row for row in learned if float(row[MEAN_RETURN]) >= level), None)
    return None if row is None else Reached(int(row[STEPS]), _seconds(rows[: rows.index(row) + 1]))


def _seconds(rows: list[dict[str, str]]) -> float | None:
    """Of all that was logged up to the last of these rows; None where one of them does not tell."""
    if not all(row.get(ELAPSED) for row in rows):
        return None
    times = [0.0, *(float(row[ELAPSED]) for row in rows)]
    # The clock starts anew when training goes on in another environment.
    return sum(now - before if now >= before else now for before, now in pairwise(times))


def threshold_return(anchors: Anchors | None, threshold: float) -> float | None:
    """
    :param anchors: the environment's known returns
    :param threshold: a normalised return
    :return: the return that it stands for; None where nothing is known of the environment
    """
    return None if anchors is None else anchors.denormalize(threshold)


def steps_per_second(run: Run) -> float | None:
    """
    :param run: a run
    :return: environment steps of training per second on the clock
    """
    steps, seconds = run.evaluation.get("train_steps"), run.evaluation.get("train_seconds")
    return steps / seconds if steps and seconds else None


def state_bytes(run: Run) -> float | None:
    """
    :param run: a run
    :return: bytes of memory state that the rollout buffer keeps for each transition; None of an agent without a memory
    """
    values = [float(row[STATE_BYTES]) for row in _rows(run) if row.get(STATE_BYTES)]
    return values[-1] if values else None


def _rows(run: Run) -> list[dict[str, str]]:
    try:
        return read_progress(run.folder)
    except UsageError:
        return []
