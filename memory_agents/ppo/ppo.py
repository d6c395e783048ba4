"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with memory."""

from __future__ import annotations

from typing import Any

import stable_baselines3
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from memory_agents.common.defaults import DEFAULT_EPOCHS, DEFAULT_VALUE_WEIGHT, default_learning_rate
from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.policies import MemoryActorCriticPolicy


class PPO(MemoryOnPolicyAlgorithm, stable_baselines3.PPO):
    """
    :class:`stable_baselines3.PPO` for policies with memory; ``train()`` is inherited. Arguments that are not listed
    are those of the parent, some with other defaults.

    :param policy: ``"CompressiveMemoryPolicy"``, ``"CompressiveTransformerPolicy"``, ``"GTrXLPolicy"``,
        ``"TransformerXLPolicy"``, ``"MemoryPolicy"``, or a class derived from them
    :param env: environment, vectorised environment or registered id
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
        :class:`~memory_agents.common.MemoryOnPolicyAlgorithm`. ``refresh_states`` changes something only where a
        rollout has several windows per environment
    :raises TypeError: when the policy has no memory
    :raises ValueError: when ``n_epochs`` is below 1, or ``n_steps``, ``batch_size`` and ``sequence_length`` do not fit
        together
    """

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
