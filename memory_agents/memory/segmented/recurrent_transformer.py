"""The Recurrent Memory Transformer as a memory core."""

from __future__ import annotations

import torch as th
from torch import nn

from memory_agents.memory.core import memory_registry
from memory_agents.memory.segmented.core import SegmentedMemory
from memory_agents.memory.segmented.layers import check_looked_up
from memory_agents.memory.segmented.state import Segment
from memory_agents.memory.segmented.view import TokenView
from memory_agents.nn import HIDDEN, GatedBlock
from memory_agents.nn.arguments import check_flags, check_integers

#: Gates whose outputs lie between their first argument and a number between -1 and 1.
BOUNDED = ("gru", "nbrc")


@memory_registry.register("rmt")
class RecurrentTransformerMemory(SegmentedMemory):
    """
    Recurrent Memory Transformer (Bulatov et al. 2022, arXiv 2207.06881, section 3.2), in streaming form. A segment's
    input is ``[read memory; tokens; write memory]``, both ends being the memory tokens that the segment before has
    written, and all of it passes through the same layers. Read tokens see one another; a token sees the read tokens and
    the tokens up to itself; write tokens see everything, and what the last layer makes of them is the next memory.

    As nothing in the read block depends on the segment, it passes through the layers once, before the segment's first
    token, and its keys and values are kept; the write block does so once, after the last. With GRU gates a write starts
    close to the identity: memory tokens stay what they are until training opens the gates.

    Relative positions are distances for tokens, from the end of the segment for the write block, and the number of the
    slot for memory tokens, which have no place in time; those of the write block are told from those of the read block.

    :param input_dim: width of the inputs
    :param n_memory_tokens: memory tokens m
    :param segment_length: steps per segment S
    :param xl_memory: tokens of the segment before that are seen directly, as in Transformer-XL, at most S
    :param learned_initial_memory: whether the initial memory is a parameter, or else sinusoids, different in each token
    :param bptt_depth: segments that gradients reach back, as far as the window does; ``None`` for no such limit
    :param memory_replay: whether to recompute segments in the backward pass rather than to store them
    :param n_layers: number of layers
    :param n_heads: attention heads, a divisor of ``d_model`` unless ``d_head`` is given
    :param d_model: width of the residual stream and of the outputs
    :param d_feedforward: width of the MLPs (default: twice ``d_model``)
    :param gate_bias: initial bias of the gates, None for the gate's own default; larger values start closer to the
        identity
    :param gating: name of a registered gate; ``"none"`` for residual sums
    :param norm: ``"pre"``, layer norm on the inputs of submodules (identity map reordering), or ``"post"``, on the sums
        after them, as in the original Transformer-XL
    :param positions: ``"sinusoidal"`` (Transformer-XL) or ``"learned"``
    :param feedforward: name of a registered MLP
    :param d_head: width of an attention head (default: ``d_model / n_heads``)
    :param dropout: probability of dropping a number while training; acting, which is evaluation, drops nothing
    :param mogrifier_rounds: rounds of mutual modulation before each gate (Melis et al. 2020, arXiv 1909.01792)
    :param final_norm: layer norm on what comes out of the last layer, outputs and memory tokens (default: where they
        could grow from segment to segment without end: always with ``norm="pre"``, except for the gates ``"gru"`` and
        ``"nbrc"`` without mogrifier)
    :raises ValueError: when an argument is not of its kind, two do not fit together, or a name is unknown
    """

    def __init__(
        self,
        input_dim: int,
        *,
        n_memory_tokens: int = 8,
        segment_length: int = 32,
        xl_memory: int = 0,
        learned_initial_memory: bool = True,
        bptt_depth: int | None = None,
        memory_replay: bool = False,
        n_layers: int = 2,
        n_heads: int = 4,
        d_model: int = 64,
        d_feedforward: int | None = None,
        gate_bias: float | None = None,
        gating: str = "gru",
        norm: str = "pre",
        positions: str = "sinusoidal",
        feedforward: str = "relu",
        d_head: int | None = None,
        dropout: float = 0.0,
        mogrifier_rounds: int = 0,
        final_norm: bool | None = None,
    ) -> None:
        check_integers(n_memory_tokens=n_memory_tokens)
        check_looked_up(positions)
        super().__init__(
            input_dim,
            n_slots=n_memory_tokens,
            segment_length=segment_length,
            xl_memory=xl_memory,
            learned_initial_memory=learned_initial_memory,
            bptt_depth=bptt_depth,
            memory_replay=memory_replay,
            n_layers=n_layers,
            n_heads=n_heads,
            d_model=d_model,
            d_feedforward=d_feedforward,
            d_head=d_head,
        )
        self.input = nn.Linear(input_dim, d_model)
        # Distances 0 to R, then the slots of the read block, then those of the write block.
        n_positions = self.n_rows + 1 + 2 * n_memory_tokens
        self.blocks = nn.ModuleList(
            GatedBlock(
                d_model,
                n_heads,
                self.d_feedforward,
                n_positions,
                gate_bias,
                gating=gating,
                norm=norm,
                positions=positions,
                feedforward=feedforward,
                d_head=d_head,
                dropout=dropout,
                mogrifier_rounds=mogrifier_rounds,
            )
            for _ in range(n_layers)
        )
        if final_norm is not None:
            check_flags(final_norm=final_norm)
        else:
            final_norm = norm == "pre" and (gating not in BOUNDED or mogrifier_rounds > 0)
        self.norm = nn.LayerNorm(d_model) if final_norm else nn.Identity()

    def _blocks(self) -> list[GatedBlock]:
        return [block for block in self.blocks if isinstance(block, GatedBlock)]

    def _queries(self, block: GatedBlock, hidden: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
        """Content queries, and position logits of distances, of the read block and of the write block."""
        queries, position_logits = block.queries(hidden)
        assert position_logits is not None
        tokens, read, write = th.split(position_logits, [self.n_rows + 1, self.n_slots, self.n_slots], dim=-1)
        return queries, tokens, read, write

    def memory_keys(self, memory: th.Tensor) -> list[tuple[th.Tensor, th.Tensor]]:
        caches = []
        for number, block in enumerate(self._blocks()):
            caches.append(block.keys_and_values(memory))
            if number + 1 < self.n_layers:
                queries, _, read, _ = self._queries(block, memory)
                memory = block(memory, queries, *caches[-1], read)
        return caches

    def token_keys(self, layer: int, hidden: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        return self._blocks()[layer].keys_and_values(hidden)

    def layer(self, layer: int, hidden: th.Tensor, keys: th.Tensor, values: th.Tensor, view: TokenView) -> th.Tensor:
        block = self._blocks()[layer]
        queries, tokens, read, _ = self._queries(block, hidden)
        outputs: th.Tensor = block(hidden, queries, keys, values, th.cat([read, view.bias(tokens)], dim=3))
        if layer + 1 == self.n_layers:
            outputs = self.norm(outputs)
        return outputs

    def write(self, segment: Segment) -> th.Tensor:
        hidden = segment.memory
        row = th.arange(self.n_rows, device=hidden.device)
        unseen = ((row < self.xl_memory) & ~segment.has_previous[:, None])[:, None, None]
        for block, keys, values in zip(self._blocks(), segment.keys, segment.values, strict=True):
            queries, tokens, read, write = self._queries(block, hidden)
            # The last row is at distance 1, the first at distance R.
            bias = th.cat([read, tokens[..., 1:].flip(-1).masked_fill(unseen, HIDDEN), write], dim=3)
            write_keys, write_values = block.keys_and_values(hidden)
            keys, values = th.cat([keys, write_keys], dim=2), th.cat([values, write_values], dim=2)
            hidden = block(hidden, queries, keys, values, bias)
        memory: th.Tensor = self.norm(hidden)
        return memory
