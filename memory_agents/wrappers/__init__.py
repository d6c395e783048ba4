"""Wrappers of environments that help a policy remember; Gymnasium and NumPy are all they need."""

from memory_agents.wrappers.history import HistoryRing, HistorySpace
from memory_agents.wrappers.history_wrapper import HistoryWrapper
from memory_agents.wrappers.previous_step import PreviousActionReward, PreviousStep

__all__ = [
    "HistoryRing",
    "HistorySpace",
    "HistoryWrapper",
    "PreviousActionReward",
    "PreviousStep",
]
