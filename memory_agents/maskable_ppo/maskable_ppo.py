"""Proximal policy optimisation with invalid action masking (Huang and Ontanon 2020, arXiv 2006.14171) and memory."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import sb3_contrib
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.common.actions import checked_masks
from memory_agents.common.buffers import (
    MaskableSequenceDictRolloutBuffer,
    MaskableSequenceRolloutBuffer,
    SequenceRolloutBuffer,
)
from memory_agents.common.defaults import DEFAULT_EPOCHS, DEFAULT_VALUE_WEIGHT, default_learning_rate
from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.sequences import check_standardized

# What sb3-contrib asks of its maskable policies, ours do without being derived from them.
MaskableActorCriticPolicy.register(MemoryActorCriticPolicy)


class MaskablePPO(MemoryOnPolicyAlgorithm, sb3_contrib.MaskablePPO):
    """
    :class:`sb3_contrib.MaskablePPO` for policies with memory; ``train()`` is inherited. Arguments that are not listed
    are those of the parent, some with other defaults.

    Environments say which actions are valid by a method ``action_masks()``, or sb3-contrib's ``ActionMasker`` around
    them. ``learn(..., use_masking=False)`` is :class:`memory_agents.PPO`. Where every action is always valid it learns
    the same as that, to the last bit.

    To evaluate with memory use :func:`memory_agents.maskable_ppo.evaluate_policy` and
    :class:`memory_agents.maskable_ppo.MaskableEvalCallback`: those of sb3-contrib lose the memory's state.

    :param policy: ``"CompressiveMemoryPolicy"``, ``"CompressiveTransformerPolicy"``, ``"GTrXLPolicy"``,
        ``"TransformerXLPolicy"``, ``"MemoryPolicy"``, or a class derived from them
    :param env: environment, vectorised environment or registered id, with Discrete, MultiDiscrete or MultiBinary
        actions
    :param learning_rate: default: 2e-3 at the start of ``learn()``, falling linearly to 2e-4 at its end
    :param n_steps: steps per environment and rollout (default: what gives 2048 transitions, at least 128)
    :param batch_size: transitions per minibatch, a multiple of ``sequence_length`` (default: a quarter of the rollout,
        or the nearest size that divides it into whole windows)
    :param n_epochs: passes over a rollout
    :param gamma: discount factor
    :param gae_lambda: factor of generalised advantage estimation
    :param ent_coef: weight of the entropy (of the parent: 0)
    :param vf_coef: weight of the value loss (of the parent: 0.5)
    :param kwargs: further arguments of the parent, and ``sequence_length``, ``refresh_states`` and ``judger_kwargs`` of
        :class:`~memory_agents.common.MemoryOnPolicyAlgorithm`
    :raises TypeError: when the policy has no memory
    :raises ValueError: when ``n_epochs`` is below 1, ``n_steps``, ``batch_size`` and ``sequence_length`` do not fit
        together, or a minibatch of one transition shall have its advantages standardised
    """

    buffer_classes: ClassVar[tuple[type[SequenceRolloutBuffer], type[SequenceRolloutBuffer]]] = (
        MaskableSequenceRolloutBuffer,
        MaskableSequenceDictRolloutBuffer,
    )
    policy: MemoryActorCriticPolicy  # type: ignore[assignment]
    rollout_buffer: MaskableSequenceRolloutBuffer
    #: Whether invalid actions are masked in the rollouts that it learns from.
    uses_masks: bool = True

    def __init__(
        self,
        policy: str | type[MemoryActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule | None = None,
        n_steps: int | None = None,
        batch_size: int | None = None,
        n_epochs: int = DEFAULT_EPOCHS,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        *,
        ent_coef: float = 0.01,
        vf_coef: float = DEFAULT_VALUE_WEIGHT,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=default_learning_rate() if learning_rate is None else learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            **kwargs,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        assert self.batch_size is not None
        left_over = self.n_envs * self.n_steps % self.batch_size
        check_standardized(self.normalize_advantage, left_over or self.batch_size)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
        use_masking: bool = True,
    ) -> bool:
        """
        Collect a rollout, carrying the memory from step to step and from rollout to rollout.

        :param env: training environments
        :param callback: called at every step
        :param rollout_buffer: filled with the rollout
        :param n_rollout_steps: steps per environment
        :param use_masking: whether invalid actions are masked
        :return: whether the callback let it run to its end
        :raises ValueError: when the environments do not tell which actions are valid, or leave none
        """
        if use_masking and not is_masking_supported(env):
            raise ValueError(
                "env has no method action_masks(); add one, put ActionMasker of sb3_contrib.common.wrappers around "
                "each environment, or use memory_agents.PPO"
            )
        self.uses_masks = use_masking
        return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)

    def _masks(self, env: VecEnv) -> dict[str, np.ndarray]:
        if not self.uses_masks:
            return {}
        return {"action_masks": checked_masks(get_action_masks(env), self.action_space, env.num_envs)}

    def predict(
        self,
        observation: np.ndarray | dict[str, Any] | tuple[Any, ...],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """
        Act in one or many environments.

        :param observation: one observation, or one per environment
        :param state: what the previous call returned; ``None`` before the first step
        :param episode_start: whether an episode starts at this step, one entry per environment (default: none starts)
        :param deterministic: most likely action in place of a sampled one
        :param action_masks: which actions are valid (default: all), one row per environment
        :return: the action, or one per environment, and the state to pass to the next call
        :raises ValueError: when arguments are of different numbers of environments, an environment has no valid action,
            or the state is missing in the middle of episodes
        """
        if state is None and episode_start is not None and not np.all(episode_start):
            raise ValueError(
                "state=None, but by episode_start not every episode starts: pass the state that the call before "
                "returned. sb3-contrib's evaluate_policy and MaskableEvalCallback lose it; use those of "
                "memory_agents.maskable_ppo"
            )
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks)
