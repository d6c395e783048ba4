"""Compression functions: a block of memories leaving the recent memory becomes a few compressed slots."""

from __future__ import annotations

from collections.abc import Callable

import torch as th
from torch import nn

from memory_agents.nn.registry import Registry

#: Maps (..., block_length, d_model) to (..., block_length / rate, d_model).
Compression = nn.Module

#: Entries are called as ``entry(d_model, rate)``.
compression_registry: Registry[Callable[[int, int], Compression]] = Registry("compression function")


@compression_registry.register("convolution")
class ConvolutionCompression(nn.Module):
    """
    One-dimensional convolution over time with kernel and stride equal to the rate (Rae et al. 2019, arXiv 1911.05507,
    section 3.1). Because the kernel never overlaps itself it is one matrix product over groups of ``rate`` memories.

    :param d_model: width of a memory
    :param rate: memories per slot, the compression rate c
    """

    def __init__(self, d_model: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.projection = nn.Linear(rate * d_model, d_model)

    def forward(self, block: th.Tensor) -> th.Tensor:
        """
        :param block: memories in order of time, (..., length, d_model), the length a multiple of the rate
        :return: slots in order of time, (..., length / rate, d_model)
        """
        *batch, length, d_model = block.shape
        slots: th.Tensor = self.projection(block.reshape(*batch, length // self.rate, self.rate * d_model))
        return slots
