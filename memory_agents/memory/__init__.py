"""Memory cores behind one contract, and their states."""

from memory_agents.memory.checking import check_memory_core
from memory_agents.memory.compressive import CompressiveMemory, CompressiveState
from memory_agents.memory.core import MemoryCore, memory_registry
from memory_agents.memory.recurrent import BRCMemory, GRUMemory, HiddenState, LSTMMemory, LSTMState, NBRCMemory
from memory_agents.memory.segmented import (
    BlockRecurrentMemory,
    MemformerMemory,
    RecurrentTransformerMemory,
    SegmentedMemory,
    SegmentedState,
)
from memory_agents.memory.state import (
    batch_size,
    tree_bytes,
    tree_cat,
    tree_clone,
    tree_drift,
    tree_fill,
    tree_leaves,
    tree_map,
    tree_select,
    tree_to,
)
from memory_agents.nn.tracing import is_traced, static_shapes

__all__ = [
    "BRCMemory",
    "BlockRecurrentMemory",
    "CompressiveMemory",
    "CompressiveState",
    "GRUMemory",
    "HiddenState",
    "LSTMMemory",
    "LSTMState",
    "MemformerMemory",
    "MemoryCore",
    "NBRCMemory",
    "RecurrentTransformerMemory",
    "SegmentedMemory",
    "SegmentedState",
    "batch_size",
    "check_memory_core",
    "is_traced",
    "memory_registry",
    "static_shapes",
    "tree_bytes",
    "tree_cat",
    "tree_clone",
    "tree_drift",
    "tree_fill",
    "tree_leaves",
    "tree_map",
    "tree_select",
    "tree_to",
]
