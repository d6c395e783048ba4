"""Proximal policy optimisation with memory."""

from memory_agents.ppo.policies import CompressiveMemoryPolicy, MemoryPolicy
from memory_agents.ppo.ppo import PPO

__all__ = ["PPO", "CompressiveMemoryPolicy", "MemoryPolicy"]
