"""Several agents measured in turns, so that whatever else the machine does hits all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch as th

from memory_agents.benchmarks.throughput.acting import Acting
from memory_agents.benchmarks.throughput.flops import learning_flops, matmul_peaks
from memory_agents.benchmarks.throughput.measurement import Measurement
from memory_agents.benchmarks.throughput.memory_use import peak_memory, state_bytes
from memory_agents.benchmarks.throughput.stopwatch import WALL, Stopwatch
from memory_agents.benchmarks.throughput.subject import Subject, make

#: Steps of a block of acting.
ACTING_STEPS = 100
#: How often learning is tried with each size of minibatch, of which the quickest counts.
BATCH_TRIES = 2
#: Arguments of policies that say how learning computes what it computes.
LEARNING_MODE = ("autocast", "compile")

Say = Callable[[str], None]


class Worker:
    """
    An agent under measurement.

    :param subject: the agent and its environments
    :param clock: of which times seconds are
    """

    def __init__(self, subject: Subject, clock: str = WALL) -> None:
        self.subject, config = subject, subject.config
        self.agent, self.venv = make(subject)
        self.acting = Acting(self.agent, self.venv, clock)
        self.watch = Stopwatch(self.agent.device, clock)
        self.watch.attach("collect", self.agent, "collect_rollouts")
        self.watch.attach("learn", self.agent, "train")
        self.watch.attach("environment", self.agent.get_env(), "step_async", "step_wait")
        self.found = Measurement(
            agent=subject.name,
            n_envs=config.n_envs,
            window=subject.window,
            threads=th.get_num_threads(),
            device=str(self.agent.device),
            arguments=asdict(config),
            n_epochs=getattr(self.agent, "n_epochs", 1),
            parameters=sum(p.numel() for p in self.agent.policy.parameters() if p.requires_grad),
        )
        self.policy_updates = 0
        self.agent.policy.optimizer.register_step_post_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.policy_updates += 1

    def rollout(self) -> tuple[dict[str, float], float, float]:
        """
        Collect a rollout and learn from it, as training does.

        :return: seconds of its parts, of all, and CPU seconds for each second that passed
        """
        self.watch.take()
        start, wall, cpu = self.watch.now(), time.perf_counter(), time.process_time()
        self.agent.learn(self.subject.transitions, reset_num_timesteps=False)
        total = self.watch.now() - start
        return self.watch.take(), total, (time.process_time() - cpu) / (time.perf_counter() - wall)

    def prepare(self) -> None:
        """Do everything once, so that nothing is done for the first time later; find the quickest minibatch."""
        self.rollout()
        if len(self.subject.batch_sizes) > 1:
            seconds: dict[int, float] = {}
            for _ in range(BATCH_TRIES):
                for size in self.subject.batch_sizes:
                    self.agent.batch_size = size  # type: ignore[attr-defined]
                    self.watch.take()
                    self.agent.train()
                    taken = self.watch.take()["learn"]
                    seconds[size] = min(taken, seconds.get(size, taken))
            self.found.batch_seconds = {str(size): taken for size, taken in seconds.items()}
            self.agent.batch_size = min(seconds, key=lambda size: seconds[size])  # type: ignore[attr-defined]
        elif self.subject.batch_sizes:
            self.agent.batch_size = self.subject.batch_sizes[0]  # type: ignore[attr-defined]
        self.found.batch_size = getattr(self.agent, "batch_size", None)
        self.policy_updates = 0
        self.rollout()
        self.found.updates = self.policy_updates

    def measure(self) -> None:
        """One round."""
        self.found.acting_ms.append(1e3 * self.acting.advance(ACTING_STEPS))
        parts, total, busy = self.rollout()
        self.found.environment_s.append(parts["environment"])
        self.found.collecting_s.append(parts["collect"] - parts["environment"])
        self.found.learning_s.append(parts["learn"])
        self.found.total_s.append(total)
        self.found.busy_shares.append(busy)

    def finish(self, operations: bool, memory: bool) -> Measurement:
        """
        :param operations: whether to count the operations of learning
        :param memory: whether to measure peak memory, in a process of its own
        :return: what has been measured, with what does not depend on the machine's mood
        """
        self.found.state_bytes, self.found.whole_state_bytes = state_bytes(self.agent)
        self.venv.close()
        if operations:
            self.found.flops = self._flops()
        # Windows does not tell it.
        if memory and sys.platform != "win32":
            size = {} if self.found.batch_size is None else {"batch_size": self.found.batch_size}
            config = replace(self.subject.config, algorithm_kwargs={**self.subject.config.algorithm_kwargs, **size})
            self.found.memory = peak_memory(replace(self.subject, config=config, batch_sizes=()))
        return self.found

    def _flops(self) -> float:
        config = self.subject.config
        # As many of them in other numbers, and a program is none that the counter can look into.
        plain = {name: value for name, value in config.policy_kwargs.items() if name not in LEARNING_MODE}
        if self.agent.device.type == "cpu" and plain == config.policy_kwargs:
            return learning_flops(self.agent)
        agent, venv = make(replace(self.subject, config=replace(config, device="cpu", policy_kwargs=plain)))
        if self.found.batch_size is not None:
            agent.batch_size = self.found.batch_size  # type: ignore[attr-defined]
        agent.learn(self.subject.transitions)
        venv.close()
        return learning_flops(agent)


def measure(
    subjects: Sequence[Subject],
    rounds: int,
    say: Say,
    *,
    operations: bool = True,
    memory: bool = True,
    clock: str = WALL,
) -> list[Measurement]:
    """
    :param subjects: agents on the same device and threads, to be compared with one another
    :param rounds: rounds, in each of which all take their turn, in changing order
    :param say: told what is being done
    :param operations: whether to count the operations of learning, and to measure how many are possible
    :param memory: whether to measure peak memory, in a process for each
    :param clock: of which times seconds are
    :return: a measurement of each
    :raises UsageError: when an argument of an agent cannot be used
    """
    first = subjects[0].config
    if first.threads is not None:
        th.set_num_threads(first.threads)
    workers = []
    for subject in subjects:
        say(f"{subject.name}: preparing")
        workers.append(Worker(subject, clock))
        workers[-1].prepare()
    formats = {worker.found.number_format for worker in workers}
    peaks = [matmul_peaks(first.device, clock=clock, formats=formats)] if operations else []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for worker in workers if number % 2 == 0 else reversed(workers):
            worker.measure()
    if operations:
        peaks.append(matmul_peaks(first.device, clock=clock, formats=formats))
    found = []
    for worker in workers:
        say(f"{worker.subject.name}: costs")
        found.append(worker.finish(operations, memory))
        found[-1].peak = {name: max(peak[name] for peak in peaks) for name in (peaks[0] if peaks else ())}
    return found
