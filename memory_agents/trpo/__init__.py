"""Trust region policy optimisation with memory."""

from memory_agents.trpo.trpo import TRPO

__all__ = ["TRPO"]
