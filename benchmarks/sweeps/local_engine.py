"""Runs in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from memory_agents.benchmarks.sweeps.worker import FAILED, Outcome, Task, run_one

#: Libraries of linear algebra read these when they are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
STOP_SECONDS = 5.0


def serve(channel: Connection) -> None:
    """
    What a worker does: one task after another, until there is no parent any more.

    :param channel: where tasks come from and outcomes go to
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A parent that was killed stops nobody: without this, its workers would go on beside those of the next sweep.
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            task: Task | None = channel.recv()
        except EOFError:
            return
        if task is None:
            return
        channel.send(run_one(task))


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


class _Worker:
    """A process that runs one task at a time. It is not forked: what the parent has loaded might not survive that."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=False)
        with _environment_of_workers():
            self.process.start()
        theirs.close()
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        # If it has died, that will be seen when its outcome is asked for.
        with suppress(OSError):
            self.channel.send(task)

    def outcome(self) -> Outcome | None:
        """What became of its task; None while it is at it."""
        task = self.task
        assert task is not None
        # It may have died in the middle of an answer.
        with suppress(EOFError, OSError):
            if self.channel.poll():
                outcome: Outcome = self.channel.recv()
                self.task = None
                return outcome
        if self.process.is_alive():
            return None
        self.process.join()
        code = self.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Outcome(
            task.folder, FAILED, f"The process of this run ended by {how}; was there enough memory for it?\n"
        )


@contextmanager
def _environment_of_workers() -> Iterator[None]:
    """
    One thread for what PyTorch does not count. Ctrl-C is for the parent, who stops them: it would be a traceback each
    otherwise, and whether a signal is ignored is inherited.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class LocalEngine:
    """
    :param jobs: processes side by side; they are started when they are needed, and replaced when they die
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._workers: list[_Worker] = []

    def submit(self, task: Task) -> None:
        """
        :param task: a task; fewer than :attr:`jobs` are running
        """
        idle = next((worker for worker in self._workers if worker.task is None), None)
        if idle is None:
            idle = _Worker()
            self._workers.append(idle)
        idle.give(task)

    def wait(self, seconds: float) -> list[Outcome]:
        """
        :param seconds: how long to wait for the first
        :return: what became of tasks that have ended since the last call
        """
        busy = [worker for worker in self._workers if worker.task is not None]
        connection.wait([*(each.channel for each in busy), *(each.process.sentinel for each in busy)], seconds)
        outcomes = [outcome for worker in busy if (outcome := worker.outcome()) is not None]
        for worker in self._workers:
            if not worker.process.is_alive():
                worker.channel.close()
        self._workers = [worker for worker in self._workers if worker.process.is_alive()]
        return outcomes

    def close(self) -> None:
        """Stop all that is running."""
        for worker in self._workers:
            # One without a task ends at once by itself; a run in progress is to be started anew in any case.
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(STOP_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.channel.close()
        self._workers = []
