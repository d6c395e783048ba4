"""Proximal policy optimisation with memory that never takes invalid actions."""

from memory_agents.maskable_ppo.evaluation import MaskableEvalCallback, MaskedPlayer, evaluate_policy
from memory_agents.maskable_ppo.maskable_ppo import MaskablePPO

__all__ = ["MaskableEvalCallback", "MaskablePPO", "MaskedPlayer", "evaluate_policy"]
