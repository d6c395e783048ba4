"""Batched environments for Stable-Baselines3."""

from memory_agents.vec_env.batched_vec_env import BatchedVecEnv, make_batched

__all__ = ["BatchedVecEnv", "make_batched"]
