"""The regressions of the bistable cells' paper (Vecoven et al. 2020, arXiv 2006.05252): what is read, what is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch as th

from memory_agents.benchmarks.arguments import UsageError

#: Values to be told in denoising, as in the paper.
FLAGGED = 5
#: Second input of denoising at numbers to forget, at numbers to tell, and at the end, where they are to be told.
NOISE, FLAG, PROMPT = -1.0, 0.0, 1.0


class Sequences(NamedTuple):
    """
    Sequences of a task.

    :param inputs: what is read, step by step, (n, steps, input_width)
    :param targets: what is to be told after the last step, (n, output_width)
    """

    inputs: th.Tensor
    targets: th.Tensor

    def to(self, device: th.device) -> Sequences:
        """
        :param device: where they shall be
        :return: the same there
        """
        return Sequences(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class RegressionTask(ABC):
    """
    Read a sequence, then tell numbers. All to be told are standard normal, and independent of everything else that is
    read, so that the best guess of who remembers nothing is zero, with an expected squared error of
    :attr:`guessing_mse`.

    :param length: numbers in a sequence
    :raises UsageError: when a number is out of bounds
    """

    input_width: ClassVar[int]
    output_width: ClassVar[int]
    guessing_mse: ClassVar[float] = 1.0

    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise UsageError(f"--length {self.length} is too small; use 1 or more")

    @property
    def sizes(self) -> dict[str, int]:
        """What the paper calls the task's arguments, with their values."""
        return {"T": self.length}

    @abstractmethod
    def draw(self, n: int, generator: th.Generator) -> Sequences:
        """
        :param n: how many sequences
        :param generator: source of randomness
        :return: fresh sequences
        """


@dataclass(frozen=True)
class CopyFirst(RegressionTask):
    """
    Copy-first-input (section 4.1): read T standard normal numbers, then tell the first.

    :param length: numbers in a sequence, T
    :raises UsageError: when it is not positive
    """

    input_width = 1
    output_width = 1

    def draw(self, n: int, generator: th.Generator) -> Sequences:
        numbers = th.randn(n, self.length, generator=generator)
        return Sequences(numbers[..., None], numbers[:, :1])


@dataclass(frozen=True)
class Denoising(RegressionTask):
    """
    Denoising (section 4.2): read T standard normal numbers, five of which are flagged, and then tell these five in
    order. None of the last N is flagged.

    The format is that of the authors' code for the paper's first version (nvecoven/BRC, ``benchmark2.py`` of commit
    5563e1e). Beside each number stands -1, or 0 where it is flagged; the five places are drawn from the first T - N
    without replacement. One more step, (0, 1), says that the sequence is over; all five values are to be told there,
    at once. (The authors' later code asks for them one by one, in five steps.)

    :param length: numbers in a sequence, T
    :param blanks: numbers at its end that are never flagged, N
    :raises UsageError: when a number is out of bounds, or too few are left to flag
    """

    input_width = 2
    output_width = FLAGGED

    blanks: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blanks < 0:
            raise UsageError(f"--blanks {self.blanks} is too small; use 0 or more")
        if self.length - self.blanks < FLAGGED:
            raise UsageError(
                f"--length {self.length} with --blanks {self.blanks} is too short to flag {FLAGGED} numbers; use "
                f"--length {self.blanks + FLAGGED} or more"
            )

    @property
    def sizes(self) -> dict[str, int]:
        return {**super().sizes, "N": self.blanks}

    def draw(self, n: int, generator: th.Generator) -> Sequences:
        numbers = th.randn(n, self.length, generator=generator)
        # The places of the largest of as many random numbers are places drawn without replacement.
        keys = th.rand(n, self.length - self.blanks, generator=generator)
        places = keys.topk(FLAGGED).indices.sort().values
        flags = th.full_like(numbers, NOISE).scatter(1, places, FLAG)
        prompt = th.tensor([0.0, PROMPT]).expand(n, 1, 2)
        return Sequences(th.cat([th.stack([numbers, flags], dim=2), prompt], dim=1), numbers.gather(1, places))


#: Tasks by name; the fields of each are its options.
TASKS: dict[str, type[RegressionTask]] = {"copy-first": CopyFirst, "denoising": Denoising}
