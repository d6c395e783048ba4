"""The policies that PPO takes."""

from memory_agents.common.presets import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)

__all__ = [
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "GTrXLPolicy",
    "MemoryPolicy",
    "TransformerXLPolicy",
]
