"""What shares runs out to processes."""

from __future__ import annotations

from typing import Protocol

from memory_agents.benchmarks.sweeps.worker import Outcome, Task


class Engine(Protocol):
    """Runs tasks side by side. However they are run, their results are the same."""

    @property
    def jobs(self) -> int:
        """How many tasks it takes at a time."""

    def submit(self, task: Task) -> None:
        """
        :param task: a task; fewer than :attr:`jobs` are running
        """

    def wait(self, seconds: float) -> list[Outcome]:
        """
        :param seconds: how long to wait for the first
        :return: what became of tasks that have ended since the last call
        """

    def close(self) -> None:
        """Stop all that is running, and free everything."""
