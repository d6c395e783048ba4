"""Memories that are read and written once per segment of steps."""

from memory_agents.memory.segmented.block_recurrent import BlockRecurrentMemory
from memory_agents.memory.segmented.core import SegmentedMemory
from memory_agents.memory.segmented.memformer import MemformerMemory
from memory_agents.memory.segmented.recurrent_transformer import RecurrentTransformerMemory
from memory_agents.memory.segmented.state import Segment, SegmentedState
from memory_agents.memory.segmented.view import TokenView

__all__ = [
    "BlockRecurrentMemory",
    "MemformerMemory",
    "RecurrentTransformerMemory",
    "Segment",
    "SegmentedMemory",
    "SegmentedState",
    "TokenView",
]
