"""Auxiliary losses that train compression functions, and nothing else, to lose little."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch as th
from torch import nn

from memory_agents.nn.mixed_precision import widened
from memory_agents.nn.registry import Registry


class CompressedBlocks(NamedTuple):
    """
    What left one layer's recent memory within a window, and who reads it. All of it is constant but for the slots,
    whose gradients end in the compression function.

    :param memories: those that left, by the slot that stands for them, (batch, blocks, slots, rate, d_model)
    :param slots: what they have become, (batch, blocks, slots, d_model)
    :param left: whether there is such a block; other entries are arbitrary, (batch, blocks) bool
    :param queries: the layer's inputs within the window, (batch, queries, d_model)
    :param seen: whether a query sees the slots of a block, (batch, queries, blocks) bool
    :param attend: the layer's content attention with constant parameters, called with queries (batch, queries,
        d_model), memories to read (batch, keys, d_model) and who sees whom, (batch, queries, keys) bool; what is read,
        (batch, queries, width), is arbitrary where a query sees nothing
    """

    memories: th.Tensor
    slots: th.Tensor
    left: th.Tensor
    queries: th.Tensor
    seen: th.Tensor
    attend: Callable[[th.Tensor, th.Tensor, th.Tensor], th.Tensor]


class CompressionLoss(nn.Module, ABC):
    """
    Loss of one layer's compression function, with parameters of its own where it needs them.

    :param d_model: width of a memory
    :param rate: memories per slot
    """

    def __init__(self, d_model: int, rate: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, blocks: CompressedBlocks) -> th.Tensor:
        """
        :param blocks: what was compressed in a window
        :return: a scalar, zero when nothing was
        """


#: Entries are called as ``entry(d_model, rate)``.
compression_loss_registry: Registry[Callable[[int, int], CompressionLoss]] = Registry("compression loss")


@compression_loss_registry.register("autoencoding")
class AutoencodingLoss(CompressionLoss):
    """
    ``||old - g(slots)||^2`` per element, averaged over the memories that left (Rae et al. 2019, arXiv 1911.05507,
    section 3.2). The decoder g maps each slot to the memories it stands for, the mirror image of the convolution; it is
    trained by this loss and used nowhere else.

    :param d_model: width of memories
    :param rate: memories that a slot stands for
    """

    def __init__(self, d_model: int, rate: int) -> None:
        super().__init__(d_model, rate)
        self.decoder = nn.Linear(d_model, rate * d_model)

    def forward(self, blocks: CompressedBlocks) -> th.Tensor:
        decoded = self.decoder(blocks.slots).view_as(blocks.memories)
        errors = widened(decoded - blocks.memories).square().flatten(2).mean(dim=2)
        return _mean_where(errors, blocks.left)


@compression_loss_registry.register("attention")
class AttentionLoss(CompressionLoss):
    """
    Attention reconstruction (the same, algorithm 2): ``||attn(h, old) - attn(h, slots)||^2`` per element, with the
    content part of the layer's attention and everything but the slots constant. In streaming form h are the tokens of a
    window; each reads the blocks whose slots it sees, and tokens that see none do not count.
    """

    def forward(self, blocks: CompressedBlocks) -> th.Tensor:
        memories, slots = blocks.memories.flatten(1, 3), blocks.slots.flatten(1, 2)
        n_blocks = blocks.left.shape[1]

        def read(keys: th.Tensor) -> th.Tensor:
            seen = blocks.seen.repeat_interleave(keys.shape[1] // n_blocks, dim=2)
            return blocks.attend(blocks.queries, keys, seen)

        with th.no_grad():
            target = read(memories)
        return _mean_where(widened(read(slots) - target).square().mean(dim=2), blocks.seen.any(dim=2))


def _mean_where(values: th.Tensor, mask: th.Tensor) -> th.Tensor:
    """Mean of the values where the mask is true; zero, still differentiable, where it is nowhere."""
    return th.where(mask, values, 0).sum() / mask.sum().clamp_min(1)
