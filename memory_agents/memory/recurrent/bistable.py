"""Bistable cells as memory cores."""

from __future__ import annotations

from typing import ClassVar

import torch as th
import torch.nn.functional as F

from memory_agents.memory.core import memory_registry
from memory_agents.memory.recurrent.core import HiddenState, RecurrentMemory
from memory_agents.memory.recurrent.layers import LayerState, RecurrentLayer
from memory_agents.memory.rounding import row_multiple
from memory_agents.nn import BRCCell, NBRCCell
from memory_agents.nn.bistable import BistableCell
from memory_agents.nn.tracing import is_traced


class BistableLayer(RecurrentLayer):
    """
    A layer of bistable cells. No kernel computes them, so sequences are loops over steps; the inputs of all steps are
    projected at once before. (Scripted, the loop was a tenth to a quarter faster, but ``torch.jit`` is deprecated.)

    Near the border between two stable states a difference in the last bit grows from step to step, so acting must equal
    learning bit by bit. On the CPU it does if whole vectors and enough rows are computed in both, and from 6 neurons
    up: in products of very few columns the last bit depends on the row.

    :param input_dim: width of the inputs
    :param hidden_size: width of the state and of the outputs
    """

    cell_class: ClassVar[type[BistableCell]]

    def __init__(self, input_dim: int, hidden_size: int) -> None:
        super().__init__(input_dim, hidden_size)
        self.cell = type(self).cell_class(input_dim, hidden_size)
        self.row_multiple = row_multiple(hidden_size)

    def step(self, x: th.Tensor, state: LayerState) -> LayerState:
        if is_traced():
            return (self.cell(self.cell.project(x), state[0]),)
        filling = (0, 0, 0, -len(x) % self.row_multiple)
        h = F.pad(state[0], filling).contiguous()
        return (self.cell(self.cell.project(F.pad(x, filling)), h)[: len(x)],)

    def sequence(self, x: th.Tensor, state: LayerState) -> th.Tensor:
        h, outputs = state[0], []
        for projected in self.cell.project(x).unbind(0):
            h = self.cell(projected, h)
            outputs.append(h)
        return th.stack(outputs)


class BRCLayer(BistableLayer):
    """A layer of :class:`~memory_agents.nn.BRCCell`."""

    cell_class = BRCCell


class NBRCLayer(BistableLayer):
    """A layer of :class:`~memory_agents.nn.NBRCCell`."""

    cell_class = NBRCCell


@memory_registry.register("brc")
class BRCMemory(RecurrentMemory[HiddenState]):
    """
    Bistable recurrent cells (Vecoven et al. 2020, arXiv 2006.05252), each of which remembers on its own. See
    :class:`~memory_agents.nn.BRCCell`.

    :param input_dim: width of the inputs
    :param hidden_size: width of every layer's state, and of the outputs
    :param n_layers: number of layers
    :raises ValueError: when a size is not positive
    """

    layer_class = BRCLayer

    @staticmethod
    def _state(*parts: th.Tensor) -> HiddenState:
        return HiddenState(*parts)


@memory_registry.register("nbrc")
class NBRCMemory(RecurrentMemory[HiddenState]):
    """
    Recurrently neuromodulated bistable cells (Vecoven et al. 2020, arXiv 2006.05252), which decide on one another's
    memory. See :class:`~memory_agents.nn.NBRCCell`.

    :param input_dim: width of the inputs
    :param hidden_size: width of every layer's state, and of the outputs
    :param n_layers: number of layers
    :raises ValueError: when a size is not positive
    """

    layer_class = NBRCLayer

    @staticmethod
    def _state(*parts: th.Tensor) -> HiddenState:
        return HiddenState(*parts)
