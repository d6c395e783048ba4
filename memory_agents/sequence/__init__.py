"""Sequence models on the memory cores: token by token, segment by segment, with the state carried."""

from memory_agents.sequence.batch import SequenceBatch
from memory_agents.sequence.dct import DCTTrainer, DCTUpdate
from memory_agents.sequence.model import SequenceModel
from memory_agents.sequence.quadratic import Quadratic
from memory_agents.sequence.reading import ReadingRecord
from memory_agents.sequence.scoring import Score, evaluate
from memory_agents.sequence.tasks import Copy, Retrieval, Reverse, SequenceTask, task_registry
from memory_agents.sequence.training import SequenceTrainer

__all__ = [
    "Copy",
    "DCTTrainer",
    "DCTUpdate",
    "Quadratic",
    "ReadingRecord",
    "Retrieval",
    "Reverse",
    "Score",
    "SequenceBatch",
    "SequenceModel",
    "SequenceTask",
    "SequenceTrainer",
    "evaluate",
    "task_registry",
]
