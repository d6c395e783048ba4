"""Environments whose copies are played all at once, by array operations."""

from memory_agents.envs.batched.batched_env import EVERYONE, BatchedEnv, Copies, Infos, Step

__all__ = ["EVERYONE", "BatchedEnv", "Copies", "Infos", "Step"]
