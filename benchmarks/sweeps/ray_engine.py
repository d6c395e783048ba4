"""Runs on a Ray cluster, or on a Ray of this machine alone."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.sweeps.local_engine import THREAD_VARIABLES
from memory_agents.benchmarks.sweeps.worker import Outcome, Task, lost, run_one

#: Where Ray itself looks for the cluster.
ADDRESS = "RAY_ADDRESS"


class RayEngine:
    """
    With ``RAY_ADDRESS`` in the environment, runs go to the cluster there, whose machines must see the folder of the
    runs under the same path; otherwise a Ray is started here, and ended with the sweep.

    :param jobs: runs side by side; None: as many as there are CPUs
    :raises UsageError: when Ray is not installed, or the cluster cannot be reached
    """

    def __init__(self, jobs: int | None) -> None:
        if find_spec("ray") is None:
            raise UsageError("--engine ray: Ray is not installed; run: pip install 'memory_agents[ray]'")
        import ray

        self._ray = ray
        variables = dict.fromkeys(THREAD_VARIABLES, "1")
        here: dict[str, Any] = {}
        if not os.environ.get(ADDRESS):
            here = {"num_cpus": jobs, "include_dashboard": False}
            # Workers of this machine look for modules where this process does, as those of the local engine.
            variables["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": variables}, **here)
        except Exception as error:
            where = os.environ.get(ADDRESS, "this machine")
            raise UsageError(f"--engine ray: no Ray at {where} ({error}); check {ADDRESS}") from error
        resources = ray.cluster_resources()
        self.jobs: int = jobs or int(resources.get("CPU", 1))
        self._gpu_share = min(1.0, resources.get("GPU", 0.0) / self.jobs)
        self._tasks: dict[Any, Task] = {}

    def submit(self, task: Task) -> None:
        """
        :param task: a task; fewer than :attr:`jobs` are running
        """
        # Ray hides the GPUs of a task that asks for none.
        share = 0.0 if task.config.device == "cpu" else self._gpu_share
        options = dict(num_cpus=1, num_gpus=share, max_retries=0)
        self._tasks[self._ray.remote(run_one).options(**options).remote(task)] = task

    def wait(self, seconds: float) -> list[Outcome]:
        """
        :param seconds: how long to wait for the first
        :return: what became of tasks that have ended since the last call
        """
        if not self._tasks:
            return []
        ended, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [self._outcome(reference, self._tasks.pop(reference)) for reference in ended]

    def _outcome(self, reference: Any, task: Task) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        # What the run itself raised is in its outcome; this is the loss of a worker or of a machine.
        except Exception as error:
            return lost(task, f"{type(error).__name__}: {error}\n")
        return outcome

    def close(self) -> None:
        """Stop all that is running, and what was started here of Ray."""
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        self._tasks = {}
        self._ray.shutdown()
