"""
Reinforcement-learning agents that remember: policies with memory for Stable-Baselines3.

Importing the package registers its environments with Gymnasium.
"""

from memory_agents.a2c import A2C
from memory_agents.common.export import export_onnx, export_step
from memory_agents.common.extractors import SmallCNN
from memory_agents.common.memory_extractor import CompressiveMemoryExtractor
from memory_agents.common.observations import FlatDictObservation
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.vec_normalize_history import VecNormalizeHistory
from memory_agents.common.vec_wrappers import VecHistory, VecPreviousActionReward
from memory_agents.dqn import DQN
from memory_agents.envs import register_environments
from memory_agents.maskable_ppo import MaskablePPO
from memory_agents.memory import MemoryCore, check_memory_core, memory_registry
from memory_agents.ppo import (
    PPO,
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)
from memory_agents.qrdqn import QRDQN
from memory_agents.trpo import TRPO
from memory_agents.vec_env import BatchedVecEnv, make_batched
from memory_agents.wrappers import HistoryWrapper, PreviousActionReward

__version__ = "0.1.0"

register_environments()

__all__ = [
    "A2C",
    "DQN",
    "PPO",
    "QRDQN",
    "TRPO",
    "BatchedVecEnv",
    "CompressiveMemoryExtractor",
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "FlatDictObservation",
    "GTrXLPolicy",
    "HistoryWrapper",
    "MaskablePPO",
    "MemoryActorCriticPolicy",
    "MemoryCore",
    "MemoryPolicy",
    "PreviousActionReward",
    "SmallCNN",
    "TransformerXLPolicy",
    "VecHistory",
    "VecNormalizeHistory",
    "VecPreviousActionReward",
    "__version__",
    "check_memory_core",
    "export_onnx",
    "export_step",
    "make_batched",
    "memory_registry",
]
