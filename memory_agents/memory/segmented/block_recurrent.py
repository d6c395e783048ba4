"""The Block-Recurrent Transformer as a memory core."""

from __future__ import annotations

import torch as th
from torch import nn

from memory_agents.memory.core import memory_registry
from memory_agents.memory.segmented.core import SegmentedMemory
from memory_agents.memory.segmented.layers import check_looked_up
from memory_agents.memory.segmented.state import Segment
from memory_agents.memory.segmented.view import TokenView
from memory_agents.nn import GatedBlock, RecurrentBlock, RecurrentStates
from memory_agents.nn.arguments import check_integers, is_integer


@memory_registry.register("block_recurrent")
class BlockRecurrentMemory(SegmentedMemory):
    """
    Block-Recurrent Transformer (Hutchins et al. 2022, arXiv 2203.07852), in streaming form: a Transformer-XL over
    blocks of S steps, one of whose layers is recurrent. In every layer tokens see themselves and the S tokens before,
    be they of this block or of the one before: a sliding window. In the recurrent layer they also see state vectors, as
    these were at the block's start. At its end the states move on (:class:`~memory_agents.nn.RecurrentStates`): they
    attend to one another and, as in the authors' code, to all that the layer has keys of, this block and the one
    before.

    :param input_dim: width of the inputs
    :param n_states: state vectors
    :param segment_length: steps per block S, and reach of the sliding window
    :param recurrent_layer: which layer is recurrent, counted from 0 (default: the last but one, or the only one; the
        paper's is the tenth of twelve)
    :param state_gate: ``"fixed"``, the authors' best, or ``"lstm"``
    :param state_gate_bias: initial bias of this gate (default: the gate's own)
    :param configuration: what moves states on: ``"skip"``, the authors' best, is attention alone; ``"single"`` is an
        MLP on what attention found, ``"dual"`` one after the other with a gate each
    :param learned_initial_memory: whether the initial states are a parameter, or else sinusoids, different in each
    :param bptt_depth: blocks that gradients reach back, as far as the window does; ``None`` for no such limit
    :param memory_replay: whether to recompute blocks in the backward pass rather than to store them
    :param n_layers: number of layers
    :param n_heads: attention heads, a divisor of ``d_model``
    :param d_model: width of the residual stream, of the states and of the outputs
    :param d_feedforward: width of the MLPs (default: twice ``d_model``)
    :param gating: name of a registered gate, for the tokens
    :param gate_bias: initial bias of these gates (default: the gate's own)
    :param positions: name of a registered kind of relative positions that is looked up by distance
    :param feedforward: name of a registered MLP, for the tokens
    :raises ValueError: when an argument is not of its kind or two do not fit together
    """

    def __init__(
        self,
        input_dim: int,
        *,
        n_states: int = 8,
        segment_length: int = 16,
        recurrent_layer: int | None = None,
        state_gate: str = "fixed",
        state_gate_bias: float | None = None,
        configuration: str = "skip",
        learned_initial_memory: bool = True,
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
        check_integers(n_states=n_states, segment_length=segment_length)
        check_looked_up(positions)
        super().__init__(
            input_dim,
            n_slots=n_states,
            segment_length=segment_length,
            xl_memory=segment_length,
            learned_initial_memory=learned_initial_memory,
            bptt_depth=bptt_depth,
            memory_replay=memory_replay,
            n_layers=n_layers,
            n_heads=n_heads,
            d_model=d_model,
            d_feedforward=d_feedforward,
        )
        if recurrent_layer is None:
            recurrent_layer = max(n_layers - 2, 0)
        if not is_integer(recurrent_layer) or recurrent_layer not in range(n_layers):
            raise ValueError(
                f"recurrent_layer must be an integer from 0 to {n_layers - 1}, as n_layers={n_layers}; "
                f"got {recurrent_layer!r}"
            )
        self.recurrent_layer = recurrent_layer
        if learned_initial_memory:
            with th.no_grad():
                # As small as in the authors' code, so that the first blocks are not drowned by it.
                self.initial_table.mul_(0.1)
        self.input = nn.Linear(input_dim, d_model)
        shape = (d_model, n_heads, self.d_feedforward, self.n_distances, gate_bias)
        states = RecurrentStates(
            n_states,
            d_model,
            n_heads,
            self.d_feedforward,
            gate=state_gate,
            gate_bias=state_gate_bias,
            configuration=configuration,
        )
        self.blocks = nn.ModuleList(
            RecurrentBlock(*shape, states=states, gating=gating, positions=positions, feedforward=feedforward)
            if number == recurrent_layer
            else GatedBlock(*shape, gating=gating, positions=positions, feedforward=feedforward)
            for number in range(n_layers)
        )

    def _blocks(self) -> list[GatedBlock]:
        return [block for block in self.blocks if isinstance(block, GatedBlock)]

    @property
    def _states(self) -> RecurrentStates:
        block = self.blocks[self.recurrent_layer]
        assert isinstance(block, RecurrentBlock)
        return block.states

    def memory_keys(self, memory: th.Tensor) -> list[tuple[th.Tensor, th.Tensor]]:
        nothing = memory.new_zeros(memory.shape[0], self.n_heads, 0, self.output_dim // self.n_heads)
        caches = [(nothing, nothing)] * self.n_layers
        caches[self.recurrent_layer] = self._states.keys_and_values(memory)
        return caches

    def token_keys(self, layer: int, hidden: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        return self._blocks()[layer].keys_and_values(hidden)

    def layer(self, layer: int, hidden: th.Tensor, keys: th.Tensor, values: th.Tensor, view: TokenView) -> th.Tensor:
        block = self._blocks()[layer]
        queries, position_logits = block.queries(hidden)
        assert position_logits is not None
        outputs: th.Tensor = block(hidden, queries, keys, values, view.bias(position_logits))
        return outputs

    def hides(self, positions: th.Tensor, has_previous: th.Tensor) -> th.Tensor:
        row = th.arange(self.n_rows, device=positions.device)
        return super().hides(positions, has_previous) | (row < positions[..., None])

    def write(self, segment: Segment) -> th.Tensor:
        row = th.arange(self.n_rows, device=segment.memory.device)
        unseen = (row < self.xl_memory) & ~segment.has_previous[:, None]
        keys, values = segment.keys[self.recurrent_layer], segment.values[self.recurrent_layer]
        memory: th.Tensor = self._states(segment.memory, keys, values, unseen)
        return memory
