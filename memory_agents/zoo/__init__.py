"""
RL Baselines3 Zoo with the algorithms of this library: importing this module makes ``ppo_memory`` and its like
algorithms of the zoo, with search spaces for Optuna. The zoo reads the names of algorithms before it imports
``--gym-packages``, so start it here::

    python -m memory_agents.zoo train --algo ppo_memory --env MemoryAgents/TMaze-v0
    python -m memory_agents.zoo enjoy --algo ppo_memory --env MemoryAgents/TMaze-v0 -f logs --no-render
    python -m memory_agents.zoo train --algo ppo_memory --env MemoryAgents/TMaze-v0 -optimize --n-trials 100
"""

from memory_agents.zoo.registration import ALGORITHMS, ZooAlgorithm, register

register()

__all__ = ["ALGORITHMS", "ZooAlgorithm", "register"]
