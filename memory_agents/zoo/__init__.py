"""
RL Baselines3 Zoo with the algorithms of this library: importing this module makes ``ppo_memory`` one of its algorithms,
with a search space for Optuna. It reads names of algorithms before it imports ``--gym-packages``, so start it here::

    python -m memory_agents.zoo train --algo ppo_memory --env MemoryAgents/TMaze-v0
    python -m memory_agents.zoo enjoy --algo ppo_memory --env MemoryAgents/TMaze-v0 -f logs --no-render
    python -m memory_agents.zoo train --algo ppo_memory --env MemoryAgents/TMaze-v0 -optimize --n-trials 100
"""

from memory_agents.zoo.registration import ALGORITHMS, ZooAlgorithm, register
from memory_agents.zoo.search import on_policy_hyperparams, ppo_hyperparams, sample_on_policy, sample_ppo

register()

__all__ = [
    "ALGORITHMS",
    "ZooAlgorithm",
    "on_policy_hyperparams",
    "ppo_hyperparams",
    "register",
    "sample_on_policy",
    "sample_ppo",
]
