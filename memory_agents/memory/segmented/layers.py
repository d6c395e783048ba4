"""What a memory of segments is made of."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch as th
from torch import nn

from memory_agents.memory.core import MemoryCore
from memory_agents.memory.rounding import ROW_MULTIPLE, row_multiple
from memory_agents.memory.segmented.state import Segment, SegmentedState
from memory_agents.memory.segmented.view import TokenView
from memory_agents.nn import position_registry, sinusoidal_table
from memory_agents.nn.arguments import check_flags, check_integers, is_integer
from memory_agents.nn.attention import head_width


class SegmentLayers(MemoryCore[SegmentedState]):
    """
    The layers of a transformer over segments, and its memory of a few vectors. Derived classes, of
    :class:`~memory_agents.memory.segmented.core.SegmentedMemory`, make ``self.input``, which maps inputs to the
    residual stream, and whatever else their layers need, and say

    - :meth:`memory_keys`: what tokens see of the memory, once per segment;
    - :meth:`token_keys` and :meth:`layer`: one layer of the transformer;
    - :meth:`write`: the next memory, from a full segment;
    - :meth:`initial_memory`, where a table of vectors as it is will not do;
    - :meth:`hides`, where the XL memory is to be seen otherwise.

    These get batches of environments while acting and batches of segments while learning. They must treat the entries
    of a batch apart, and do the same for all.

    :param input_dim: width of the inputs
    :param n_slots: vectors in the memory
    :param segment_length: steps per segment S
    :param xl_memory: tokens X of the segment before that are seen directly, at most S
    :param learned_initial_memory: whether the initial memory is a parameter, or else sinusoids, different in each slot;
        ``None`` for neither, where a derived class has an :meth:`initial_memory` of its own
    :param bptt_depth: segments that gradients reach back, as far as the window does; ``None`` for no such limit
    :param memory_replay: whether to recompute segments in the backward pass rather than to store them
    :param n_layers: number of layers
    :param n_heads: attention heads, a divisor of ``d_model`` unless ``d_head`` is given
    :param d_model: width of the residual stream, of the memory and of the outputs
    :param d_feedforward: width of the MLPs (default: twice ``d_model``)
    :param d_head: width of an attention head (default: ``d_model / n_heads``)
    :raises ValueError: when an argument is not of its kind or two do not fit together
    """

    #: Whether :meth:`write` needs the outputs of the last layer, too.
    remembers_outputs: ClassVar[bool] = False

    input: nn.Module
    initial_table: th.Tensor

    def __init__(
        self,
        input_dim: int,
        *,
        n_slots: int,
        segment_length: int,
        xl_memory: int,
        learned_initial_memory: bool | None,
        bptt_depth: int | None,
        memory_replay: bool,
        n_layers: int,
        n_heads: int,
        d_model: int,
        d_feedforward: int | None,
        d_head: int | None = None,
    ) -> None:
        sizes = {"segment_length": segment_length, "n_layers": n_layers, "n_heads": n_heads, "d_model": d_model}
        optional = {"bptt_depth": bptt_depth, "d_feedforward": d_feedforward, "d_head": d_head}
        check_integers(**sizes, **{name: value for name, value in optional.items() if value is not None})
        if not is_integer(xl_memory) or not 0 <= xl_memory <= segment_length:
            raise ValueError(
                f"xl_memory must be an integer from 0 to segment_length={segment_length}, got {xl_memory!r}"
            )
        check_flags(memory_replay=memory_replay)
        if type(self).initial_memory is SegmentLayers.initial_memory:
            check_flags(learned_initial_memory=learned_initial_memory)
        head_width(d_model, n_heads, d_head)
        super().__init__(input_dim, d_model)
        self.n_slots = n_slots
        self.segment_length = segment_length
        self.xl_memory = xl_memory
        self.bptt_depth = bptt_depth
        self.memory_replay = memory_replay
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.d_feedforward = 2 * d_model if d_feedforward is None else d_feedforward
        #: Tokens a layer sees at most, R = X + S
        self.n_rows = xl_memory + segment_length
        #: Distances 0 to R - 1, and as many unused ones as it takes for products with tables of positions to round
        #: alike whatever runs beside a segment.
        self.n_distances = self.n_rows + -self.n_rows % ROW_MULTIPLE
        #: Numbers of segments that run side by side are multiples of this, see ``memory/rounding.py`` for why.
        self.row_multiple = row_multiple(d_model, self.d_feedforward)
        if learned_initial_memory:
            self.initial_table = nn.Parameter(th.randn(n_slots, d_model))
        elif learned_initial_memory is not None:
            self.register_buffer("initial_table", sinusoidal_table(n_slots, d_model), persistent=False)

    def initial_memory(self) -> th.Tensor:
        """
        :return: the memory that an episode begins with, (slots, d_model), with gradient where it is learned
        """
        return self.initial_table

    @abstractmethod
    def memory_keys(self, memory: th.Tensor) -> list[tuple[th.Tensor, th.Tensor]]:
        """
        What tokens see of the memory; kept until the memory is written.

        :param memory: (n, slots, d_model)
        :return: per layer keys and values, each (n, heads, m, d_head), m being 0 in a layer that sees no memory
        """

    @abstractmethod
    def token_keys(self, layer: int, hidden: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param layer: number of the layer
        :param hidden: its inputs for some tokens, (n, tokens, d_model)
        :return: their keys and values, each (n, heads, tokens, d_head)
        """

    @abstractmethod
    def layer(self, layer: int, hidden: th.Tensor, keys: th.Tensor, values: th.Tensor, view: TokenView) -> th.Tensor:
        """
        :param layer: number of the layer
        :param hidden: its inputs, (n, queries, d_model)
        :param keys: of [memory | tokens], those of the inputs included, (n, heads, m + R, d_head)
        :param values: of the same
        :param view: which tokens each query sees; the memory is always seen
        :return: its outputs, (n, queries, d_model)
        """

    @abstractmethod
    def write(self, segment: Segment) -> th.Tensor:
        """
        :param segment: a full segment
        :return: the memory that the next segment reads, (n, slots, d_model)
        """

    def hides(self, positions: th.Tensor, has_previous: th.Tensor) -> th.Tensor:
        """
        :param positions: where queries are in their segments, (n or 1, queries) int64
        :param has_previous: whether there was a segment before in the episode, (n,) bool
        :return: whether a query must not see a row of [XL memory | segment], (n, queries, R) bool
        """
        row = th.arange(self.n_rows, device=positions.device)
        later = row > positions[..., None] + self.xl_memory
        return later | ((row < self.xl_memory) & ~has_previous[:, None, None])


def check_looked_up(positions: str) -> None:
    """
    :param positions: name of a registered kind of positions
    :raises ValueError: when it is unknown, or turns queries and keys according to their times
    """
    if position_registry[positions].needs_times:
        known = ", ".join(repr(name) for name, kind in position_registry.items() if not kind.needs_times)
        raise ValueError(
            f"positions={positions!r} turns queries and keys according to their times, but a memory of segments has "
            f"vectors that belong to no time; use one of {known}"
        )
