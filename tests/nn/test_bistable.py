"""Bistable cells: what they remember without input."""

from __future__ import annotations

import math

import pytest
import torch as th

from memory_agents.nn import BRCCell, NBRCCell
from memory_agents.nn.bistable import BistableCell

every_cell = pytest.mark.parametrize("cell_class", [BRCCell, NBRCCell])


def cell_with_feedback(cell_class: type[BistableCell], a: float) -> BistableCell:
    """One whose a is what is given and whose c is a half, whatever the state."""
    cell = cell_class(2, 3)
    with th.no_grad():
        assert isinstance(cell.state_weight, th.Tensor)
        cell.state_weight.zero_()
        cell.bias[:3] = math.atanh(a - 1)
    return cell


def settle(cell: BistableCell, h: th.Tensor, steps: int = 500) -> th.Tensor:
    """The state after many steps without input."""
    with th.no_grad():
        nothing = cell.project(th.zeros(len(h), 2))
        for _ in range(steps):
            h = cell(nothing, h)
    return h


@every_cell
@pytest.mark.parametrize("a", [1.1, 1.5, 1.9])
def test_above_one_every_neuron_has_two_stable_states(cell_class: type[BistableCell], a: float) -> None:
    settled = settle(cell_with_feedback(cell_class, a), th.tensor([[0.9, -0.9, 0.01], [-0.01, 0.2, -0.9]]))
    assert settled.sign().tolist() == [[1, -1, 1], [-1, 1, -1]]
    height = settled[0, 0]
    th.testing.assert_close(settled.abs(), height.expand(2, 3), atol=1e-4, rtol=0)
    th.testing.assert_close(height, th.tanh(a * height))
    assert height > 0.4
    # A push leaves it where it was, a stronger one moves it to the other state.
    cell = cell_with_feedback(cell_class, a)
    th.testing.assert_close(settle(cell, 0.1 * settled), settled, atol=1e-4, rtol=0)
    th.testing.assert_close(settle(cell, -0.1 * settled), -settled, atol=1e-4, rtol=0)


@every_cell
@pytest.mark.parametrize("a", [0.1, 0.5, 0.9])
def test_below_one_everything_is_forgotten(cell_class: type[BistableCell], a: float) -> None:
    settled = settle(cell_with_feedback(cell_class, a), th.tensor([[0.9, -0.9, 0.01]]))
    assert settled.abs().max() < 1e-6


@every_cell
def test_an_untrained_neuron_at_rest_stands_on_the_border(cell_class: type[BistableCell]) -> None:
    cell = cell_class(2, 3)
    a, c = cell.gates(cell.project(th.zeros(1, 2))[:, :6], th.zeros(1, 3))
    assert th.equal(1 + th.tanh(a), th.ones(1, 3))
    assert th.equal(th.sigmoid(c), th.full((1, 3), 0.5))


def test_neurons_of_a_brc_do_not_know_of_one_another_and_those_of_an_nbrc_do() -> None:
    for cell, expected in ((BRCCell(2, 3), th.eye(3, dtype=th.bool)), (NBRCCell(2, 3), th.ones(3, 3, dtype=th.bool))):
        projected, h = cell.project(th.randn(1, 2)), th.randn(1, 3)
        jacobian: th.Tensor = th.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
            lambda h, cell=cell, projected=projected: cell(projected, h)[0], h
        )
        assert th.equal(jacobian[:, 0] != 0, expected)
