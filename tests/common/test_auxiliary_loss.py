"""A loss that hangs on the outputs of a memory."""

from __future__ import annotations

import pytest
import torch as th

from memory_agents.common.auxiliary_loss import RunningMean, attach_loss


@pytest.mark.parametrize("weight", [0.0, 0.5, -3.0])
def test_an_attached_loss_keeps_values_and_has_weight_one(weight: float) -> None:
    x, own = th.randn(4, 3, requires_grad=True), th.tensor(3.0, requires_grad=True)
    y = 2 * x
    attached = attach_loss(y, own.square())
    assert th.equal(attached, y)
    (weight * attached.sum()).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert own.grad is not None
    assert th.equal(x.grad, th.full((4, 3), 2 * weight))
    assert own.grad.item() == 6


def test_an_attached_loss_counts_once_where_its_outputs_are_used_twice() -> None:
    own = th.tensor(3.0, requires_grad=True)
    attached = attach_loss(th.ones(2), own.square())  # outputs without a graph of their own
    (attached.sum() + 5 * attached.prod()).backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None
    assert own.grad.item() == 6


def test_running_mean() -> None:
    mean = RunningMean()
    assert mean.take() is None
    value = th.tensor(1.0, requires_grad=True)
    mean.add(value)
    mean.add(3 * value)
    assert mean.take() == 2
    assert mean.take() is None
