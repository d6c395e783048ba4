"""Recurrent cells as memory cores."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple, TypeVar

import torch as th
from torch import nn

from memory_agents.memory.core import MemoryCore, memory_registry
from memory_agents.memory.recurrent.layers import GRULayer, LayerState, LSTMLayer, RecurrentLayer
from memory_agents.memory.recurrent.segments import Segments
from memory_agents.memory.state import check_batch, tree_map
from memory_agents.nn.arguments import check_integers
from memory_agents.nn.mixed_precision import exact


class HiddenState(NamedTuple):
    """
    State of cells whose outputs are all they remember.

    :param hidden: outputs of every layer at the step before, (batch, n_layers, hidden_size)
    """

    hidden: th.Tensor


class LSTMState(NamedTuple):
    """
    State of :class:`LSTMMemory`.

    :param hidden: outputs of every layer at the step before, (batch, n_layers, hidden_size)
    :param cell: cells of every layer, (batch, n_layers, hidden_size)
    """

    hidden: th.Tensor
    cell: th.Tensor


S = TypeVar("S", bound=tuple[th.Tensor, ...])


class RecurrentMemory(MemoryCore[S]):
    """
    Layers of recurrent cells, each fed with the outputs of the one below. For learning, windows are cut where episodes
    start, and the pieces run side by side (:class:`~memory_agents.memory.recurrent.segments.Segments`).

    Derived classes set ``layer_class`` and ``n_parts``, the number of tensors in a layer's state.

    :param input_dim: width of the inputs
    :param hidden_size: width of every layer's state, and of the outputs
    :param n_layers: number of layers
    :raises ValueError: when a size is not positive
    """

    layer_class: ClassVar[type[RecurrentLayer]]
    n_parts: ClassVar[int] = 1

    def __init__(self, input_dim: int, *, hidden_size: int = 64, n_layers: int = 1) -> None:
        check_integers(hidden_size=hidden_size, n_layers=n_layers)
        super().__init__(input_dim, hidden_size)
        widths = [input_dim] + [hidden_size] * (n_layers - 1)
        self.layers = nn.ModuleList(type(self).layer_class(width, hidden_size) for width in widths)

    @staticmethod
    @abstractmethod
    def _state(*parts: th.Tensor) -> S:
        """The state of these parts, (batch, n_layers, hidden_size) each."""

    @property
    def _layers(self) -> list[RecurrentLayer]:
        return [layer for layer in self.layers if isinstance(layer, RecurrentLayer)]

    def initial_state(self, batch_size: int) -> S:
        parameter = next(self.parameters())
        size = (batch_size, len(self.layers), self.output_dim)
        return self._state(*(parameter.new_zeros(size) for _ in range(self.n_parts)))

    @th.no_grad()
    def step_(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> tuple[th.Tensor, S]:
        check_batch(state, x)
        starts = episode_starts[:, None, None]
        parts = [part.masked_fill(starts, 0) for part in state]
        x = x.to(parts[0].dtype)
        after: list[LayerState] = []
        with exact(x.device):
            for number, layer in enumerate(self._layers):
                after.append(layer.step(x, tuple(part[:, number] for part in parts)))
                x = after[-1][0]
        return x, self._stack(after)

    def unroll(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> tuple[th.Tensor, S]:
        segments = self._segments(episode_starts)
        outputs = [segments.join(pieces) for pieces in self._unroll(x, state, segments)]
        with th.no_grad():
            after, inputs = [], x
            for number, (layer, y) in enumerate(zip(self._layers, outputs, strict=True)):
                before = tuple(part[:, number] for part in state)
                after.append(layer.final_state(inputs, y, before, episode_starts))
                inputs = y
            # Whatever format autocast gives to products, what is remembered has the state's.
            kept = tree_map(lambda part, old: part.to(old.dtype), self._stack(after), state)
            return outputs[-1], kept

    def unroll_outputs(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> th.Tensor:
        segments = self._segments(episode_starts)
        return segments.join(self._unroll(x, state, segments)[-1])

    def _segments(self, episode_starts: th.Tensor) -> Segments:
        return Segments(episode_starts, self._layers[0].row_multiple)

    def _unroll(self, x: th.Tensor, state: S, segments: Segments) -> list[list[th.Tensor]]:
        """Per layer its outputs, segment beside segment."""
        check_batch(state, x)
        pieces = segments.split(x)
        outputs = []
        for number, layer in enumerate(self._layers):
            parts = [part[:, number].detach() for part in state]
            pieces = [
                layer.sequence(piece, tuple(segments.begin(group, part) for part in parts))
                for group, piece in zip(segments.groups, pieces, strict=True)
            ]
            outputs.append(pieces)
        return outputs

    def _stack(self, states: list[LayerState]) -> S:
        return self._state(*(th.stack(parts, dim=1) for parts in zip(*states, strict=True)))


@memory_registry.register("lstm")
class LSTMMemory(RecurrentMemory[LSTMState]):
    """
    Long short-term memory (Hochreiter and Schmidhuber 1997), the usual memory of reinforcement learning. See
    :class:`~memory_agents.memory.recurrent.layers.LSTMLayer`.

    :param input_dim: width of the inputs
    :param hidden_size: width of every layer's state, and of the outputs
    :param n_layers: number of layers
    :raises ValueError: when a size is not positive
    """

    layer_class = LSTMLayer
    n_parts = 2

    @staticmethod
    def _state(*parts: th.Tensor) -> LSTMState:
        return LSTMState(*parts)


@memory_registry.register("gru")
class GRUMemory(RecurrentMemory[HiddenState]):
    """
    Gated recurrent units (Cho et al. 2014, arXiv 1406.1078), with two gates and one state in place of the LSTM's three
    and two. See :class:`~memory_agents.memory.recurrent.layers.GRULayer`.

    :param input_dim: width of the inputs
    :param hidden_size: width of every layer's state, and of the outputs
    :param n_layers: number of layers
    :raises ValueError: when a size is not positive
    """

    layer_class = GRULayer

    @staticmethod
    def _state(*parts: th.Tensor) -> HiddenState:
        return HiddenState(*parts)
