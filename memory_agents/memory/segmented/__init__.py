"""Memories that are read and written once per segment of steps."""

from memory_agents.memory.segmented.core import SegmentedMemory
from memory_agents.memory.segmented.recurrent_transformer import RecurrentTransformerMemory
from memory_agents.memory.segmented.state import Segment, SegmentedState
from memory_agents.memory.segmented.view import TokenView

__all__ = ["RecurrentTransformerMemory", "Segment", "SegmentedMemory", "SegmentedState", "TokenView"]
