"""Quantile-regression deep Q-learning with memory."""

from memory_agents.qrdqn.policies import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)
from memory_agents.qrdqn.qrdqn import QRDQN

__all__ = [
    "QRDQN",
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "GTrXLPolicy",
    "MemoryPolicy",
    "TransformerXLPolicy",
]
