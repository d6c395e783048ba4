"""Where the time of acting and of learning goes: PyTorch's operators, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch as th
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from memory_agents.benchmarks.collect import markdown
from memory_agents.benchmarks.throughput.flops import COUNTED_IN_PLACE
from memory_agents.benchmarks.throughput.measuring import Worker
from memory_agents.benchmarks.throughput.stopwatch import Stopwatch
from memory_agents.benchmarks.throughput.subject import Subject

#: Steps of acting that are looked at.
ACTING_STEPS = 200
#: Operators with a smaller share are told together.
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Operator:
    """
    Times are those of the operator itself, without the others that it calls, and of one unit of its phase. On a GPU
    these are its kernels.

    :param name: PyTorch's name for it
    :param calls: how often it was called
    :param ms: milliseconds it took
    :param flops: floating-point operations, counted for products on the CPU, else 0
    """

    name: str
    calls: float
    ms: float
    flops: float


@dataclass(frozen=True)
class Phase:
    """
    A part of training. The profiler makes each call of an operator a little longer, so that the time with it is more
    than without, and operators that do little have too large a share.

    :param name: ``"acting"`` or ``"learning"``
    :param unit: what its times are of
    :param ms: milliseconds on the clock
    :param profiled_ms: the same with the profiler at work
    :param operators: all operators, those that took longest first
    """

    name: str
    unit: str
    ms: float
    profiled_ms: float
    operators: tuple[Operator, ...]

    @property
    def outside_ms(self) -> float:
        """Milliseconds outside of operators, with the profiler at work: Python, NumPy; on a GPU, what it waits for."""
        return max(0.0, self.profiled_ms - sum(each.ms for each in self.operators))


def profile_agent(subject: Subject) -> tuple[Phase, ...]:
    """
    :param subject: an agent and its environments
    :return: acting with a full memory, and learning from a rollout
    :raises UsageError: when an argument of the agent cannot be used
    """
    if subject.config.threads is not None:
        th.set_num_threads(subject.config.threads)
    worker = Worker(subject)
    worker.prepare()
    agent, found = worker.agent, worker.found
    learned = "an update" if found.batch_size is None else f"an update from {found.batch_size} transitions"
    # A program is nothing that the counter can look into, and on a GPU it is kernels that are told.
    counts = agent.device.type == "cpu" and not subject.config.policy_kwargs.get("compile")
    profiler = OperatorProfiler(agent.device, counts=counts)
    phases = (
        profiler.run(
            "acting",
            f"a step of {found.n_envs} environments",
            ACTING_STEPS,
            partial(worker.acting.advance, ACTING_STEPS),
        ),
        profiler.run("learning", learned, max(1, found.updates), agent.train),
    )
    worker.venv.close()
    return phases


class OperatorProfiler:
    """
    :param device: where operators compute, and of which their times are
    :param counts: whether to count floating-point operations
    """

    def __init__(self, device: th.device, *, counts: bool) -> None:
        self.watch, self.counts = Stopwatch(device), counts
        self.on_gpu = device.type == "cuda"
        self.activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.on_gpu else [])]
        with profile(activities=self.activities):
            # What it sets up when it is first used is nobody's time.
            pass

    def run(self, name: str, unit: str, units: int, work: Callable[[], Any]) -> Phase:
        """
        :param name: of a part of training
        :param unit: what its times are to be of
        :param units: how many of them
        :param work: does them, not for the first time
        :return: where its time goes
        """
        start = self.watch.now()
        work()
        alone = self.watch.now() - start
        with profile(activities=self.activities) as profiler:
            start = self.watch.now()
            work()
            profiled = self.watch.now() - start
        flops = _flops(work) if self.counts else {}
        found = (
            Operator(event.key, event.count / units, 1e-3 * taken / units, flops.get(event.key, 0) / units)
            for event, taken in self._events(profiler)
            if taken > 0
        )
        by_time = tuple(sorted(found, key=lambda each: each.ms, reverse=True))
        return Phase(name, unit, 1e3 * alone / units, 1e3 * profiled / units, by_time)

    def _events(self, profiler: Any) -> list[tuple[Any, float]]:
        """What was seen, and the microseconds that each took."""
        events = list(profiler.key_averages())
        if self.on_gpu:
            # An operator has the time of its kernels, too, and they are there when a graph is replayed; so has what
            # PyTorch itself marks, as the optimizer's step.
            kernels = [each for each in events if each.device_type.name == "CUDA" and not each.is_user_annotation]
            return [(each, each.self_device_time_total) for each in kernels]
        return [(each, each.self_cpu_time_total) for each in events]


def _flops(work: Callable[[], Any]) -> dict[str, int]:
    """Operations by the operator's name. The profiler could count them, but takes twice the time for it."""
    with FlopCounterMode(display=False, custom_mapping=COUNTED_IN_PLACE) as counter:
        work()
    return {str(operator).replace(".", "::"): count for operator, count in counter.get_flop_counts()["Global"].items()}


def phase_table(phase: Phase) -> str:
    """
    :param phase: a part of training
    :return: its operators as Markdown, those of small shares together
    """
    rows: list[tuple[str, ...]] = [("operator", "calls", "ms", "share", "GFLOP/s")]
    total = phase.profiled_ms
    large = [each for each in phase.operators if each.ms >= LEAST_SHARE * total]
    small = phase.operators[len(large) :]
    for each in large:
        rate = f"{each.flops / each.ms / 1e6:.1f}" if each.flops else "-"
        rows.append((each.name, f"{each.calls:,.1f}", f"{each.ms:.3f}", f"{each.ms / total:.1%}", rate))
    for name, calls, ms in (
        (f"{len(small)} others", f"{sum(each.calls for each in small):,.1f}", sum(each.ms for each in small)),
        ("outside of operators", "-", phase.outside_ms),
    ):
        rows.append((name, calls, f"{ms:.3f}", f"{ms / total:.1%}", "-"))
    return markdown(rows)


def profile_page(subject: Subject, phases: Sequence[Phase]) -> str:
    """
    :param subject: whose they are
    :param phases: parts of its training
    :return: all tables, as Markdown
    """
    config = subject.config
    parts = [
        f"{subject.name}, {config.env}, {config.n_envs} environments, window {subject.window}, "
        f"{config.threads} thread{'' if config.threads == 1 else 's'}, on {config.device}. Times are of the operator "
        "itself, with the profiler at work, which makes every call longer; outside of operators there are Python and "
        "NumPy. GFLOP/s: of products."
    ]
    for phase in phases:
        times = f"{phase.ms:.3f} ms, {phase.profiled_ms:.3f} ms with the profiler"
        parts += [f"## {phase.name.capitalize()}, {phase.unit}: {times}", phase_table(phase)]
    return "\n\n".join(parts) + "\n"
