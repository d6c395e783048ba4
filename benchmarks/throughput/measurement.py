"""What was measured of one agent: raw numbers, and what follows from them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any


def written(kwargs: dict[str, Any]) -> str:
    """
    :param kwargs: arguments
    :return: how a table or a picture tells them
    """
    return ", ".join(f"{key}={value}" for key, value in kwargs.items())


@dataclass
class Measurement:
    """
    Lists have one entry a round; entries of the same place in the lists of agents that were measured together were
    measured within seconds of one another.

    :param agent: its name
    :param n_envs: environments side by side
    :param window: steps per environment and rollout, and of a training window
    :param threads: PyTorch's threads
    :param device: PyTorch's device
    :param arguments: all arguments of its run
    :param n_epochs: passes over a rollout
    :param batch_size: transitions of a minibatch
    :param batch_seconds: where the quickest minibatch was looked for, the seconds that learning took with each
    :param parameters: trained numbers
    :param acting_ms: milliseconds of the policy alone at a step of all environments, its memory full
    :param collecting_s: seconds that collecting a rollout took, without what the environments took
    :param environment_s: seconds that the environments took of it
    :param learning_s: seconds that learning from the rollout took
    :param total_s: seconds of both, and of what lies between
    :param busy_shares: CPU seconds of the process for each second that passed meanwhile
    :param updates: gradient steps of a rollout
    :param state_bytes: bytes of memory states held for each transition
    :param whole_state_bytes: bytes of the memory of one environment after a step
    :param flops: floating-point operations of a pass over the rollout, per transition
    :param peak: floating-point operations a second at best, by the type of number
    :param memory: peak memory, see :func:`~memory_agents.benchmarks.throughput.memory_use.peak_memory`
    """

    agent: str
    n_envs: int
    window: int
    threads: int
    device: str
    arguments: dict[str, Any]
    n_epochs: int
    batch_size: int | None = None
    batch_seconds: dict[str, float] = field(default_factory=dict)
    parameters: int = 0
    acting_ms: list[float] = field(default_factory=list)
    collecting_s: list[float] = field(default_factory=list)
    environment_s: list[float] = field(default_factory=list)
    learning_s: list[float] = field(default_factory=list)
    total_s: list[float] = field(default_factory=list)
    busy_shares: list[float] = field(default_factory=list)
    updates: int = 0
    state_bytes: float = 0.0
    whole_state_bytes: float = 0.0
    flops: float | None = None
    peak: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def transitions(self) -> int:
        """Transitions of a rollout."""
        return self.n_envs * self.window

    @property
    def collecting_ms(self) -> float:
        """Milliseconds of a step of all environments, without what these took."""
        return 1e3 * statistics.median(self.collecting_s) / self.window

    @property
    def environment_ms(self) -> float:
        """Milliseconds that the environments took of a step."""
        return 1e3 * statistics.median(self.environment_s) / self.window

    @property
    def update_ms(self) -> float:
        """Milliseconds of a gradient step, with all that learning does besides."""
        return 1e3 * statistics.median(self.learning_s) / max(1, self.updates)

    @property
    def learning_us(self) -> float:
        """Microseconds of learning for each transition of a rollout, all passes together."""
        return 1e6 * statistics.median(self.learning_s) / self.transitions

    @property
    def steps_per_second(self) -> float:
        """Environment steps a second over all environments, collecting and learning."""
        return self.transitions / statistics.median(self.total_s)

    @property
    def flops_per_second(self) -> float | None:
        """Counted operations a second while learning; None where they were not counted."""
        if self.flops is None:
            return None
        return self.flops * self.n_epochs * self.transitions / statistics.median(self.learning_s)

    @property
    def number_format(self) -> str:
        """Type of number of the matrix products of learning: ``float32``, or that of ``autocast``."""
        return self.arguments.get("policy_kwargs", {}).get("autocast") or "float32"

    @property
    def best_rate(self) -> float | None:
        """Operations a second of the quickest product of large matrices of these numbers; None if not measured."""
        return max((peak for name, peak in self.peak.items() if name.startswith(self.number_format)), default=None)

    @property
    def share_of_peak(self) -> float | None:
        """Counted operations a second while learning, as a share of that."""
        rate, best = self.flops_per_second, self.best_rate
        return None if rate is None or best is None else rate / best

    @property
    def busy(self) -> float:
        """CPU seconds for each second that passed: well below 1, and something else had the machine meanwhile."""
        return statistics.median(self.busy_shares)

    def times_faster(self, other: Measurement, what: str) -> float:
        """
        :param other: a measurement of the same rounds
        :param what: ``acting_ms``, ``learning_s`` or ``total_s``
        :return: how many times as long the other one took: the median over the rounds of the ratio within a round
        """
        mine: list[float] = getattr(self, what)
        others: list[float] = getattr(other, what)
        scale = 1.0 if what == "acting_ms" else self.transitions / other.transitions
        return scale * statistics.median(theirs / own for own, theirs in zip(mine, others, strict=True))
