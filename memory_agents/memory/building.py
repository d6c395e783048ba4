"""Memory cores, picked by name."""

from __future__ import annotations

import inspect
from typing import Any

from memory_agents.memory.core import MemoryCore, memory_registry
from memory_agents.nn.arguments import check_known


def memory_type(memory_class: str | type[MemoryCore[Any]]) -> type[MemoryCore[Any]]:
    """
    :param memory_class: registered name or class
    :return: the class
    :raises TypeError: when it is no memory core
    :raises ValueError: when the name is unknown
    """
    cls = memory_registry[memory_class] if isinstance(memory_class, str) else memory_class
    if not (isinstance(cls, type) and issubclass(cls, MemoryCore)):
        raise TypeError(f"memory_class must be one of {list(memory_registry)} or a subclass of MemoryCore, got {cls!r}")
    return cls


def make_memory(
    memory_class: str | type[MemoryCore[Any]], input_dim: int, memory_kwargs: dict[str, Any]
) -> MemoryCore[Any]:
    """
    :param memory_class: registered name or class
    :param input_dim: width of the features
    :param memory_kwargs: keyword arguments of the core
    :return: the core
    :raises TypeError: when it is no memory core or does not know an argument
    :raises ValueError: when the name is unknown or arguments do not fit together
    """
    cls = memory_type(memory_class)
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        check_known("memory_kwargs", memory_kwargs, cls.__name__, [parameter.name for parameter in parameters])
    # Of some spaces Stable-Baselines3 makes a number of NumPy.
    return cls(int(input_dim), **memory_kwargs)
