"""Proximal policy optimisation with memory."""

from memory_agents.ppo.policies import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)
from memory_agents.ppo.ppo import PPO

__all__ = [
    "PPO",
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "GTrXLPolicy",
    "MemoryPolicy",
    "TransformerXLPolicy",
]
