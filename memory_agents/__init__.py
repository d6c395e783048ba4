"""
Reinforcement-learning agents that remember: policies with memory for Stable-Baselines3.

Importing the package registers its environments with Gymnasium.
"""

from memory_agents.common.export import export_onnx, export_step
from memory_agents.common.extractors import SmallCNN
from memory_agents.common.observations import FlatDictObservation
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.envs import register_environments
from memory_agents.memory import MemoryCore, memory_registry
from memory_agents.ppo import (
    PPO,
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)

__version__ = "0.1.0"

register_environments()

__all__ = [
    "PPO",
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "FlatDictObservation",
    "GTrXLPolicy",
    "MemoryActorCriticPolicy",
    "MemoryCore",
    "MemoryPolicy",
    "SmallCNN",
    "TransformerXLPolicy",
    "__version__",
    "export_onnx",
    "export_step",
    "memory_registry",
]
