"""Advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783) with memory."""

from __future__ import annotations

from typing import Any, ClassVar

import stable_baselines3
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from memory_agents.common.defaults import default_learning_rate
from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.sequences import check_standardized


class A2C(MemoryOnPolicyAlgorithm, stable_baselines3.A2C):
    """
    :class:`stable_baselines3.A2C` for policies with memory; ``train()`` is inherited. Arguments that are not listed
    are those of the parent, some with other defaults.

    There is one gradient step per rollout, so that rollouts are short: many small steps learn sooner than few large
    ones. Gradients reach no further back than a rollout is long, but memory does, and attention learns to read it.

    :param policy: ``"CompressiveMemoryPolicy"``, ``"CompressiveTransformerPolicy"``, ``"GTrXLPolicy"``,
        ``"TransformerXLPolicy"``, ``"MemoryPolicy"``, or a class derived from them
    :param env: environment, vectorised environment or registered id
    :param learning_rate: default: 2e-3 at the start of ``learn()``, falling linearly to 2e-4 at its end
    :param n_steps: steps per environment and rollout (default: what gives 256 transitions, at least 16)
    :param gamma: discount factor
    :param gae_lambda: factor of generalised advantage estimation (of the parent: 1)
    :param ent_coef: weight of the entropy (of the parent: 0)
    :param use_rms_prop: whether RMSprop takes the place of Adam (of the parent: it does)
    :param normalize_advantage: whether advantages are standardised in each rollout (of the parent: not)
    :param kwargs: further arguments of the parent, and ``sequence_length``, ``refresh_states`` and ``judger_kwargs`` of
        :class:`~memory_agents.common.MemoryOnPolicyAlgorithm`. ``refresh_states`` does nothing here, because a rollout
        is learned from once, and is refused
    :raises TypeError: when the policy has no memory
    :raises ValueError: when ``n_steps`` and ``sequence_length`` do not fit together, states shall be refreshed, or a
        rollout of one transition shall have its advantages standardised
    """

    rollout_size: ClassVar[int] = 256
    shortest_rollout: ClassVar[int] = 16

    def __init__(
        self,
        policy: str | type[MemoryActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule | None = None,
        n_steps: int | None = None,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        ent_coef: float = 0.01,
        *,
        use_rms_prop: bool = False,
        normalize_advantage: bool = True,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("refresh_states"):
            raise ValueError(
                "refresh_states=True changes nothing here, because A2C learns from a rollout once; leave it out, or "
                "use PPO"
            )
        super().__init__(
            policy,
            env,
            learning_rate=default_learning_rate() if learning_rate is None else learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,
            use_rms_prop=use_rms_prop,
            normalize_advantage=normalize_advantage,
            **kwargs,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        check_standardized(self.normalize_advantage, self.n_envs * self.n_steps)
