"""Gymnasium environments that cannot be played well without memory."""

from memory_agents.envs.base import MemoryEnv, Oracle
from memory_agents.envs.object_matching import ObjectMatching
from memory_agents.envs.registration import ENVIRONMENTS, EnvironmentEntry, register_environments
from memory_agents.envs.tmaze import TMaze

__all__ = [
    "ENVIRONMENTS",
    "EnvironmentEntry",
    "MemoryEnv",
    "ObjectMatching",
    "Oracle",
    "TMaze",
    "register_environments",
]
