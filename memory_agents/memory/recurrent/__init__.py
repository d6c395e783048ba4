"""Recurrent cells as memory cores."""

from memory_agents.memory.recurrent.core import (
    GRUMemory,
    HiddenState,
    LSTMMemory,
    LSTMState,
    RecurrentMemory,
)

__all__ = ["GRUMemory", "HiddenState", "LSTMMemory", "LSTMState", "RecurrentMemory"]
