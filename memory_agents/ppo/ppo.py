"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with memory."""

from __future__ import annotations

from typing import Any, ClassVar

import stable_baselines3
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.sequences import check_sequence_length, default_batch_size, default_sequence_length
from memory_agents.ppo.policies import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)

#: Default size of a rollout over all environments, in transitions.
ROLLOUT_SIZE = 2048
SHORTEST_DEFAULT_ROLLOUT = 128
#: Passes over a rollout. More of them learn object matching from fewer steps, but in a T-maze, where one action of a
#: hundred counts, they sometimes undo what was learned.
DEFAULT_EPOCHS = 4


def default_learning_rate() -> Schedule:
    """
    A high rate leaves plateaus early, and its fall settles what was found; constant rates did one or the other.

    :return: 2e-3 at the start of training, falling linearly to 2e-4 at its end
    """
    return LinearSchedule(2e-3, 2e-4, 1.0)


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
    :param sequence_length: steps per training window, over which gradients flow; a divisor of ``n_steps`` (default:
        ``n_steps`` up to 256, else its largest divisor up to 128; where ``batch_size`` is given, a divisor of it, too)
    :param refresh_states: recompute the states at window starts with the newest parameters before every epoch but the
        first. It changes something only where a rollout has several windows per environment
    :param judger_kwargs: how a learned judger of the memory is trained, see
        :class:`~memory_agents.common.judger_training.JudgerTraining`
    :param kwargs: further arguments of the parent
    :raises TypeError: when the policy has no memory
    :raises ValueError: when ``n_epochs`` is below 1, or ``n_steps``, ``batch_size`` and ``sequence_length`` do not fit
        together
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CompressiveMemoryPolicy": CompressiveMemoryPolicy,
        "CompressiveTransformerPolicy": CompressiveTransformerPolicy,
        "GTrXLPolicy": GTrXLPolicy,
        "TransformerXLPolicy": TransformerXLPolicy,
        "MemoryPolicy": MemoryPolicy,
    }

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
        sequence_length: int | None = None,
        refresh_states: bool = False,
        judger_kwargs: dict[str, Any] | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        if isinstance(policy, str) and policy not in self.policy_aliases:
            raise ValueError(
                f"policy={policy!r} is not known here; use one of {', '.join(self.policy_aliases)}. "
                "Policies without memory belong to stable_baselines3.PPO"
            )
        if n_epochs < 1:
            raise ValueError(f"n_epochs={n_epochs!r} leaves nothing to learn; use 1 or more")
        n_envs = env.num_envs if isinstance(env, VecEnv) else 1
        if n_steps is None:
            windows = max(1, ROLLOUT_SIZE // n_envs // SHORTEST_DEFAULT_ROLLOUT)
            n_steps = SHORTEST_DEFAULT_ROLLOUT * windows
        if sequence_length is None:
            sequence_length = default_sequence_length(n_steps, batch_size)
        check_sequence_length(sequence_length, n_steps=n_steps)
        if batch_size is None:
            batch_size = default_batch_size(n_steps * n_envs, sequence_length)
        self.sequence_length = sequence_length
        self.refresh_states = refresh_states
        self.judger_kwargs = judger_kwargs
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
            policy_kwargs=policy_kwargs,
            device=device,
            _init_setup_model=_init_setup_model,
            **kwargs,
        )

    def _setup_model(self) -> None:
        check_sequence_length(self.sequence_length, batch_size=self.batch_size)
        super()._setup_model()
