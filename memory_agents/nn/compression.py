"""Compression functions: a block of memories leaving the recent memory becomes a few compressed slots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch as th
from torch import nn

from memory_agents.nn.registry import Registry


class Compression(nn.Module, ABC):
    """
    Maps a block of memories to one slot for every ``rate`` of them (Rae et al. 2019, arXiv 1911.05507, section 3.1).

    A plain module that maps (..., length, d_model) to (..., length / rate, d_model) serves as well, as long as it needs
    nothing of what this class adds.

    :param d_model: width of a memory
    :param rate: memories per slot, the compression rate c
    """

    #: Whether :meth:`forward` must be told how much attention each memory has had.
    needs_usage: ClassVar[bool] = False
    #: Fewest slots of a block; with fewer it would be another compression function.
    least_slots: ClassVar[int] = 1
    #: Whether slot i of the k of a block stands for its memories i, i + k, i + 2 k, ..., in place of neighbours.
    interleaved: ClassVar[bool] = False

    def __init__(self, d_model: int, rate: int) -> None:
        super().__init__()
        self.d_model = d_model
        self.rate = rate

    def groups(self, block: th.Tensor) -> th.Tensor:
        """
        :param block: memories in order of time, (..., length, d_model), the length a multiple of the rate
        :return: the memories that each slot stands for, (..., length / rate, rate, d_model)
        """
        if not self.interleaved:
            return neighbours(block, self.rate)
        *batch, length, d_model = block.shape
        return block.reshape(*batch, self.rate, length // self.rate, d_model).transpose(-3, -2)

    @abstractmethod
    def forward(self, block: th.Tensor, usage: th.Tensor | None = None) -> th.Tensor:
        """
        :param block: memories in order of time, (..., length, d_model), the length a multiple of the rate
        :param usage: average attention that each memory has had, (..., length), where :attr:`needs_usage`
        :return: slots in order of time, (..., length / rate, d_model)
        """


#: Entries are called as ``entry(d_model, rate)``; see :class:`Compression` for what their modules compute.
compression_registry: Registry[Callable[[int, int], nn.Module]] = Registry("compression function")


def neighbours(block: th.Tensor, rate: int) -> th.Tensor:
    """
    :param block: memories in order of time, (..., length, d_model)
    :param rate: a divisor of the length
    :return: every ``rate`` memories in a row as one group, (..., length / rate, rate, d_model)
    """
    *batch, length, d_model = block.shape
    return block.reshape(*batch, length // rate, rate, d_model)


@compression_registry.register("convolution")
class ConvolutionCompression(Compression):
    """
    One-dimensional convolution over time with kernel and stride equal to the rate. Because the kernel never overlaps
    itself it is one matrix product over groups of ``rate`` memories.

    :param d_model: width of a memory
    :param rate: memories per slot, the compression rate c
    """

    def __init__(self, d_model: int, rate: int) -> None:
        super().__init__(d_model, rate)
        self.projection = nn.Linear(rate * d_model, d_model)

    def forward(self, block: th.Tensor, usage: th.Tensor | None = None) -> th.Tensor:
        slots: th.Tensor = self.projection(self.groups(block).flatten(-2))
        return slots


@compression_registry.register("dilated")
class DilatedCompression(ConvolutionCompression):
    """
    One-dimensional convolution over time with as many taps as the rate, spread over the whole block: of a block of
    k * rate memories slot i reads the memories i, i + k, i + 2 k, ... The paper gives no sizes for its dilated
    convolutions; of those without padding, dilation k with stride 1 is the one that makes exactly k slots and reads
    every memory once. With k = 1 it would be the plain convolution.
    """

    least_slots = 2
    interleaved = True


@compression_registry.register("max")
class MaxCompression(Compression):
    """Max pooling over time with kernel and stride equal to the rate."""

    def forward(self, block: th.Tensor, usage: th.Tensor | None = None) -> th.Tensor:
        return self.groups(block).amax(-2)


@compression_registry.register("mean")
class MeanCompression(Compression):
    """Mean pooling over time with kernel and stride equal to the rate."""

    def forward(self, block: th.Tensor, usage: th.Tensor | None = None) -> th.Tensor:
        return self.groups(block).mean(-2)


@compression_registry.register("most_used")
class MostUsedCompression(Compression):
    """
    Of each block the memories with the highest average attention, unchanged and in order of time; of equals the older
    ones. Blocks longer than the rate give it more to choose from.
    """

    needs_usage = True

    def forward(self, block: th.Tensor, usage: th.Tensor | None = None) -> th.Tensor:
        if usage is None:
            raise ValueError("most_used needs the usage of every memory, (..., length); got None")
        n_slots = block.shape[-2] // self.rate
        # Places in the order of usage, of equals the older one first: sorting without ties, which ONNX knows, too.
        mine, others = usage[..., :, None], usage[..., None, :]
        older = th.ones(2 * usage.shape[-1:], dtype=th.bool, device=usage.device).tril(-1)
        places = ((others > mine) | ((others == mine) & older)).sum(dim=-1)
        kept = places.sort(dim=-1).indices[..., :n_slots].sort(dim=-1).values
        return block.gather(-2, kept[..., None].expand(*kept.shape, self.d_model))
