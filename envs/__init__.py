"""Gymnasium environments that cannot be played well without memory."""

from memory_agents.envs.associative_recall import AssociativeRecall
from memory_agents.envs.base import MemoryEnv, Oracle
from memory_agents.envs.concentration import Concentration
from memory_agents.envs.copying import Copy, Reverse
from memory_agents.envs.cue_stream import CueStream
from memory_agents.envs.delayed_match import DelayedMatch
from memory_agents.envs.hidden_goal import HiddenGoal
from memory_agents.envs.key_to_door import KeyToDoor
from memory_agents.envs.object_matching import ObjectMatching
from memory_agents.envs.object_matching_grid import ObjectMatchingGrid
from memory_agents.envs.registration import ENVIRONMENTS, EnvironmentEntry, register_environments
from memory_agents.envs.repeat import CopyFirst, RepeatFirst, RepeatPrevious
from memory_agents.envs.show_importance import ShowImportance
from memory_agents.envs.tmaze import TMaze
from memory_agents.envs.token_stream import SupervisedBatch, TokenStream
from memory_agents.envs.velocity_mask import VelocityMask
from memory_agents.envs.visual_match import VisualMatch
from memory_agents.wrappers.previous_step import PreviousActionReward

__all__ = [
    "ENVIRONMENTS",
    "AssociativeRecall",
    "Concentration",
    "Copy",
    "CopyFirst",
    "CueStream",
    "DelayedMatch",
    "EnvironmentEntry",
    "HiddenGoal",
    "KeyToDoor",
    "MemoryEnv",
    "ObjectMatching",
    "ObjectMatchingGrid",
    "Oracle",
    "PreviousActionReward",
    "RepeatFirst",
    "RepeatPrevious",
    "Reverse",
    "ShowImportance",
    "SupervisedBatch",
    "TMaze",
    "TokenStream",
    "VelocityMask",
    "VisualMatch",
    "register_environments",
]
