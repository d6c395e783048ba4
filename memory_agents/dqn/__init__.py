"""Deep Q-learning with memory."""

from memory_agents.dqn.dqn import DQN
from memory_agents.dqn.policies import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)

__all__ = [
    "DQN",
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "GTrXLPolicy",
    "MemoryPolicy",
    "TransformerXLPolicy",
]
