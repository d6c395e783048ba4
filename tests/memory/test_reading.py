"""Where the attention of an acting step goes."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th

from memory_agents.memory.compressive import CompressiveMemory
from memory_agents.memory.compressive.core import CompressiveState
from memory_agents.memory.state import tree_clone, tree_leaves
from memory_agents.nn import RelativeAttention, position_registry

M, N, RATE, BLOCK, WIDTH = 5, 4, 2, 4, 8
SIZES: dict[str, Any] = dict(
    memory_length=M, compressed_length=N, compression_rate=RATE, block_length=BLOCK, d_model=WIDTH, n_heads=1
)


def tokens_of_slots(kept: list[int], dilated: bool) -> list[int]:
    """First tokens of the slots made of these blocks, the newest N from the newest to the oldest, -1 for empty ones."""
    first = [block * BLOCK + (i if dilated else RATE * i) for block in kept for i in range(BLOCK // RATE)]
    return (first[::-1] + N * [-1])[:N]


@pytest.mark.parametrize("positions", list(position_registry))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"judger": {"kind": "random"}},
        {"judger": True},
        {"judger": True, "compression": "dilated"},
        {"recurrence_delay": 2},
        {"compression": "dilated"},
    ],
    ids=str,
)
def test_weights_tell_what_the_step_reads(
    positions: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = CompressiveMemory(3, **SIZES, positions=positions, **options).eval()
    dilated = options.get("compression") == "dilated"
    attended: list[tuple[th.Tensor, th.Tensor]] = []
    attend = RelativeAttention.attend_once

    def spy(self: Any, queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor) -> th.Tensor:
        mixed = attend(self, queries, keys, values, bias)
        attended.append((self.output(values[:, 0].clone()), mixed))
        return mixed

    state = memory.initial_state(2)
    kept: list[list[int]] = [[], []]
    starts = th.zeros(40, 2, dtype=th.bool)
    starts[0], starts[27, 1] = True, True
    token = th.zeros(2, dtype=th.long)
    for step in range(40):
        token = th.where(starts[step], 0, token)
        kept = [[] if start else blocks for start, blocks in zip(starts[step], kept, strict=True)]
        x = th.randn(2, 3)
        readings = memory.attention(x, state, starts[step])
        monkeypatch.setattr(RelativeAttention, "attend_once", spy)
        attended.clear()
        _, state = memory.act_(x, tree_clone(state), starts[step], deterministic=False)
        monkeypatch.setattr(RelativeAttention, "attend_once", attend)

        assert len(readings) == len(attended) == 2
        for reading, (values, mixed) in zip(readings, attended, strict=True):
            weights = th.cat([reading.slots, reading.recent], dim=1)
            assert (weights >= 0).all()
            th.testing.assert_close(weights.sum(dim=1), th.ones(2))
            assert reading.slot_tokens.tolist() == [tokens_of_slots(blocks, dilated) for blocks in kept]
            assert (reading.slots[reading.slot_tokens < 0] == 0).all()
            for env in range(2):
                e = int(token[env])
                left = max(0, -(-(e - M) // BLOCK))
                assert (reading.recent[env, : e - BLOCK * left + 1] > 0).all()
                assert (reading.recent[env, e - BLOCK * left + 1 :] == 0).all()
                made = len(kept[env]) * BLOCK // RATE
                rows = [(made - 1 - rank) % N for rank in range(N)] + [N + (e - d) % (M + 1) for d in range(M + 1)]
                th.testing.assert_close(weights[env] @ values[env, rows], mixed[env], atol=1e-5, rtol=1e-4)

        for env in range(2):
            e = int(token[env])
            if e >= M and (e - M) % BLOCK == 0:
                keeps = True if "judger" not in options else bool(memory.choices(state).keep[env])  # type: ignore[union-attr]
                kept[env] += [(e - M) // BLOCK] if keeps else []
        token = token + 1
    assert any(len(blocks) > N * RATE // BLOCK for blocks in kept)


@pytest.mark.parametrize("judger", [None, True, "keep"])
@pytest.mark.parametrize("compression", ["convolution", "dilated"])
def test_layers_without_slots_read_the_recent_memory(compression: str, judger: Any) -> None:
    sizes = {**SIZES, "memory_length": [0, M], "compressed_length": [0, N]}
    memory = CompressiveMemory(3, **sizes, compression=compression, judger=judger).eval()
    state = memory.initial_state(1)
    for step in range(15):
        start = th.tensor([step == 0])
        first, second = memory.attention(th.randn(1, 3), state, start)
        assert first.slots.shape == first.slot_tokens.shape == (1, 0)
        assert first.recent.tolist() == [[1.0]]
        assert second.slots.shape == (1, N)
        _, state = memory.step(th.randn(1, 3), state, start)


def test_looking_changes_nothing() -> None:
    memory = CompressiveMemory(3, **SIZES, judger=True).eval()
    state: CompressiveState = memory.initial_state(2)
    for step in range(20):
        x, starts = th.randn(2, 3), th.tensor([step == 0, step == 9])
        before = tree_clone(state)
        memory.attention(x, state, starts)
        for leaf, old in zip(tree_leaves(state), tree_leaves(before), strict=True):
            assert th.equal(leaf, old)
        packed = memory.attention(x, memory.pack_state(state), starts)
        for one, other in zip(packed, memory.attention(x, state, starts), strict=True):
            th.testing.assert_close(one, other)
        _, state = memory.step(x, state, starts)


def test_under_autocast_too_weights_are_those_of_acting() -> None:
    memory = CompressiveMemory(3, **SIZES).eval()
    x, starts = th.randn(2, 20, 3), th.zeros(2, 20, dtype=th.bool)
    _, state = memory.unroll(x, memory.initial_state(2), starts)
    expected = memory.attention(x[:, 0], state, starts[:, 0])
    with th.autocast("cpu", th.bfloat16):
        found = memory.attention(x[:, 0], state, starts[:, 0])
    assert all(map(th.equal, tree_leaves(found), tree_leaves(expected)))
