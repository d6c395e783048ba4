"""How a memory's own loss is minimised by algorithms that know nothing of it."""

from __future__ import annotations

from typing import Any

import torch as th


class _AttachedLoss(th.autograd.Function):
    @staticmethod
    def forward(ctx: Any, outputs: th.Tensor, loss: th.Tensor) -> th.Tensor:
        ctx.unit = th.ones_like(loss)
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        return gradients[0], ctx.unit


def attach_loss(outputs: th.Tensor, loss: th.Tensor) -> th.Tensor:
    """
    Hang a loss on outputs that some other loss is computed from: back-propagating through them adds the gradients of
    ``loss``, with weight 1 whatever the weights of the other loss's terms.

    :param outputs: any tensor
    :param loss: a scalar
    :return: the same outputs
    """
    attached: th.Tensor = _AttachedLoss.apply(outputs, loss)  # type: ignore[no-untyped-call]
    return attached


class RunningMean:
    """Mean of scalars that stay on their device until it is asked for."""

    def __init__(self) -> None:
        self._sum: th.Tensor | None = None
        self._count = 0

    def add(self, value: th.Tensor) -> None:
        """
        :param value: a scalar; its graph is not kept
        """
        value = value.detach()
        self._sum = value if self._sum is None else self._sum + value
        self._count += 1

    def take(self) -> float | None:
        """
        :return: the mean since the last call, ``None`` when nothing was added
        """
        mean = None if self._sum is None else float(self._sum) / self._count
        self._sum, self._count = None, 0
        return mean
