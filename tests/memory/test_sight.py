"""Windows without what none of their steps can see."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th

from memory_agents.memory import CompressiveMemory
from memory_agents.memory.compressive.shape import MemoryShape
from memory_agents.memory.compressive.window_layout import Sight, WindowLayout
from memory_agents.nn.tracing import static_shapes
from memory_agents.nn.window_attention import chunk_length

WINDOW = 48
SIZES: dict[str, Any] = dict(memory_length=20, compressed_length=6, compression_rate=2, d_model=8, n_heads=2)


def all_there_is(layout: WindowLayout) -> Sight:
    return Sight(layout.shape.memory_length, slice(0, layout.ranks.shape[2]), None, makes_slots=True)


def episode_starts(batch: int, length: int, window: int = WINDOW) -> th.Tensor:
    """Episodes of this length, each entry's beginning elsewhere."""
    t = th.arange(window) + th.arange(batch)[:, None]
    return t % length == 0


def outputs_and_gradients(core: CompressiveMemory, starts: th.Tensor, x: th.Tensor) -> list[th.Tensor]:
    th.manual_seed(0)
    with th.no_grad():
        state = core.pack_state(core.unroll(x, core.initial_state(len(x)), starts)[1])
    core.zero_grad()
    th.manual_seed(1)  # of a judge that throws a coin
    outputs = core.unroll_outputs(x, state, starts)
    outputs.square().sum().backward()  # type: ignore[no-untyped-call]
    # A parameter that nothing depends on has no gradient, or one of zero.
    gradients = [th.zeros_like(p) if p.grad is None else p.grad for p in core.parameters()]
    return [outputs.detach(), *gradients]


@pytest.mark.parametrize("length", [1, 5, 24, 40, 1000])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"positions": "learned"},
        {"positions": "rotary"},
        {"compressed_length": 0},
        {"memory_length": [4, 20], "compressed_length": [0, 6]},
        {"judger": {"kind": "random", "probability": 0.5}},
        {"compression": "most_used"},
    ],
    ids=str,
)
def test_leaving_out_the_unseen_changes_nothing(
    kwargs: dict[str, Any], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    th.manual_seed(0)
    core = CompressiveMemory(3, **{**SIZES, **kwargs}).double()
    window = 2 * WINDOW
    assert chunk_length(window) == WINDOW, "more than one chunk of attention"
    x, starts = th.randn(3, window, 3, dtype=th.float64), episode_starts(3, length, window)
    found = outputs_and_gradients(core, starts, x)
    monkeypatch.setattr(WindowLayout, "sight", property(all_there_is))
    for part, expected in zip(found, outputs_and_gradients(core, starts, x), strict=True):
        th.testing.assert_close(part, expected, atol=1e-10, rtol=1e-10)


def sight(length: int, steps: int = 0) -> Sight:
    shape = MemoryShape(memory_length=64, compressed_length=16, compression_rate=4, block_length=4)
    starts = episode_starts(2, length)
    return WindowLayout(shape, th.full((2,), steps), starts).sight


def test_short_episodes_see_neither_slots_nor_what_is_far() -> None:
    memory_length, slots, positions, makes_slots = sight(24)
    assert (memory_length, slots, makes_slots) == (32, slice(0, 0), False)
    assert positions is not None
    assert positions.tolist() == list(range(33))


def test_episodes_of_one_step_see_themselves_alone() -> None:
    memory_length, slots, positions, makes_slots = sight(1)
    assert (memory_length, slots, makes_slots) == (0, slice(0, 0), False)
    assert positions is not None
    assert positions.tolist() == [0]


def test_slots_are_seen_from_the_first_to_the_last() -> None:
    # The second entry's window begins with tokens 74 to 120: blocks 0 to 2 have left before it, and more in it.
    memory_length, slots, positions, makes_slots = sight(1000, steps=74)
    assert (memory_length, makes_slots) == (64, True)
    assert slots.start == 16 - 3
    made = -(-(74 + WINDOW - 1 - 64) // 4)
    assert slots.stop == 16 + made - 3
    assert positions is not None
    assert positions.tolist() == [*range(65), *range(65, 65 + made)]


def test_who_sees_all_asks_for_all_positions() -> None:
    assert sight(1000, steps=500).positions is None


def test_shapes_of_a_graph_do_not_depend_on_episodes() -> None:
    with static_shapes():
        assert sight(24) == Sight(64, slice(0, 16 + WINDOW // 4), None, makes_slots=True)
