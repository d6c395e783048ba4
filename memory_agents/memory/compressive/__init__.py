"""The gated compressive transformer: Transformer-XL memory, GTrXL gates, a second, compressed memory, and its judge."""

from memory_agents.memory.compressive.core import CompressiveMemory, CompressiveState, judge_of
from memory_agents.memory.compressive.judgement import Choice, Judgement
from memory_agents.memory.compressive.judges import Judge, LearnedJudge, Scene, group_means, judge_registry, log_prob
from memory_agents.memory.compressive.judging import JudgedBlocks
from memory_agents.memory.compressive.reading import Reading
from memory_agents.memory.compressive.reinforce import judger_loss
from memory_agents.memory.compressive.shape import MemoryShape

__all__ = [
    "Choice",
    "CompressiveMemory",
    "CompressiveState",
    "Judge",
    "JudgedBlocks",
    "Judgement",
    "LearnedJudge",
    "MemoryShape",
    "Reading",
    "Scene",
    "group_means",
    "judge_of",
    "judge_registry",
    "judger_loss",
    "log_prob",
]
