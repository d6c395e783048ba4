"""What joins memory cores and Stable-Baselines3: policies, rollout buffers, rollout collection."""

from memory_agents.common.buffers import (
    MaskableSequenceDictRolloutBuffer,
    MaskableSequenceRolloutBuffer,
    SequenceDictRolloutBuffer,
    SequenceRolloutBuffer,
)
from memory_agents.common.extractors import CombinedFeatures, SmallCNN
from memory_agents.common.judger_perplexity import PerplexityReward
from memory_agents.common.judger_record import JudgerRecord, LeavingBlocks, decision_summary
from memory_agents.common.judger_recorder import JudgerRecorder, record_episodes
from memory_agents.common.judger_training import JudgerTraining
from memory_agents.common.memory_extractor import CompressiveMemoryExtractor
from memory_agents.common.observations import FlatDictObservation
from memory_agents.common.off_policy import MemoryOffPolicyAlgorithm
from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.presets import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    TransformerXLPolicy,
)
from memory_agents.common.replay_buffers import SequenceDictReplayBuffer, SequenceReplayBuffer
from memory_agents.common.replay_windows import ReplayBatch
from memory_agents.common.sequences import SequenceBatch
from memory_agents.common.value_networks import MemoryNetwork, MemoryValuePolicy
from memory_agents.common.vec_normalize_history import VecNormalizeHistory
from memory_agents.common.vec_wrappers import VecHistory, VecPreviousActionReward

__all__ = [
    "CombinedFeatures",
    "CompressiveMemoryExtractor",
    "CompressiveMemoryPolicy",
    "CompressiveTransformerPolicy",
    "FlatDictObservation",
    "GTrXLPolicy",
    "JudgerRecord",
    "JudgerRecorder",
    "JudgerTraining",
    "LeavingBlocks",
    "MaskableSequenceDictRolloutBuffer",
    "MaskableSequenceRolloutBuffer",
    "MemoryActorCriticPolicy",
    "MemoryNetwork",
    "MemoryOffPolicyAlgorithm",
    "MemoryOnPolicyAlgorithm",
    "MemoryValuePolicy",
    "PerplexityReward",
    "ReplayBatch",
    "SequenceBatch",
    "SequenceDictReplayBuffer",
    "SequenceDictRolloutBuffer",
    "SequenceReplayBuffer",
    "SequenceRolloutBuffer",
    "SmallCNN",
    "TransformerXLPolicy",
    "VecHistory",
    "VecNormalizeHistory",
    "VecPreviousActionReward",
    "decision_summary",
    "record_episodes",
]
