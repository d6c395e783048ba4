"""A layer's compression function as its network uses and trains it."""

from __future__ import annotations

from dataclasses import dataclass

import torch as th
from torch import nn
from torch.func import functional_call

from memory_agents.nn import CompressedBlocks, Compression, CompressionLoss, GatedBlock, neighbours

#: What trains the compression functions: their own loss, the loss of the outputs, or both.
GRADIENTS = ("auxiliary", "task", "both")


@dataclass(frozen=True)
class Compressor:
    """
    A compression function, and which gradients reach its parameters. Gradients to the memories that are compressed flow
    in any case.

    :param function: the compression function
    :param rate: memories per slot
    :param task_gradient: whether what is learned from the outputs changes it
    :param loss: its own loss; None for none
    """

    function: nn.Module
    rate: int
    task_gradient: bool = True
    loss: CompressionLoss | None = None

    @property
    def needs_usage(self) -> bool:
        """Whether it must be told how much attention each memory has had."""
        return isinstance(self.function, Compression) and self.function.needs_usage

    def __call__(self, blocks: th.Tensor, usage: th.Tensor | None) -> th.Tensor:
        """
        :param blocks: memories, (..., B, d_model)
        :param usage: average attention that each has had, (..., B); None unless needed
        :return: slots, (..., B / rate, d_model)
        """
        arguments = (blocks,) if usage is None else (blocks, usage)
        if self.task_gradient or not th.is_grad_enabled():
            slots: th.Tensor = self.function(*arguments)
        else:
            constants = {name: parameter.detach() for name, parameter in self.function.named_parameters()}
            slots = functional_call(self.function, constants, arguments)
        return slots

    def reconstruction(
        self,
        block: GatedBlock,
        memories: th.Tensor,
        usage: th.Tensor | None,
        left: th.Tensor,
        queries: th.Tensor,
        seen: th.Tensor,
    ) -> th.Tensor:
        """
        Its own loss, with gradients to the compression function, what the loss has of its own, and nothing else.

        :param block: the layer's network
        :param memories: what left the recent memory in a window, (batch, blocks, B, d_model)
        :param usage: average attention that each has had, (batch, blocks, B); None unless needed
        :param left: whether there is such a block, (batch, blocks) bool
        :param queries: the layer's inputs, (batch, T, d_model)
        :param seen: whether a query sees the slots of a block, (batch, T, blocks) bool
        :return: a scalar
        """
        assert self.loss is not None, "there is no loss"
        memories = memories.detach()
        function = self.function
        groups = function.groups(memories) if isinstance(function, Compression) else neighbours(memories, self.rate)
        loss: th.Tensor = self.loss(
            CompressedBlocks(
                memories=groups,
                slots=function(memories) if usage is None else function(memories, usage),
                left=left,
                queries=queries.detach(),
                seen=seen,
                attend=block.read_content,
            )
        )
        return loss


def gradient_mode(gradient: str | None, loss: str | None, compression: str, functions: nn.ModuleList) -> str:
    """
    :param gradient: what shall train the compression functions, None for the loss alone where there is one
    :param loss: name of their own loss
    :param compression: their name
    :param functions: the compression functions
    :return: one of :data:`GRADIENTS`
    :raises ValueError: when arguments do not fit together
    """
    if gradient is None:
        gradient = "task" if loss is None else "auxiliary"
    if gradient not in GRADIENTS:
        raise ValueError(f"compression_gradient must be one of {', '.join(map(repr, GRADIENTS))}, got {gradient!r}")
    if gradient == "task":
        if loss is not None:
            raise ValueError(
                f"compression_loss={loss!r} trains nothing with compression_gradient='task'; "
                "use compression_gradient='auxiliary' or 'both', or compression_loss=None"
            )
        return gradient
    if loss is None:
        raise ValueError(
            f"compression_gradient={gradient!r} needs a loss; use compression_loss='autoencoding' or 'attention', or "
            "compression_gradient='task'"
        )
    if not len(functions):
        raise ValueError(
            f"compression_loss={loss!r} has no compressed memory to train for; use a compressed_length of 1 or more, "
            "or compression_loss=None and compression_gradient=None"
        )
    if not any(True for _ in functions.parameters()):
        raise ValueError(
            f"compression={compression!r} has no parameters for compression_loss={loss!r} to train; "
            "use compression='convolution' or 'dilated', or compression_loss=None and compression_gradient=None"
        )
    return gradient
