"""No core takes an argument for what it is not."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from memory_agents.memory import memory_registry
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
