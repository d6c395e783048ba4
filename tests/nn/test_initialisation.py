"""Where matrices start: each of those that are kept side by side in one is drawn by itself."""

from __future__ import annotations

import math

import pytest
import torch as th

from memory_agents.memory import BlockRecurrentMemory, RecurrentTransformerMemory
from memory_agents.memory.building import make_memory
from memory_agents.nn import (
    BRCCell,
    NBRCCell,
    RecurrentStates,
    SlotReading,
    SlotWriting,
    position_registry,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    th.manual_seed(0)


def is_glorots(weight: th.Tensor) -> bool:
    """Uniform within the bound of Glorot and Bengio 2010 that follows from the matrix's own shape."""
    bound = math.sqrt(6 / sum(weight.shape))
    # Of a few hundred numbers the largest is near it.
    return 0.9 * bound < float(weight.detach().abs().max()) <= bound


@pytest.mark.parametrize("positions", list(position_registry))
def test_attention(positions: str) -> None:
    attention = position_registry[positions](64, 4, 10)
    weights = attention.query.weight, *attention.key_value.weight.chunk(2), attention.output.weight
    assert all(map(is_glorots, weights))


@pytest.mark.parametrize("kind", [BRCCell, NBRCCell])
def test_bistable_cells(kind: type[BRCCell | NBRCCell]) -> None:
    cell = kind(20, 30)
    assert all(map(is_glorots, cell.input_weight.view(3, 30, 20)))
    assert not cell.bias.any()
    if isinstance(cell, BRCCell):
        assert th.equal(cell.state_weight, th.ones(2, 30))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_kernels(name: str) -> None:
    weight = make_memory(name, 20, dict(hidden_size=30)).get_parameter("layers.0.kernel.weight_ih_l0")
    assert all(map(is_glorots, weight.view(-1, 30, 20)))


def test_recurrent_states_and_slots() -> None:
    states, reading, writing = RecurrentStates(3, 64, 4, 128), SlotReading(64, 4), SlotWriting(3, 64, 4)
    weights = [
        *states.key_value.weight.chunk(2),
        states.state_query.weight,
        states.token_query.weight,
        states.reading_query.weight,
        states.reading_output.weight,
        reading.query.weight,
        *reading.key_value.weight.chunk(2),
        reading.output.weight,
        writing.query.weight,
        writing.key.weight,
        writing.value.weight,
    ]
    assert all(map(is_glorots, weights))
    assert writing.temperature == 0.25
    assert writing.forgetting
    th.testing.assert_close(writing.forgetting_vectors.norm(dim=1), th.full((3,), 0.1))


def test_initial_memories_are_as_large_as_said() -> None:
    assert RecurrentTransformerMemory(3, n_memory_tokens=64).initial_memory().std().item() == pytest.approx(1, abs=0.1)
    assert BlockRecurrentMemory(3, n_states=64).initial_memory().std().item() == pytest.approx(0.1, abs=0.01)
