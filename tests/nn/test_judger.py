"""The judger's network against its definition."""

from __future__ import annotations

import pytest
import torch as th
from torch import nn

from memory_agents.nn import CompressionJudger
from memory_agents.nn.judger import POOLINGS

WIDTH, D_MODEL, RECENT, BLOCK, SLOTS = 4, 5, 6, 2, 3


def by_hand(lstm: nn.LSTM, layer: int, rows: th.Tensor, way: str) -> th.Tensor:
    """One direction of a layer, one row (width,) after the other."""
    w_x, w_h, b_x, b_h = (
        lstm.get_parameter(f"{name}_l{layer}{way}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = rows.new_zeros(lstm.hidden_size)
    outputs = []
    for x in rows:
        i, f, g, o = (w_x @ x + b_x + w_h @ h + b_h).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return th.stack(outputs)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("n_slots", [[3, 3], [3, 1], [0, 2]], ids=str)
def test_a_judger_is_its_definition(pooling: str, n_layers: int, n_slots: list[int]) -> None:
    """One entry of a batch after the other, without what is empty."""
    th.manual_seed(0)
    judger = CompressionJudger(D_MODEL, RECENT, BLOCK, hidden_size=WIDTH, n_layers=n_layers, pooling=pooling).double()
    for parameter in judger.parameters():
        parameter.data.add_(0.3 * th.randn_like(parameter))
    memories = 3 * th.randn(2, RECENT + SLOTS, D_MODEL).double() + 1
    logits, baselines = judger(memories, th.tensor(n_slots))
    for entry, n in enumerate(n_slots):
        # The present, recent ones, those about to leave, slots.
        kinds = [0] + [1] * (RECENT - 1 - BLOCK) + [2] * BLOCK + [3] * n
        x = th.cat([judger.norm(memories[entry, : RECENT + n]), th.eye(4).double()[kinds]], dim=1)
        for layer in range(n_layers):
            there = by_hand(judger.lstm, layer, x, "")
            back = by_hand(judger.lstm, layer, x.flip(0), "_reverse").flip(0)
            x = th.cat([there, back], dim=1)
        pooled = {
            "leaving": x[RECENT - BLOCK : RECENT].mean(0),
            "last": th.cat([x[-1, :WIDTH], x[0, WIDTH:]]),
            "mean": x.mean(0),
            "max": x.amax(0),
        }[pooling]
        th.testing.assert_close(logits[entry], judger.head(pooled))
        th.testing.assert_close(baselines[entry], judger.baseline(pooled)[0])


def test_a_judger_has_the_sizes_that_it_has_by_default() -> None:
    judger = CompressionJudger(D_MODEL, RECENT, BLOCK)
    assert (judger.lstm.hidden_size, judger.lstm.num_layers, judger.pooling) == (32, 1, "leaving")
