"""A sweep: many runs, shared out, watched, taken up again where an earlier one stopped."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memory_agents.benchmarks.arguments import BrokenCodeError, UsageError
from memory_agents.benchmarks.runs import read_runs
from memory_agents.benchmarks.sweeps.display import Display
from memory_agents.benchmarks.sweeps.engine import Engine
from memory_agents.benchmarks.sweeps.plan import PlannedRun, distinct
from memory_agents.benchmarks.sweeps.worker import BUSY, FAILED, Outcome, Task, is_finished
from memory_agents.benchmarks.tables import number
from memory_agents.benchmarks.training import rehearse

#: Seconds to wait for news of runs, and until a run that another process was at is asked for again.
WAIT_SECONDS, RETRY_SECONDS = 0.5, 2.0


@dataclass
class SweepResult:
    """
    :param failed: tracebacks of the runs that failed
    :param stopped: whether it was told to stop before all runs had ended
    """

    failed: dict[PlannedRun, str] = field(default_factory=dict)
    stopped: bool = False


def unfinished(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """
    :param runs: runs
    :return: those whose folder does not hold them whole
    :raises UsageError: when a folder holds a run of other arguments
    """
    return [run for run in runs if not is_finished(run.folder, run.config)]


def rehearse_all(runs: Sequence[PlannedRun]) -> None:
    """
    Make every environment and agent once, so that what cannot be used is found before anything is trained.

    :param runs: runs
    :raises UsageError: when one refuses its arguments
    """
    for run in distinct(runs):
        try:
            rehearse(run.config)
        except (Exception, SystemExit) as error:
            if isinstance(error, UsageError) and not isinstance(error, BrokenCodeError):
                raise UsageError(f"{run.environment} with {run.agent}: {error}") from error
            # A bug of an agent or an environment is a failure of its runs, which have the traceback, and does not stop
            # the others.


def sweep(runs: Sequence[PlannedRun], engine: Engine, display: Display, checkpoint_freq: int | None) -> SweepResult:
    """
    :param runs: the runs to do
    :param engine: what shares them out
    :param display: what shows them
    :param checkpoint_freq: environment steps between checkpoints; None: there are none
    :return: what became of them; where it was told to stop, by Ctrl-C or SIGTERM, those in progress were stopped, too
    """
    result = SweepResult()
    pending = deque(runs)
    going: dict[Path, PlannedRun] = {}
    later: deque[tuple[float, PlannedRun]] = deque()
    try:
        while pending or going or later:
            # Others' runs come after one's own: most of them will have been finished by then.
            while later and not pending and later[0][0] <= time.monotonic():
                pending.append(later.popleft()[1])
            while pending and len(going) < engine.jobs:
                run = pending.popleft()
                going[run.folder] = run
                engine.submit(Task(run.config, run.folder, checkpoint_freq, (os.getcwd(),)))
                display.begin(run)
            if going:
                outcomes = engine.wait(WAIT_SECONDS)
            else:
                time.sleep(WAIT_SECONDS)
                outcomes = []
            for outcome in outcomes:
                run = going.pop(outcome.folder)
                display.end(run, outcome, score_of(run, outcome))
                if outcome.status == BUSY:
                    later.append((time.monotonic() + RETRY_SECONDS, run))
                elif outcome.status == FAILED:
                    result.failed[run] = outcome.message
            display.look()
    except KeyboardInterrupt:
        result.stopped = True
    return result


def score_of(run: PlannedRun, outcome: Outcome) -> str:
    """
    :param run: a run that has ended
    :param outcome: what became of it
    :return: the return of its evaluation, and the normalised one where there is one; empty where it was not finished
    """
    if outcome.status in (BUSY, FAILED):
        return ""
    (finished,) = read_runs([run.folder])
    figures = finished.evaluation
    score = figures.get("normalized_return")
    told = "" if score is None else f", score {number(score, 2)}"
    return f"return {number(figures.get('mean_return'), 2)}{told}"
