"""Recurrent cells as memory cores."""

from memory_agents.memory.recurrent.bistable import BRCMemory, NBRCMemory
from memory_agents.memory.recurrent.core import (
    GRUMemory,
    HiddenState,
    LSTMMemory,
    LSTMState,
    RecurrentMemory,
)

__all__ = ["BRCMemory", "GRUMemory", "HiddenState", "LSTMMemory", "LSTMState", "NBRCMemory", "RecurrentMemory"]
