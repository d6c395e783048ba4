"""A suite of runs that take a moment, and an engine that runs them here."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from memory_agents.benchmarks.sweeps.plan import PlannedRun, plan
from memory_agents.benchmarks.sweeps.suite_file import parse_suite
from memory_agents.benchmarks.sweeps.worker import Outcome, Task, run_one

SMALL = """
description = "A moment."
environments = [
    { id = "MemoryAgents/TMaze-v0", env_kwargs = { corridor = 2 }, algorithm_kwargs = { n_steps = 32, n_epochs = 1 } },
]
agents = ["lstm", "memoryless"]
seeds = [0, 1]
total_timesteps = 128
n_envs = 2
eval_episodes = 4
"""


def small_runs(out: Path, text: str = SMALL) -> list[PlannedRun]:
    return plan(parse_suite(text, "small", "small.toml"), out)


class HereEngine:
    """
    One task after another in this process.

    :param stop_before: which task is not begun any more, as if by Ctrl-C
    """

    jobs = 1

    def __init__(self, stop_before: int | None = None) -> None:
        self.done: list[Path] = []
        self.stop_before = stop_before
        self.closed = False
        self._tasks: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        assert len(self._tasks) < self.jobs
        self._tasks.append(task)

    def wait(self, seconds: float) -> list[Outcome]:
        if len(self.done) == self.stop_before:
            raise KeyboardInterrupt
        task = self._tasks.popleft()
        self.done.append(task.folder)
        return [run_one(task)]

    def close(self) -> None:
        self.closed = True
