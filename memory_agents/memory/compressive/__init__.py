"""The gated compressive transformer: Transformer-XL memory, GTrXL gates, a second, compressed memory, and its judge."""

from memory_agents.memory.compressive.core import CompressiveMemory, CompressiveState
from memory_agents.memory.compressive.judgement import Choice, Judgement
from memory_agents.memory.compressive.judges import Judge, LearnedJudge, Scene, judge_registry, log_prob
from memory_agents.memory.compressive.judging import JudgedBlocks
from memory_agents.memory.compressive.layout import MemoryShape
from memory_agents.memory.compressive.reading import Reading

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
    "judge_registry",
    "log_prob",
]
