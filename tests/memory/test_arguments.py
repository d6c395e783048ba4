"""No core takes an argument for what it is not."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from memory_agents.memory import GRUMemory, memory_registry
from memory_agents.memory.building import make_memory

#: Values that are right for no argument, and as they come from command lines.
WRONG: list[Any] = ["no", "2", [], ["a"], {}, math.nan, math.inf, -1.5]
BIASES = ("gate_bias", "state_gate_bias")
FLAGS = ("final_norm", "forgetting", "learned_initial_memory", "memory_replay")

#: Every core with every one of its arguments.
ARGUMENTS = [
    (core, argument)
    for core, memory_class in memory_registry.items()
    for argument in list(inspect.signature(memory_class).parameters)[1:]
]


@pytest.mark.parametrize(("core", "argument"), ARGUMENTS)
def test_values_of_another_kind_are_refused(core: str, argument: str) -> None:
    wrong = [*WRONG, 1 if argument in FLAGS else True]
    for value in wrong:
        if (argument in BIASES and value == -1.5) or (argument == "judger" and value in ({}, True)):
            continue
        # What is not among names says so: "unknown gate 'no'; known: ..."
        with pytest.raises(ValueError, match=rf"\b{argument}\b|^unknown "):
            make_memory(core, 3, {argument: value})


def test_a_memory_of_ones_own_may_take_any_arguments() -> None:
    class Own(GRUMemory):
        def __init__(self, input_dim: int, **kwargs: Any) -> None:
            super().__init__(input_dim, hidden_size=kwargs["width"])

    core = make_memory(Own, 3, dict(width=8))
    assert isinstance(core, Own)
    assert core.output_dim == 8


def test_a_width_that_numpy_has_computed_is_a_width() -> None:
    width: Any = np.prod((3, 2))
    assert type(make_memory("gru", width, {}).input_dim) is int
