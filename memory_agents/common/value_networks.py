"""Networks and policies of off-policy algorithms, with a memory between the features extractor and the layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

from memory_agents.common.acting import acting_inputs
from memory_agents.common.auxiliary_loss import RunningMean, attach_loss
from memory_agents.common.building import agent_memory, check_memory_arguments, default_features_extractor
from memory_agents.common.observations import check_importance, counted_from_zero
from memory_agents.common.optimizers import fused_arguments
from memory_agents.common.replay_windows import ReplayBatch
from memory_agents.common.sequences import SequenceBatch
from memory_agents.common.threads import step_threads
from memory_agents.memory import MemoryCore, tree_clone
from memory_agents.nn.evaluating import evaluating


class MemoryNetwork(BasePolicy):
    """
    Goes before a network of values of actions, such as Stable-Baselines3's ``QNetwork``, among the bases of a class,
    and puts a memory between its features extractor and its layers.

    :param observation_space: observation space
    :param action_space: action space
    :param features_extractor: reads observations
    :param features_dim: width of what it gives
    :param memory_class: registered name of a memory core, or a class
    :param memory_kwargs: its keyword arguments
    :param kwargs: further arguments of the network
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        *,
        memory_class: str | type[MemoryCore[Any]],
        memory_kwargs: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        memory = agent_memory(memory_class, features_dim, memory_kwargs)
        super().__init__(
            observation_space,
            action_space,
            features_extractor=features_extractor,
            features_dim=memory.output_dim,
            **kwargs,
        )
        if memory.is_told:
            check_importance(observation_space)
        self.memory: MemoryCore[Any] = memory
        #: What the memory's own loss has been when windows were evaluated for learning.
        self.memory_loss = RunningMean()
        # In a tuple, because another network is no part of this one.
        self._chooser: tuple[MemoryNetwork, ...] = ()

    @abstractmethod
    def head(self, latents: th.Tensor) -> th.Tensor:
        """
        :param latents: outputs of the memory, (batch, output_dim)
        :return: what the network says of every action, (batch, ..., actions)
        """

    @abstractmethod
    def expected(self, outputs: th.Tensor) -> th.Tensor:
        """
        :param outputs: what :meth:`head` gave
        :return: expected returns, (batch, actions)
        """

    def chosen_by(self, chooser: MemoryNetwork | None) -> None:
        """
        Double Q-learning (van Hasselt et al. 2016, arXiv 1509.06461, equation 4): one network picks actions, this one
        says what they are worth.

        :param chooser: windows are evaluated for the actions alone that are best by it; ``None`` for all actions
        """
        self._chooser = () if chooser is None else (chooser,)

    def forward(self, obs: ReplayBatch) -> th.Tensor:
        """
        :param obs: windows of replayed steps
        :return: what the network says of every action at the steps asked for, (transitions, ..., actions); of one
            action, where another network chooses it (:meth:`chosen_by`)
        :raises TypeError: when given anything else
        """
        if not isinstance(obs, ReplayBatch):
            raise TypeError(
                f"{type(self).__name__} learns from windows of steps and acts with a state, which the algorithms of "
                "stable_baselines3 do not pass on; use the DQN or QRDQN of memory_agents in place of theirs"
            )
        values = self.head(self._window_outputs(obs))
        for chooser in self._chooser:
            with evaluating(chooser):
                best = chooser.expected(chooser(obs)).argmax(dim=1)
            best = best.view(-1, *(1 for _ in values.shape[1:])).expand(*values.shape[:-1], 1)
            values = values.gather(-1, best)
        return values

    def _window_outputs(self, batch: ReplayBatch) -> th.Tensor:
        """
        :return: outputs of the memory at the steps asked for, (transitions, output_dim). Learning anything from them
            minimises the memory's own loss, too
        """
        state = self.memory.with_choices(self.after(batch.burn_in), batch.window.choices)
        inputs = self._memory_inputs(batch.window)
        y, loss = self.memory.unroll_with_loss(inputs, state, batch.window.episode_starts)
        if loss is not None and loss.requires_grad:
            y = attach_loss(y, loss)
            self.memory_loss.add(loss)
        return y.flatten(0, 1)[batch.outputs]

    @th.no_grad()
    def after(self, batch: SequenceBatch) -> Any:
        """
        :param batch: windows of steps, of any length; ``None`` for the states before them stands for empty memories
        :return: the packed states after them, with the present parameters, as acting would reach them: without dropout
        """
        windows, length = batch.episode_starts.shape
        state = self.memory.initial_state(windows) if batch.states is None else batch.states
        if length == 0:
            return state
        with evaluating(self):
            state = self.memory.with_choices(state, batch.choices)
            _, state = self.memory.unroll(self._memory_inputs(batch), state, batch.episode_starts)
        return self.memory.pack_state(state)

    def act(
        self, obs: PyTorchObs, state: Any, episode_starts: th.Tensor, deterministic: bool = True, in_place: bool = False
    ) -> tuple[th.Tensor, Any]:
        """
        :param obs: observations of one step, (n_envs, ...)
        :param state: the state before the step
        :param episode_starts: whether an episode starts at this step, (n_envs,) bool
        :param deterministic: the likeliest of the choices that the memory itself makes, in place of drawn ones
        :param in_place: whether ``state`` may be overwritten, which saves a copy of it
        :return: expected returns of all actions, (n_envs, actions), and the state after the step
        """
        state = state if in_place else tree_clone(state)
        y, state = self.memory.act_(self._features(obs), state, episode_starts, deterministic)
        return self.expected(self.head(y)), state

    def _features(self, obs: PyTorchObs) -> th.Tensor:
        return self.extract_features(counted_from_zero(obs, self.observation_space), self.features_extractor)

    def _memory_inputs(self, batch: SequenceBatch) -> th.Tensor:
        return self._features(batch.observations).view(*batch.episode_starts.shape, -1)


class MemoryValuePolicy(BasePolicy):
    """
    Goes before a policy of an off-policy algorithm, such as Stable-Baselines3's ``DQNPolicy``, among the bases of a
    class whose networks are :class:`MemoryNetwork`::

        observation -> features extractor -> memory -> net_arch -> a value of every action

    The network that learns and its target have a memory each. All other arguments are those of the other base.

    :param observation_space: observation space
    :param action_space: action space
    :param lr_schedule: learning rate schedule
    :param net_arch: layers between the memory and the values (default: one of width 64)
    :param features_extractor_class: default: picked from the observation space, as for
        :class:`~memory_agents.common.MemoryActorCriticPolicy`
    :param memory_class: registered name of a memory core, or a subclass of :class:`~memory_agents.memory.MemoryCore`
    :param memory_kwargs: its keyword arguments
    :param optimizer_class: class of the optimizer
    :param optimizer_kwargs: its arguments beside the learning rate; Adam and AdamW are fused unless these say otherwise
    :param kwargs: further arguments of the other base
    :raises TypeError: when ``memory_class`` is no memory core or does not know an argument
    :raises ValueError: when ``memory_class`` is an unknown name or its arguments do not fit together, or the memory has
        to be told what matters and the observations do not tell it
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        net_arch: list[int] | None = None,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        memory_class: str | type[MemoryCore[Any]] = "compressive",
        memory_kwargs: dict[str, Any] | None = None,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_memory_arguments(memory_class, memory_kwargs, kwargs)
        self.memory_class = memory_class
        self.memory_kwargs = dict(memory_kwargs or {})
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[64] if net_arch is None else net_arch,
            features_extractor_class=features_extractor_class
            or default_features_extractor(observation_space, kwargs.get("normalize_images", True)),
            optimizer_class=optimizer_class,
            # Unlike actor-critic policies, those of values leave Adam's own epsilon as it is.
            optimizer_kwargs=fused_arguments(optimizer_class, optimizer_kwargs or {}),
            **kwargs,
        )

    @property
    @abstractmethod
    def network(self) -> MemoryNetwork:
        """The network that learns and acts."""

    @property
    @abstractmethod
    def target_network(self) -> MemoryNetwork:
        """The network that says what comes next is worth."""

    def _network_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """
        :param arguments: of the network without memory
        :return: those of the network with memory, with a features extractor of its own
        """
        arguments = self._update_features_extractor(arguments, features_extractor=None)
        return {**arguments, "memory_class": self.memory_class, "memory_kwargs": self.memory_kwargs}

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        data.update(memory_class=self.memory_class, memory_kwargs=self.memory_kwargs)
        return data

    def initial_state(self, n_envs: int) -> Any:
        """
        :param n_envs: number of environments
        :return: the state before the first step of an episode
        """
        return self.network.memory.initial_state(n_envs)

    def pack_state(self, state: Any) -> Any:
        """
        :param state: a state
        :return: the same state without what follows from it and the parameters
        """
        return self.network.memory.pack_state(state)

    def unpack_state(self, state: Any) -> Any:
        """
        :param state: a state, packed or not
        :return: the state, its caches computed with the present parameters
        """
        return self.network.memory.unpack_state(state)

    def choices(self, state: Any) -> Any:
        """
        :param state: the state after a step
        :return: what the memory itself chose at that step
        """
        return self.network.memory.choices(state)

    def act(
        self, obs: PyTorchObs, state: Any, episode_starts: th.Tensor, deterministic: bool = True, in_place: bool = False
    ) -> tuple[th.Tensor, Any]:
        """
        :param obs: observations of one step, (n_envs, ...)
        :param state: the state before the step
        :param episode_starts: whether an episode starts at this step, (n_envs,) bool
        :param deterministic: the likeliest of the choices that the memory itself makes, in place of drawn ones
        :param in_place: whether ``state`` may be overwritten, which saves a copy of it
        :return: expected returns of all actions, (n_envs, actions), and the state after the step
        """
        return self.network.act(obs, state, episode_starts, deterministic, in_place)

    def predict(
        self,
        observation: np.ndarray | dict[str, Any] | tuple[Any, ...],
        state: Any = None,
        episode_start: Iterable[bool] | np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """
        Act greedily in one or many environments; the algorithm's ``predict`` explores, too. Purely functional: neither
        ``state`` nor what a running training remembers changes.

        :param observation: one observation, or one per environment; nested ones may be as the environment gives them
        :param state: what the previous call returned; ``None`` before the first step
        :param episode_start: whether an episode starts at this step, one entry per environment (default: none starts)
        :param deterministic: the likeliest of the choices that the memory itself makes, in place of drawn ones
        :return: the action, or one per environment, and the state to pass to the next call
        :raises ValueError: when observation, state and episode_start are of different numbers of environments, or the
            observation is the ``(obs, info)`` pair of ``env.reset()``
        """
        self.set_training_mode(False)
        obs, state, episode_starts, vectorized = acting_inputs(self, observation, state, episode_start)
        if state is None:
            state = self.initial_state(len(episode_starts))
        with step_threads(self, len(episode_starts)), th.no_grad():
            values, state = self.act(obs, state, episode_starts, deterministic)
        assert isinstance(self.action_space, spaces.Discrete)
        actions = values.argmax(dim=1).cpu().numpy() + self.action_space.start
        return actions if vectorized else actions.squeeze(axis=0), state
