"""Actor-critic policies with a memory between the features extractor and the heads."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

from memory_agents.common.acting import acting_inputs, checked_starts
from memory_agents.common.actions import checked_masks, env_actions, masked_logits
from memory_agents.common.auxiliary_loss import RunningMean, attach_loss
from memory_agents.common.building import agent_memory, check_memory_arguments, default_features_extractor
from memory_agents.common.defaults import DEFAULT_ACTION_GAIN
from memory_agents.common.learning_mode import LearningMode
from memory_agents.common.observations import check_importance, counted_from_zero
from memory_agents.common.optimizers import fused_arguments
from memory_agents.common.sequences import SequenceBatch
from memory_agents.common.threads import step_threads
from memory_agents.memory import MemoryCore, tree_clone
from memory_agents.nn.arguments import check_flags, is_finite

#: State of a policy: the state of its memory, then of the critic's own memory where features are not shared.
PolicyState = tuple[Any, ...]

#: Which actions are valid, as sb3-contrib has it.
Masks = th.Tensor | np.ndarray | None


def _check_gain(gain: float | None, ortho_init: bool) -> None:
    if gain is None:
        return
    if not is_finite(gain) or gain <= 0:
        raise ValueError(
            f"action_gain is {gain!r}; give a positive number, or None for the default, {DEFAULT_ACTION_GAIN:g}"
        )
    if not ortho_init:
        raise ValueError(f"action_gain={gain!r} is for ortho_init=True; leave one of the two out")


class MemoryActorCriticPolicy(ActorCriticPolicy):
    """
    Stable-Baselines3's actor-critic policy whose features pass through a memory core::

        observation -> features extractor -> memory -> net_arch -> action and value

    Without ``share_features_extractor`` actor and critic have an extractor and a memory each. All other arguments are
    those of :class:`stable_baselines3.common.policies.ActorCriticPolicy`.

    :param observation_space: observation space
    :param action_space: action space
    :param lr_schedule: learning rate schedule
    :param net_arch: layers between memory and heads (default: one of width 64 each for actor and critic)
    :param features_extractor_class: default: picked from the observation space: NatureCNN for images from 64 x 64 up,
        :class:`~memory_agents.common.SmallCNN` for smaller ones, one for each entry of a dictionary
        (:class:`~memory_agents.common.CombinedFeatures`), flat for all else
    :param action_gain: gain of the orthogonal matrix from which the action net starts (default: 1). The gradients that
        the actor sends to the memory are at first in proportion to it: with Stable-Baselines3's 0.01 a memory that
        actor and critic share learns for a long time what the critic needs before it learns what the actor does
    :param memory_class: registered name of a memory core, or a subclass of :class:`~memory_agents.memory.MemoryCore`
    :param memory_kwargs: its keyword arguments
    :param optimizer_class: class of the optimizer
    :param optimizer_kwargs: its arguments, without the learning rate (default: those of Stable-Baselines3; Adam updates
        all parameters in one kernel, unless ``fused`` or ``foreach`` say otherwise)
    :param cuda_graph: on a GPU, whether the steps of rollouts are recorded once and then replayed, by one launch in
        place of some two hundred
    :param autocast: number format of learning: None for single precision, or ``"bfloat16"``
    :param compile: whether ``torch.compile`` makes one program of what the memory computes when learning; see
        :class:`~memory_agents.common.learning_mode.LearningMode`
    :param kwargs: further arguments of the parent class
    :raises TypeError: when ``memory_class`` is no memory core or does not know an argument, or one of its arguments is
        not in ``memory_kwargs``
    :raises ValueError: when ``memory_class`` is an unknown name or its arguments do not fit together, the memory has
        to be told what matters and the observations do not tell it, or ``action_gain`` is not positive, or of no
        consequence as ``ortho_init`` is off
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        action_gain: float | None = None,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        memory_class: str | type[MemoryCore[Any]] = "compressive",
        memory_kwargs: dict[str, Any] | None = None,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        cuda_graph: bool = True,
        autocast: str | None = None,
        compile: bool = False,
        **kwargs: Any,
    ) -> None:
        check_flags(cuda_graph=cuda_graph, compile=compile)
        check_memory_arguments(memory_class, memory_kwargs, kwargs)
        _check_gain(action_gain, kwargs.get("ortho_init", True))
        self.action_gain = action_gain
        self.cuda_graph = cuda_graph
        self.learning_mode = LearningMode(autocast, compile)
        self.memory_class = memory_class
        self.memory_kwargs = dict(memory_kwargs or {})
        #: What the memories' own losses have been when windows were evaluated for learning.
        self.memory_loss = RunningMean()
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[64] if net_arch is None else net_arch,
            features_extractor_class=features_extractor_class
            or default_features_extractor(observation_space, kwargs.get("normalize_images", True)),
            optimizer_class=optimizer_class,
            optimizer_kwargs=fused_arguments(optimizer_class, optimizer_kwargs),
            **kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        features_dim = int(self.features_dim)
        n_memories = 1 if self.share_features_extractor else 2
        self.memories = th.nn.ModuleList(
            agent_memory(self.memory_class, features_dim, self.memory_kwargs) for _ in range(n_memories)
        )
        if self._memories[0].is_told:
            check_importance(self.observation_space)
        # What the parent builds, or a subclass in its place, reads the memory.
        self.features_dim = self._memories[0].output_dim
        super()._build(lr_schedule)
        self.features_dim = features_dim
        if self.ortho_init:
            gain = DEFAULT_ACTION_GAIN if self.action_gain is None else self.action_gain
            self.action_net.apply(partial(self.init_weights, gain=gain))
        judges = {id(parameter) for memory in self._memories for parameter in memory.judge_parameters()}
        if judges:
            # They have an optimizer of their own.
            mine = [parameter for parameter in self.parameters() if id(parameter) not in judges]
            self.optimizer = self.optimizer_class(mine, **{"lr": lr_schedule(1), **self.optimizer_kwargs})

    @property
    def _memories(self) -> list[MemoryCore[Any]]:
        return [memory for memory in self.memories if isinstance(memory, MemoryCore)]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        data.update(
            share_features_extractor=self.share_features_extractor,
            action_gain=self.action_gain,
            memory_class=self.memory_class,
            memory_kwargs=self.memory_kwargs,
            cuda_graph=self.cuda_graph,
            autocast=self.learning_mode.autocast,
            compile=self.learning_mode.compiled,
        )
        return data

    def initial_state(self, n_envs: int) -> PolicyState:
        """
        :param n_envs: number of environments
        :return: the state before the first step of an episode
        """
        return tuple(memory.initial_state(n_envs) for memory in self._memories)

    def pack_state(self, state: PolicyState) -> PolicyState:
        """
        :param state: a state
        :return: the same state without what follows from it and the parameters
        """
        return tuple(memory.pack_state(part) for memory, part in zip(self._memories, state, strict=True))

    def unpack_state(self, state: PolicyState) -> PolicyState:
        """
        :param state: a state, packed or not
        :return: the state, its caches computed with the present parameters
        """
        return tuple(memory.unpack_state(part) for memory, part in zip(self._memories, state, strict=True))

    def choices(self, state: PolicyState) -> tuple[Any, ...]:
        """
        :param state: the state after a step
        :return: what the memories themselves chose at that step
        """
        return tuple(memory.choices(part) for memory, part in zip(self._memories, state, strict=True))

    def window_states(self, batch: SequenceBatch) -> PolicyState:
        """
        :param batch: windows of steps
        :return: the states before them, from which memories make the choices that they made when acting
        """
        parts = zip(self._memories, batch.states, batch.choices or len(batch.states) * ((),), strict=True)
        return tuple(memory.with_choices(state, choices) for memory, state, choices in parts)

    def memory_inputs(self, batch: SequenceBatch) -> list[th.Tensor]:
        """
        :param batch: windows of steps
        :return: what the features extractors make of them, for each memory (windows, length, features_dim)
        """
        return [x.view(*batch.episode_starts.shape, -1) for x in self._features(batch.observations)]

    def _features(self, obs: PyTorchObs) -> tuple[th.Tensor, ...]:
        features = self.extract_features(counted_from_zero(obs, self.observation_space))
        return features if isinstance(features, tuple) else (features,)

    def _latents(
        self,
        obs: PyTorchObs | SequenceBatch,
        state: PolicyState | None,
        episode_starts: th.Tensor | None,
        in_place: bool = False,
        deterministic: bool = True,
    ) -> tuple[th.Tensor, th.Tensor, PolicyState]:
        """
        :param obs: observations of one step, or a batch of windows that brings its own states and episode starts
        :param state: the state before the step
        :param episode_starts: (n_envs,) bool
        :param in_place: whether ``state`` may be overwritten
        :param deterministic: the likeliest of the choices that memories themselves make, in place of drawn ones
        :return: inputs of the action net and of the value net, and the state after a step (nothing after windows)
        """
        losses: list[th.Tensor] = []
        if isinstance(obs, SequenceBatch):
            outputs, losses = self._window_outputs(obs)
            after: PolicyState = ()
        else:
            if state is None or episode_starts is None:
                raise TypeError(
                    f"{type(self).__name__} needs its memory state and the episode starts at every step, which the "
                    "algorithms of stable_baselines3 do not pass on; use memory_agents.PPO in place of "
                    "stable_baselines3.PPO (likewise the others), or pass state and episode_starts yourself"
                )
            features = self._features(obs)
            episode_starts = checked_starts(features[0], state, episode_starts)
            outputs, states = [], []
            for memory, x, part in zip(self._memories, features, state, strict=True):
                part = part if in_place else tree_clone(part)
                y, part = memory.act_(x, part, episode_starts, deterministic)
                outputs.append(y)
                states.append(part)
            after = tuple(states)
        latent_vf = self.mlp_extractor.forward_critic(outputs[-1])
        if losses:
            # With the critic, which all algorithms teach by gradient steps: TRPO does not move the actor by gradients.
            loss = th.stack(losses).sum()
            self.memory_loss.add(loss)
            latent_vf = attach_loss(latent_vf, loss)
        return self.mlp_extractor.forward_actor(outputs[0]), latent_vf, after

    def _window_outputs(self, batch: SequenceBatch) -> tuple[list[th.Tensor], list[th.Tensor]]:
        """
        :param batch: windows of steps
        :return: outputs of the memories, (transitions, output_dim) each, and their own losses, which the
            inherited ``train()`` need not know of: learning values minimises them, too
        """
        outputs, losses = [], []
        runs = zip(self._memories, self.memory_inputs(batch), self.window_states(batch), strict=True)
        for memory, x, state in runs:
            y, loss = self.learning_mode.unroll_with_loss(memory, x, state, batch.episode_starts)
            if loss is not None and loss.requires_grad:
                losses.append(loss)
            outputs.append(y.flatten(0, 1))
        return outputs, losses

    def _distribution(self, latent_pi: th.Tensor, action_masks: Masks) -> Distribution:
        if action_masks is None:
            return self._get_action_dist_from_latent(latent_pi)
        logits = masked_logits(self.action_net(latent_pi), action_masks, self.action_space)
        return self.action_dist.proba_distribution(action_logits=logits)

    def forward(  # type: ignore[override]
        self,
        obs: PyTorchObs,
        state: PolicyState | None = None,
        episode_starts: th.Tensor | None = None,
        deterministic: bool = False,
        in_place: bool = False,
        action_masks: Masks = None,
    ) -> tuple[th.Tensor, th.Tensor, th.Tensor, PolicyState]:
        """
        One acting step.

        :param obs: observations, (n_envs, ...)
        :param state: the state before the step
        :param episode_starts: whether an episode starts at this step, (n_envs,) bool
        :param deterministic: most likely action in place of a sampled one
        :param in_place: whether ``state`` may be overwritten, which saves a copy of it
        :param action_masks: which actions are valid (default: all), (n_envs, values)
        :return: actions, values (n_envs, 1), log-probabilities (n_envs,), and the state after the step
        :raises TypeError: when called without state and episode starts
        :raises ValueError: when observations, state and episode starts are of different numbers of environments
        """
        latent_pi, latent_vf, state = self._latents(obs, state, episode_starts, in_place, deterministic)
        distribution = self._distribution(latent_pi, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        log_prob = distribution.log_prob(actions)
        actions = actions.reshape(-1, *(self.action_space.shape or ()))
        return actions, self.value_net(latent_vf), log_prob, state

    def evaluate_actions(
        self, obs: PyTorchObs | SequenceBatch, actions: th.Tensor, action_masks: Masks = None
    ) -> tuple[th.Tensor, th.Tensor, th.Tensor | None]:
        """
        :param obs: windows of steps
        :param actions: actions taken there, (transitions, ...)
        :param action_masks: which actions were valid (default: all), (transitions, values)
        :return: values (transitions, 1), log-probabilities (transitions,) and entropies (transitions,) of the policy
        """
        latent_pi, latent_vf, _ = self._latents(obs, None, None)
        distribution = self._distribution(latent_pi, action_masks)
        return self.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(
        self,
        obs: PyTorchObs | SequenceBatch,
        state: PolicyState | None = None,
        episode_starts: th.Tensor | None = None,
        action_masks: Masks = None,
    ) -> Distribution:
        """
        :param obs: observations of one step, or windows
        :param state: the state before the step; not changed
        :param episode_starts: whether an episode starts at this step, (n_envs,) bool
        :param action_masks: which actions are valid (default: all), (n_envs, values)
        :return: distribution over actions
        :raises TypeError: when called without state and episode starts
        :raises ValueError: when observations, state and episode starts are of different numbers of environments
        """
        return self._distribution(self._latents(obs, state, episode_starts)[0], action_masks)

    def predict_values(
        self,
        obs: PyTorchObs | SequenceBatch,
        state: PolicyState | None = None,
        episode_starts: th.Tensor | None = None,
    ) -> th.Tensor:
        """
        :param obs: observations of one step, or windows
        :param state: the state before the step; not changed
        :param episode_starts: whether an episode starts at this step, (n_envs,) bool
        :return: values, (n_envs, 1)
        :raises TypeError: when called without state and episode starts
        :raises ValueError: when observations, state and episode starts are of different numbers of environments
        """
        values: th.Tensor = self.value_net(self._latents(obs, state, episode_starts)[1])
        return values

    @th.no_grad()
    def replay(self, batch: SequenceBatch) -> PolicyState:
        """
        :param batch: windows of steps
        :return: the packed states after them, with the present parameters, as acting would reach them: without dropout
        """
        training = self.training
        self.set_training_mode(False)
        runs = zip(self._memories, self.memory_inputs(batch), self.window_states(batch), strict=True)
        states = tuple(memory.unroll(x, part, batch.episode_starts)[1] for memory, x, part in runs)
        self.set_training_mode(training)
        return self.pack_state(states)

    def predict(
        self,
        observation: np.ndarray | dict[str, Any] | tuple[Any, ...],
        state: Any = None,
        episode_start: Iterable[bool] | np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """
        Act in one or many environments. Purely functional: neither ``state`` nor what a running training remembers
        changes.

        :param observation: one observation, or one per environment; nested ones may be as the environment gives them
        :param state: what the previous call returned; ``None`` before the first step
        :param episode_start: whether an episode starts at this step, one entry per environment (default: none starts)
        :param deterministic: most likely action in place of a sampled one
        :param action_masks: which actions are valid (default: all), one row per environment
        :return: the action, or one per environment, and the state to pass to the next call
        :raises TypeError: when actions of this space cannot be masked
        :raises ValueError: when observation, state, episode_start and action_masks are of different numbers of
            environments, an environment has no valid action, or the observation is the ``(obs, info)`` pair of
            ``env.reset()``
        """
        self.set_training_mode(False)
        obs, state, episode_starts, vectorized = acting_inputs(self, observation, state, episode_start)
        if state is None:
            state = self.initial_state(len(episode_starts))
        with step_threads(self, len(episode_starts)), th.no_grad():
            latent_pi, _, state = self._latents(obs, state, episode_starts, deterministic=deterministic)
            masks = (
                None if action_masks is None else checked_masks(action_masks, self.action_space, len(episode_starts))
            )
            chosen = self._distribution(latent_pi, masks).get_actions(deterministic=deterministic)
        actions = chosen.cpu().numpy().reshape(-1, *(self.action_space.shape or ()))
        actions = env_actions(self, actions)
        return actions if vectorized else actions.squeeze(axis=0), state
