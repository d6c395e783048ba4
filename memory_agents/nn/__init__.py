"""Building blocks in plain PyTorch: attention, gates, compression functions, cells; no reinforcement learning."""

from memory_agents.nn.attention import HIDDEN, RelativeAttention, sinusoidal_table
from memory_agents.nn.bistable import BRCCell, NBRCCell
from memory_agents.nn.block import GatedBlock
from memory_agents.nn.compression import Compression, ConvolutionCompression, compression_registry
from memory_agents.nn.gates import GRUGate
from memory_agents.nn.registry import Registry

__all__ = [
    "HIDDEN",
    "BRCCell",
    "Compression",
    "ConvolutionCompression",
    "GRUGate",
    "GatedBlock",
    "NBRCCell",
    "Registry",
    "RelativeAttention",
    "compression_registry",
    "sinusoidal_table",
]
