"""The gated compressive transformer: Transformer-XL memory, GTrXL gates, a second, compressed memory."""

from memory_agents.memory.compressive.core import CompressiveMemory, CompressiveState
from memory_agents.memory.compressive.layout import MemoryShape

__all__ = ["CompressiveMemory", "CompressiveState", "MemoryShape"]
