"""Building blocks in plain PyTorch: attention, gates, compression functions, cells; no reinforcement learning."""

from memory_agents.nn.attention import (
    LearnedPositionAttention,
    RelativeAttention,
    SinusoidalAttention,
    position_registry,
    sinusoidal_table,
)
from memory_agents.nn.bistable import BRCCell, NBRCCell
from memory_agents.nn.bistable_gate import NBRCGate
from memory_agents.nn.block import GatedBlock
from memory_agents.nn.compression import (
    Compression,
    ConvolutionCompression,
    DilatedCompression,
    MaxCompression,
    MeanCompression,
    MostUsedCompression,
    compression_registry,
    neighbours,
)
from memory_agents.nn.compression_loss import (
    AttentionLoss,
    AutoencodingLoss,
    CompressedBlocks,
    CompressionLoss,
    compression_loss_registry,
)
from memory_agents.nn.feedforward import FeedForward, GatedFeedForward, feedforward_registry
from memory_agents.nn.gates import (
    Gate,
    GRUGate,
    HighwayGate,
    InputGate,
    OutputGate,
    ResidualSum,
    SigTanhGate,
    gate_registry,
)
from memory_agents.nn.judger import CompressionJudger
from memory_agents.nn.mogrifier import Mogrifier
from memory_agents.nn.reading import HIDDEN, relative_shift
from memory_agents.nn.recurrent_states import RecurrentBlock, RecurrentStates, StateGate, state_gate_registry
from memory_agents.nn.registry import Registry
from memory_agents.nn.rotary import RotaryAttention
from memory_agents.nn.slots import SlotBlock, SlotReading, SlotWriting
from memory_agents.nn.window_attention import Band, attend_window, chunk_length

__all__ = [
    "HIDDEN",
    "AttentionLoss",
    "AutoencodingLoss",
    "BRCCell",
    "Band",
    "CompressedBlocks",
    "Compression",
    "CompressionJudger",
    "CompressionLoss",
    "ConvolutionCompression",
    "DilatedCompression",
    "FeedForward",
    "GRUGate",
    "Gate",
    "GatedBlock",
    "GatedFeedForward",
    "HighwayGate",
    "InputGate",
    "LearnedPositionAttention",
    "MaxCompression",
    "MeanCompression",
    "Mogrifier",
    "MostUsedCompression",
    "NBRCCell",
    "NBRCGate",
    "OutputGate",
    "RecurrentBlock",
    "RecurrentStates",
    "Registry",
    "RelativeAttention",
    "ResidualSum",
    "RotaryAttention",
    "SigTanhGate",
    "SinusoidalAttention",
    "SlotBlock",
    "SlotReading",
    "SlotWriting",
    "StateGate",
    "attend_window",
    "chunk_length",
    "compression_loss_registry",
    "compression_registry",
    "feedforward_registry",
    "gate_registry",
    "neighbours",
    "position_registry",
    "relative_shift",
    "sinusoidal_table",
    "state_gate_registry",
]
