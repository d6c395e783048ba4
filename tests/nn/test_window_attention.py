"""Attention of windows in chunks: the same numbers and gradients as plain loops over queries."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.nn import HIDDEN, Band, attend_window, chunk_length
from memory_agents.nn.window_attention import WindowAttention, read_window


class Case:
    """Random queries, keys and values, of which every query sees some slots and some of its recent past."""

    def __init__(self, window: int, m: int, n_slots: int, batch: int = 2, heads: int = 2, dtype: th.dtype = th.float64):
        length, width = chunk_length(window), 3
        self.queries = th.randn(batch, heads, window, width, dtype=dtype, requires_grad=True)
        self.positions = th.randn(batch, heads, window, m + 1 + n_slots, dtype=dtype, requires_grad=True)
        self.keys, self.values = (
            th.randn(batch, heads, n_slots + m + window, width, dtype=dtype, requires_grad=True) for _ in range(2)
        )
        self.reach = th.randint(0, m + 1, (batch, window))
        self.slots_seen = th.rand(batch, window, n_slots) < 0.5
        self.ranks = th.randint(0, max(n_slots, 1), (batch, window, n_slots))
        distance = th.arange(length)[:, None] + m - th.arange(m + length)
        seen = (distance >= 0) & (distance <= self.reach.view(batch, -1, length, 1))
        visible = th.cat([self.slots_seen.view(batch, window // length, length, n_slots), seen], dim=3)
        self.band = Band(th.zeros(visible.shape, dtype=dtype).masked_fill(~visible, HIDDEN), self.ranks, m)

    @property
    def inputs(self) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
        return self.queries, self.positions, self.keys, self.values

    def by_loops(self, positions: bool = True) -> th.Tensor:
        """One query at a time, over the keys it sees."""
        batch, heads, window, width = self.queries.shape
        n_slots, m = self.ranks.shape[2], self.band.memory_length
        rows = []
        for b in range(batch):
            for t in range(window):
                slots = self.slots_seen[b, t].nonzero().squeeze(1)
                distances = th.arange(int(self.reach[b, t]) + 1)
                seen = th.cat([slots, n_slots + m + t - distances])
                place = th.cat([m + 1 + self.ranks[b, t, slots], distances])
                for h in range(heads):
                    logits = self.keys[b, h, seen] @ self.queries[b, h, t] * width**-0.5
                    logits = logits + (self.positions[b, h, t, place] if positions else 0)
                    rows.append(logits.softmax(0) @ self.values[b, h, seen])
        return th.stack(rows).view(batch, window, heads, width).transpose(1, 2)


def written_out(
    queries: th.Tensor, positions: th.Tensor | None, keys: th.Tensor, values: th.Tensor, band: Band
) -> th.Tensor:
    read: th.Tensor = WindowAttention.apply(queries, positions, keys, values, *band)  # type: ignore[no-untyped-call]
    return read


def test_chunks_divide_windows() -> None:
    assert [chunk_length(window) for window in (1, 16, 64, 128, 96, 100, 251, 68)] == [1, 16, 64, 64, 48, 50, 251, 34]


@pytest.mark.parametrize("way", [written_out, read_window])
@pytest.mark.parametrize("positions", [True, False])
@given(st.sampled_from([1, 5, 32, 66, 67]), st.integers(0, 9), st.integers(0, 4), st.integers(0, 1000))
def test_numbers_and_gradients_are_those_of_loops(
    way: Callable[..., th.Tensor], positions: bool, window: int, m: int, n_slots: int, seed: int
) -> None:
    th.manual_seed(seed)
    case = Case(window, m, n_slots)
    logits = case.positions if positions else None
    read = way(case.queries, logits, case.keys, case.values, case.band)
    expected = case.by_loops(positions)
    th.testing.assert_close(read, expected)
    inputs = [x for x in case.inputs if positions or x is not case.positions]
    upstream = th.randn_like(read)
    for found, wanted in zip(
        th.autograd.grad(read, inputs, upstream), th.autograd.grad(expected, inputs, upstream), strict=True
    ):
        th.testing.assert_close(found, wanted)


def test_gradients_have_gradients() -> None:
    case = Case(4, 2, 2, batch=1, heads=1)
    assert th.autograd.gradgradcheck(lambda q, p, k, v: attend_window(q, p, k, v, case.band), case.inputs)
    inputs = case.queries, case.keys, case.values
    assert th.autograd.gradgradcheck(lambda q, k, v: attend_window(q, None, k, v, case.band), inputs)


def test_only_numbers_of_one_format_on_the_cpu_take_the_written_gradient() -> None:
    case = Case(32, 3, 2)
    assert "WindowAttention" in type(attend_window(*case.inputs, case.band).grad_fn).__name__
    mixed = (case.queries.bfloat16(), case.positions, case.keys.bfloat16(), case.values.bfloat16())
    read = attend_window(*mixed, case.band)
    assert "WindowAttention" not in type(read.grad_fn).__name__
    th.testing.assert_close(read.double(), case.by_loops(), atol=0.1, rtol=0.1)


def test_dropout_drops_weights() -> None:
    case = Case(32, 3, 2)
    whole, dropped = (attend_window(*case.inputs, case.band, dropout) for dropout in (0.0, 0.5))
    assert not th.allclose(whole, dropped)
    assert not th.allclose(dropped, attend_window(*case.inputs, case.band, 0.5))
