"""The mogrifier: rounds, ranks, and where it starts."""

from __future__ import annotations

import pytest
import torch as th

from memory_agents.nn import Mogrifier


def trained(mogrifier: Mogrifier) -> Mogrifier:
    with th.no_grad():
        for parameter in mogrifier.parameters():
            parameter.normal_()
    return mogrifier


def matrices(mogrifier: Mogrifier, rank: int | None) -> list[th.Tensor]:
    """That of every round, multiplied out."""
    weights = [weight.detach() for weight in mogrifier.parameters()]
    return weights if rank is None else [left @ right for right, left in zip(weights[::2], weights[1::2], strict=True)]


@pytest.mark.parametrize("rank", [None, 1, 4])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5])
def test_rounds_take_turns(rounds: int, rank: int | None) -> None:
    mogrifier = trained(Mogrifier(5, rounds, rank))
    every_x, every_y = th.randn(2, 3, 5), th.randn(2, 3, 5)
    got_x, got_y = mogrifier(every_x, every_y)
    for index in [(0, 0), (1, 2)]:
        x, y = every_x[index], every_y[index]
        for i, matrix in enumerate(matrices(mogrifier, rank), start=1):
            if i % 2 == 1:
                y = th.stack([2 / (1 + (-(matrix[j] * x).sum()).exp()) * y[j] for j in range(5)])
            else:
                x = th.stack([2 / (1 + (-(matrix[j] * y).sum()).exp()) * x[j] for j in range(5)])
        th.testing.assert_close(got_x[index], x)
        th.testing.assert_close(got_y[index], y)
    assert th.equal(got_x, every_x) == (rounds == 1)


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("rounds", [1, 4, 5])
def test_it_starts_as_the_identity_and_learns_from_there(rounds: int, rank: int | None) -> None:
    mogrifier = Mogrifier(6, rounds, rank)
    x, y = th.randn(7, 6), th.randn(7, 6)
    assert all(th.equal(got, given) for got, given in zip(mogrifier(x, y), (x, y), strict=True))
    optimizer = th.optim.SGD(mogrifier.parameters(), lr=0.1)
    # Of two factors the one that is not zero has to wait for the other.
    for _ in range(1 if rank is None else 2):
        optimizer.zero_grad()
        sum(out.sin().sum() for out in mogrifier(x, y)).backward()
        optimizer.step()
    for parameter in mogrifier.parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).all()


def test_every_round_has_matrices_of_the_rank() -> None:
    assert [tuple(p.shape) for p in Mogrifier(6, 3).parameters()] == [(6, 6)] * 3
    assert [tuple(p.shape) for p in Mogrifier(6, 3, rank=2).parameters()] == [(2, 6), (6, 2)] * 3


@pytest.mark.parametrize("rounds", [0, -1, 2.5, True])
def test_without_rounds_there_is_none(rounds: int) -> None:
    with pytest.raises(ValueError, match=f"rounds is {rounds}; give an integer of at least 1, or use no mogrifier"):
        Mogrifier(6, rounds)


@pytest.mark.parametrize("rank", [0, 6, 7, 1.5, True])
def test_a_rank_is_below_the_width(rank: int) -> None:
    with pytest.raises(ValueError, match=f"rank is {rank}; give 1 to 5, less than d_model, or None for full rank"):
        Mogrifier(6, 2, rank)
