"""What a run's ``progress.csv`` tells: the returns while training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from math import inf, isnan
from pathlib import Path

from memory_agents.benchmarks.arguments import UsageError

PROGRESS_FILE = "progress.csv"
STEPS, MEAN_RETURN = "time/total_timesteps", "rollout/ep_rew_mean"


def read_progress(folder: Path) -> list[dict[str, str]]:
    """
    :param folder: a run's folder
    :return: what was logged, one entry per rollout; what was not known yet is an empty string
    :raises UsageError: when nothing was logged
    """
    try:
        with (folder / PROGRESS_FILE).open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UsageError(f"{folder / PROGRESS_FILE} cannot be read ({error.strerror}); leave this run out") from error


def read_curve(folder: Path) -> tuple[list[int], list[float]]:
    """
    :param folder: a run's folder
    :return: environment steps, and the mean return of the last 100 episodes up to then while training; both are empty
        when no episode ended
    :raises UsageError: when nothing was logged
    """
    return read_learning(folder, 0)


def learning_rows(rows: Sequence[dict[str, str]], pretrain_timesteps: int) -> list[dict[str, str]]:
    """
    :param rows: what was logged
    :param pretrain_timesteps: steps that came first, in an easier environment, up to the end of the rollout in which
        their number is reached
    :return: what was logged of the other environment from its first ended episode on; before that there is no mean to
        write
    """
    begin: float = 0
    if pretrain_timesteps:
        steps = (int(row[STEPS]) for row in rows if row.get(STEPS))
        begin = next((step for step in steps if step >= pretrain_timesteps), inf)
    return [row for row in rows if row.get(STEPS) and row.get(MEAN_RETURN) and int(row[STEPS]) > begin]


def read_learning(folder: Path, pretrain_timesteps: int) -> tuple[list[int], list[float]]:
    """
    :param folder: a run's folder
    :param pretrain_timesteps: steps that came first, in an easier environment
    :return: what :func:`read_curve` says of what came after them
    :raises UsageError: when nothing was logged
    """
    rows = learning_rows(read_progress(folder), pretrain_timesteps)
    return [int(row[STEPS]) for row in rows], [float(row[MEAN_RETURN]) for row in rows]


def steps_to(level: float, folder: Path, pretrain_timesteps: int = 0) -> int | None:
    """
    How soon a return was reached, with the sampled actions of training. The mean is over the last 100 episodes (as many
    as there were, before), and it is looked at once per rollout, which is the precision of the answer.

    :param level: a return
    :param folder: a run's folder
    :param pretrain_timesteps: steps that came first, in an easier environment, whose returns do not count
    :return: environment steps, over all environments side by side, up to the end of the first rollout in which the mean
        return was this level or more; None when it never was
    :raises UsageError: when nothing was logged
    """
    curve = read_learning(folder, pretrain_timesteps)
    return next((steps for steps, mean in zip(*curve, strict=True) if mean >= level), None)


def has_collapsed(learned: float, forgotten: float, folder: Path, pretrain_timesteps: int = 0) -> bool:
    """
    :param learned: a return that tells that something has been learned
    :param forgotten: a lower return, which tells that it has been forgotten
    :param folder: a run's folder
    :param pretrain_timesteps: steps that came first, in an easier environment, whose returns do not count
    :return: whether the mean return while training once was more than ``learned``, and less than ``forgotten`` at the
        end, or at the end was no number
    :raises UsageError: when nothing was logged
    """
    returns = read_learning(folder, pretrain_timesteps)[1]
    return bool(returns) and (isnan(returns[-1]) or (max(returns) > learned and returns[-1] < forgotten))
