"""What one sees while runs are going on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from memory_agents.benchmarks.sweeps.plan import PlannedRun
from memory_agents.benchmarks.sweeps.progress_of_runs import Pace, Progress, duration, progress_of
from memory_agents.benchmarks.sweeps.worker import BUSY, FAILED, KEPT, Outcome
from memory_agents.benchmarks.tables import number

#: Seconds between two looks at the runs' files, and between two lines about a run where there is no terminal.
LOOK_SECONDS, LINE_SECONDS = 1.0, 60.0


class Display:
    """
    On a terminal a bar for each run that is going on and one for all; elsewhere a line whenever something happened.

    :param console: where to write
    :param runs: the runs that are to be done
    :param finished: how many more there are, done before
    """

    def __init__(self, console: Console, runs: Sequence[PlannedRun], finished: int) -> None:
        self.console = console
        self.ended, self.total = finished, len(runs) + finished
        #: Of this sweep's runs: steps asked for, and steps of those that have ended.
        self._steps_asked = sum(run.config.total_timesteps for run in runs)
        self._steps_ended = 0
        self._start = time.monotonic()
        self._looked = self._start
        self._going: dict[PlannedRun, Pace] = {}
        self._progress: dict[PlannedRun, Progress] = {}
        self._told: dict[PlannedRun, float] = {}
        self._named_busy: set[PlannedRun] = set()
        self._live = console.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[steps]}"),
            TextColumn("return {task.fields[mean_return]}"),
            TextColumn("{task.fields[rate]} steps/s"),
            TextColumn("left {task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._all = TaskID(0)
        self._rows: dict[PlannedRun, TaskID] = {}

    def __enter__(self) -> Display:
        self.say(f"{self.total} runs, {self.ended} of them finished before")
        if self._live:
            self._bars.start()
            self._all = self._bars.add_task("all runs", total=self.total, **self._of_all())
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bars.stop()

    def say(self, text: str) -> None:
        """
        :param text: a line to write
        """
        # Names in brackets are no markup.
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, run: PlannedRun) -> None:
        """
        :param run: a run that starts
        """
        self._going[run] = Pace(run.config.total_timesteps)
        self._progress[run] = Progress()
        self._told[run] = time.monotonic()
        if self._live:
            total = max(1, run.config.total_timesteps)
            self._rows[run] = self._bars.add_task(run.title, total=total, **self._of(run))

    def end(self, run: PlannedRun, outcome: Outcome, score: str) -> None:
        """
        :param run: a run that has ended, or is another process's
        :param outcome: what became of it
        :param score: what its evaluation said
        """
        seconds = time.monotonic() - self._going.pop(run).start
        del self._progress[run], self._told[run]
        if self._live:
            self._bars.remove_task(self._rows.pop(run))
        if outcome.status == BUSY:
            if run not in self._named_busy:
                self.say(f"{run.title}: {outcome.message}; its result will be taken from there")
            self._named_busy.add(run)
            return
        self.ended += 1
        if outcome.status == KEPT:
            self._steps_asked -= run.config.total_timesteps
        else:
            self._steps_ended += run.config.total_timesteps
        how = {
            FAILED: f"FAILED after {duration(seconds)}: {_said(outcome.message)}",
            KEPT: f"{score}, by another process",
        }.get(outcome.status, f"{score}, {duration(seconds)}")
        self.say(f"[{self.ended}/{self.total}] {run.title}: {how}; left {self._of_all()['left']}")

    def look(self) -> None:
        """Show how far the runs have come; it may be called as often as one likes."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        for run in self._going:
            self._progress[run] = progress_of(run.folder)
            fields = self._of(run)
            if self._live:
                self._bars.update(self._rows[run], completed=self._progress[run].steps, **fields)
            elif now - self._told[run] >= LINE_SECONDS:
                self._told[run] = now
                line = "{steps} steps, return {mean_return}, {rate} steps/s, left {left}".format(**fields)
                self.say(f"{run.title}: {line}")
        if self._live:
            self._bars.update(self._all, completed=self.ended, **self._of_all())

    def _of(self, run: PlannedRun) -> dict[str, Any]:
        pace, progress = self._going[run], self._progress[run]
        rate = pace.rate(progress)
        return {
            "steps": f"{progress.steps:,}/{run.config.total_timesteps:,}",
            "mean_return": number(progress.mean_return, 2),
            "rate": "-" if rate is None else f"{rate:,.0f}",
            "left": duration(pace.left(progress)),
        }

    def _of_all(self) -> dict[str, Any]:
        made = self._steps_ended + sum(progress.steps for progress in self._progress.values())
        rate = made / max(1e-9, time.monotonic() - self._start)
        return {
            "steps": f"{self.ended}/{self.total}",
            "mean_return": "-",
            "rate": f"{rate:,.0f}" if made else "-",
            "left": duration(max(0, self._steps_asked - made) / rate if made else None),
        }


def _said(message: str) -> str:
    """Of a traceback the line that tells what was raised, also where more follow; of anything else the last line."""
    lines = message.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    after = [line for line in lines[frames[-1] :] if not line.startswith(" ")] if frames else []
    return next(iter(after), lines[-1] if lines else "")
