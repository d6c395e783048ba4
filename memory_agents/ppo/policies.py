"""The policies that PPO takes."""

from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.presets import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    TransformerXLPolicy,
)

MemoryPolicy = MemoryActorCriticPolicy

__all__ = [
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "GTrXLPolicy",
    "MemoryPolicy",
    "TransformerXLPolicy",
]
