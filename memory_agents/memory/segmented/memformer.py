"""Memformer as a memory core."""

from __future__ import annotations

import torch as th
from torch import nn

from memory_agents.memory.core import memory_registry
from memory_agents.memory.segmented.core import SegmentedMemory
from memory_agents.memory.segmented.layers import check_looked_up
from memory_agents.memory.segmented.state import Segment
from memory_agents.memory.segmented.view import TokenView
from memory_agents.nn import SlotBlock, SlotWriting
from memory_agents.nn.arguments import check_integers


@memory_registry.register("memformer")
class MemformerMemory(SegmentedMemory):
    """
    Memformer (Wu et al. 2020, arXiv 2010.06891, section 3), in streaming form: a few slots, which tokens read in every
    layer, between self-attention and MLP (:class:`~memory_agents.nn.SlotBlock`). At a segment's end each slot attends
    to itself and to the outputs of the segment's tokens, and forgets a little (:class:`~memory_agents.nn.SlotWriting`).

    :param input_dim: width of the inputs
    :param n_slots: memory slots k
    :param segment_length: steps per segment S
    :param xl_memory: tokens of the segment before that are seen directly, as in Transformer-XL, at most S
    :param temperature: of the attention that writes; below 1 a slot concentrates on few tokens or on itself
    :param forgetting: whether every write moves slots towards their forgetting vectors
    :param forgetting_scale: initial length of these, about the share of a slot that a write makes it forget at first
    :param bptt_depth: segments that gradients reach back, as far as the window does; ``None`` for no such limit
    :param memory_replay: whether to recompute segments in the backward pass rather than to store them
    :param n_layers: number of layers
    :param n_heads: attention heads, a divisor of ``d_model``
    :param d_model: width of the residual stream, of the slots and of the outputs
    :param d_feedforward: width of the MLPs (default: twice ``d_model``)
    :param gating: name of a registered gate
    :param gate_bias: initial bias of the gates (default: the gate's own)
    :param positions: name of a registered kind of relative positions that is looked up by distance
    :param feedforward: name of a registered MLP
    :raises ValueError: when an argument is not of its kind or two do not fit together
    """

    remembers_outputs = True

    def __init__(
        self,
        input_dim: int,
        *,
        n_slots: int = 8,
        segment_length: int = 32,
        xl_memory: int = 0,
        temperature: float = 0.25,
        forgetting: bool = True,
        forgetting_scale: float = 0.1,
        bptt_depth: int | None = None,
        memory_replay: bool = False,
        n_layers: int = 2,
        n_heads: int = 4,
        d_model: int = 64,
        d_feedforward: int | None = None,
        gating: str = "gru",
        gate_bias: float | None = None,
        positions: str = "sinusoidal",
        feedforward: str = "relu",
    ) -> None:
        check_integers(n_slots=n_slots)
        check_looked_up(positions)
        super().__init__(
            input_dim,
            n_slots=n_slots,
            segment_length=segment_length,
            xl_memory=xl_memory,
            learned_initial_memory=None,
            bptt_depth=bptt_depth,
            memory_replay=memory_replay,
            n_layers=n_layers,
            n_heads=n_heads,
            d_model=d_model,
            d_feedforward=d_feedforward,
        )
        self.input = nn.Linear(input_dim, d_model)
        self.blocks = nn.ModuleList(
            SlotBlock(
                d_model,
                n_heads,
                self.d_feedforward,
                self.n_distances,
                gate_bias,
                gating=gating,
                positions=positions,
                feedforward=feedforward,
            )
            for _ in range(n_layers)
        )
        self.writing = SlotWriting(
            n_slots,
            d_model,
            n_heads,
            temperature=temperature,
            forgetting=forgetting,
            forgetting_scale=forgetting_scale,
        )

    def _blocks(self) -> list[SlotBlock]:
        return [block for block in self.blocks if isinstance(block, SlotBlock)]

    def initial_memory(self) -> th.Tensor:
        return self.writing.initial_slots()

    def memory_keys(self, memory: th.Tensor) -> list[tuple[th.Tensor, th.Tensor]]:
        return [block.reading.keys_and_values(memory) for block in self._blocks()]

    def token_keys(self, layer: int, hidden: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        return self._blocks()[layer].keys_and_values(hidden)

    def layer(self, layer: int, hidden: th.Tensor, keys: th.Tensor, values: th.Tensor, view: TokenView) -> th.Tensor:
        block, slots = self._blocks()[layer], self.n_slots
        queries, position_logits = block.queries(hidden)
        assert position_logits is not None
        outputs: th.Tensor = block(
            hidden,
            queries,
            keys[:, :, slots:],
            values[:, :, slots:],
            view.bias(position_logits),
            keys[:, :, :slots],
            values[:, :, :slots],
        )
        return outputs

    def write(self, segment: Segment) -> th.Tensor:
        memory: th.Tensor = self.writing(segment.memory, segment.recent[-1][:, self.xl_memory :])
        return memory
