"""The contract that every memory keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch as th
from torch import nn

from memory_agents.memory.state import tree_clone
from memory_agents.nn.registry import Registry

S = TypeVar("S")


class MemoryCore(nn.Module, ABC, Generic[S]):
    """
    A recurrent network over feature vectors with two ways to run it that give the same numbers: one step at a time for
    acting, a whole window at once for learning.

    Its state is a tree of tensors (nested tuples, named tuples, dictionaries) whose first dimension is the batch. A
    state is never part of ``state_dict``. An episode start at a step means: forget everything before that step.

    :param input_dim: width D of the inputs
    :param output_dim: width F of the outputs
    """

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.output_dim = output_dim

    @property
    def is_told(self) -> bool:
        """Whether the first of the inputs is no feature, but tells if a step matters."""
        return False

    @property
    def decides_together(self) -> bool:
        """Whether it makes choices in one batch entry that depend on the others."""
        return False

    @property
    def has_loss(self) -> bool:
        """Whether :meth:`unroll_with_loss` gives something to minimise."""
        return False

    @abstractmethod
    def initial_state(self, batch_size: int) -> S:
        """
        :param batch_size: number of independent time lines
        :return: the state before the first step of an episode, on the device of the parameters
        """

    @abstractmethod
    def step_(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> tuple[th.Tensor, S]:
        """
        One step of acting that may overwrite ``state``, without gradients. The cost does not depend on how long an
        episode has lasted. Autocast is for learning: the library's cores act in the format of their parameters.

        :param x: inputs, (batch, input_dim)
        :param state: the state after the previous step; not to be used afterwards
        :param episode_starts: whether an episode starts at this step, (batch,) bool
        :return: outputs (batch, output_dim), and the state after the step
        """

    def step(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> tuple[th.Tensor, S]:
        """
        :meth:`step_` that leaves ``state`` as it was.

        :param x: inputs, (batch, input_dim)
        :param state: the state after the previous step
        :param episode_starts: whether an episode starts at this step, (batch,) bool
        :return: outputs (batch, output_dim), and the state after the step
        """
        return self.step_(x, tree_clone(state), episode_starts)

    def act_(self, x: th.Tensor, state: S, episode_starts: th.Tensor, deterministic: bool) -> tuple[th.Tensor, S]:
        """
        :meth:`step_` of a core that makes choices of its own; others have nothing to override here.

        :param x: inputs, (batch, input_dim)
        :param state: the state after the previous step; not to be used afterwards
        :param episode_starts: whether an episode starts at this step, (batch,) bool
        :param deterministic: the likeliest choices, as :meth:`step_` makes them, in place of drawn ones
        :return: outputs (batch, output_dim), and the state after the step
        """
        return self.step_(x, state, episode_starts)

    def choices(self, state: S) -> Any:
        """
        :param state: the state after a step
        :return: what the core chose at that step, to be stored beside it: a tree of tensors, (batch,) each; empty for
            cores that make no choices
        """
        return ()

    def choose(self, x: th.Tensor, state: S, episode_starts: th.Tensor, deterministic: bool) -> Any:
        """
        The choices that :meth:`act_` would make in a window, for learning from it at once (:meth:`with_choices`).

        :param x: inputs, (batch, window, input_dim)
        :param state: the state before the window (packed or not); not changed
        :param episode_starts: whether an episode starts at a step, (batch, window) bool
        :param deterministic: the likeliest choices in place of drawn ones
        :return: what is chosen at its steps, (batch, window) each; empty for cores that make no choices
        """
        return ()

    def with_choices(self, state: S, choices: Any) -> S:
        """
        :param state: the state before a window
        :param choices: what was chosen at its steps, (batch, window) each
        :return: a state from which :meth:`unroll` makes the same choices
        """
        return state

    def judge_parameters(self) -> list[nn.Parameter]:
        """
        :return: parameters that choices are made with, which nothing learned from the outputs changes
        """
        return []

    @abstractmethod
    def unroll(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> tuple[th.Tensor, S]:
        """
        A window of steps at once, with gradients to the parameters and to ``x``, none to ``state``. Same outputs and
        same final state as as many calls of :meth:`step`.

        :param x: inputs, (batch, window, input_dim)
        :param state: the state before the window (packed or not); not changed
        :param episode_starts: whether an episode starts at a step, (batch, window) bool
        :return: outputs (batch, window, output_dim), and the state after the window, detached
        """

    def unroll_outputs(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> th.Tensor:
        """
        The outputs of :meth:`unroll` alone; a core whose final state costs extra work skips that work here.

        :param x: inputs, (batch, window, input_dim)
        :param state: the state before the window (packed or not); not changed
        :param episode_starts: whether an episode starts at a step, (batch, window) bool
        :return: outputs, (batch, window, output_dim)
        """
        return self.unroll(x, state, episode_starts)[0]

    def unroll_with_loss(self, x: th.Tensor, state: S, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor | None]:
        """
        :meth:`unroll_outputs` for learning, with a loss that the core itself wants minimised, whatever else is learned.

        :param x: inputs, (batch, window, input_dim)
        :param state: the state before the window (packed or not); not changed
        :param episode_starts: whether an episode starts at a step, (batch, window) bool
        :return: outputs, (batch, window, output_dim), and a scalar, or ``None`` where there is nothing to minimise
        """
        return self.unroll_outputs(x, state, episode_starts), None

    def unroll_segment(
        self, x: th.Tensor, state: S, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, S, th.Tensor | None]:
        """
        :meth:`unroll_with_loss` for windows of one time line that are learned from one after the other, as in truncated
        backpropagation through time: nothing is computed that only :meth:`step_` would need.

        :param x: inputs, (batch, window, input_dim)
        :param state: the state before the window (packed or not); not changed
        :param episode_starts: whether an episode starts at a step, (batch, window) bool
        :return: outputs, (batch, window, output_dim), the state after the window, packed and detached, and a scalar, or
            ``None`` where there is nothing to minimise
        """
        if not (self.has_loss and th.is_grad_enabled()):
            outputs, after = self.unroll(x, state, episode_starts)
            return outputs, self.pack_state(after), None
        outputs, loss = self.unroll_with_loss(x, state, episode_starts)
        with th.no_grad():
            _, after = self.unroll(x, state, episode_starts)
        return outputs, self.pack_state(after), loss

    def pack_state(self, state: S) -> S:
        """
        The part of a state that must be stored: everything but what follows from it and the parameters.

        :param state: a state
        :return: the same state without its caches
        """
        return state

    def unpack_state(self, state: S) -> S:
        """
        Undo :meth:`pack_state`, or bring a state's caches up to date with changed parameters.

        :param state: a state, packed or not
        :return: a state that :meth:`step_` accepts, its caches computed with the present parameters
        """
        return state


#: Cores by name, as ``memory_class`` takes them. Entries are called as ``entry(input_dim, **memory_kwargs)``.
memory_registry: Registry[type[MemoryCore[Any]]] = Registry("memory core")
