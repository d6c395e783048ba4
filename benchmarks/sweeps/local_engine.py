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

from memory_agents.benchmarks.sweeps.worker import Outcome, Task, lost, run_one

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
        try:
            if self.channel.poll():
                outcome: Outcome = self.channel.recv()
                self.task = None
                return outcome
        except (EOFError, OSError):
            # Nobody else has the other end, so it is dying, and may yet look alive for a moment.
            self.end()
        if self.process.is_alive():
            return None
        self.task = None
        code = self.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return lost(task, f"The process of this run ended by {how}; was there enough memory for it?\n")

    def end(self) -> None:
        """Wait for its end, and bring it about if need be."""
        self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


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
        idle = next((each for each in self._workers if each.task is None and each.process.is_alive()), None)
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
        # One that dies only now has a task yet, whose end will be told the next time.
        gone = [worker for worker in self._workers if worker.task is None and not worker.process.is_alive()]
        for worker in gone:
            worker.channel.close()
        self._workers = [worker for worker in self._workers if worker not in gone]
        return outcomes

    def close(self) -> None:
        """Stop all that is running."""
        for worker in self._workers:
            # One without a task ends at once by itself; a run in progress is to be started anew in any case.
            worker.process.terminate()
        for worker in self._workers:
            worker.end()
            worker.channel.close()
        self._workers = []
