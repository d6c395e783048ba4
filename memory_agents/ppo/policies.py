"""The policies that PPO takes."""

from memory_agents.common.policies import CompressiveMemoryPolicy, MemoryActorCriticPolicy

MemoryPolicy = MemoryActorCriticPolicy

__all__ = ["CompressiveMemoryPolicy", "MemoryPolicy"]
