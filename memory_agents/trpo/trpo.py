"""Trust region policy optimisation (Schulman et al. 2015, arXiv 1502.05477) with memory."""

from __future__ import annotations

from typing import Any

import sb3_contrib
import torch as th
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from torch import nn

from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.sequences import check_standardized
from memory_agents.memory import CompressiveMemory
from memory_agents.nn.arguments import is_integer
from memory_agents.trpo.second_derivatives import second_derivatives


class TRPO(MemoryOnPolicyAlgorithm, sb3_contrib.TRPO):
    """
    :class:`sb3_contrib.TRPO` for policies with memory; ``train()`` is inherited. Arguments that are not listed are
    those of the parent, some with other defaults.

    The step within the trust region moves everything that actions depend on, a shared memory included; the critic then
    moves the rest. Losses of the memory itself (``compression_loss``) are minimised with the critic's.

    :param policy: ``"CompressiveMemoryPolicy"``, ``"CompressiveTransformerPolicy"``, ``"GTrXLPolicy"``,
        ``"TransformerXLPolicy"``, ``"MemoryPolicy"``, or a class derived from them
    :param env: environment, vectorised environment or registered id
    :param learning_rate: of the critic
    :param n_steps: steps per environment and rollout (default: what gives 2048 transitions, at least 128)
    :param batch_size: transitions per minibatch of the critic, a multiple of ``sequence_length`` (default: a quarter of
        the rollout, or the nearest size that divides it into whole windows)
    :param sub_sampling_factor: the step within the trust region is computed from one of so many windows, drawn anew
        for every update
    :param kwargs: further arguments of the parent, and ``sequence_length``, ``refresh_states`` and ``judger_kwargs`` of
        :class:`~memory_agents.common.MemoryOnPolicyAlgorithm`. With ``refresh_states`` the states at window starts are
        those of the new actor when the critic learns
    :raises TypeError: when the policy has no memory
    :raises ValueError: when ``n_steps``, ``batch_size`` and ``sequence_length`` do not fit together, a rollout has
        fewer windows than ``sub_sampling_factor``, one transition shall have its advantage standardised, or the memory
        has dropout, or a loss that moves what actions depend on
    """

    def __init__(
        self,
        policy: str | type[MemoryActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int | None = None,
        batch_size: int | None = None,
        gamma: float = 0.99,
        cg_max_steps: int = 15,
        cg_damping: float = 0.1,
        line_search_shrinking_factor: float = 0.8,
        line_search_max_iter: int = 10,
        n_critic_updates: int = 10,
        gae_lambda: float = 0.95,
        *,
        sub_sampling_factor: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            gamma=gamma,
            cg_max_steps=cg_max_steps,
            cg_damping=cg_damping,
            line_search_shrinking_factor=line_search_shrinking_factor,
            line_search_max_iter=line_search_max_iter,
            n_critic_updates=n_critic_updates,
            gae_lambda=gae_lambda,
            sub_sampling_factor=sub_sampling_factor,
            **kwargs,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        n_windows = self.n_envs * self.n_steps // self.sequence_length
        factor = self.sub_sampling_factor
        if not is_integer(factor) or not 1 <= factor <= n_windows:
            raise ValueError(
                f"sub_sampling_factor={factor!r} takes whole windows, of which a rollout has {n_windows}; use an "
                f"integer from 1 to {n_windows}, or a shorter sequence_length than {self.sequence_length}"
            )
        check_standardized(self.normalize_advantage, -(-n_windows // factor) * self.sequence_length)
        if any(both_gradients(memory) for memory in self.policy.memories):
            raise ValueError(
                "compression_gradient='both' lets a loss move what actions depend on, and TRPO moves that within its "
                "trust region only; use compression_gradient='auxiliary', or another algorithm"
            )
        if self.policy.learning_mode.compiled:
            raise ValueError(
                "policy_kwargs has compile=True, but TRPO needs derivatives of derivatives, and compiled programs have "
                "none; use compile=False"
            )
        if any(dropout_of(module) for module in self.policy.modules()):
            raise ValueError(
                "dropout makes two looks at one policy differ, and TRPO compares the policy with itself; use dropout=0"
            )

    def train(self) -> None:
        """Learn from the rollout with the inherited algorithm, sub-sampling whole windows in place of transitions."""
        factor = self.sub_sampling_factor
        self.rollout_buffer.one_window_of, self.sub_sampling_factor = factor, 1
        try:
            with second_derivatives():
                super().train()
        finally:
            self.rollout_buffer.one_window_of, self.sub_sampling_factor = 1, factor

    def _compute_actor_grad(
        self, kl_div: th.Tensor, policy_objective: th.Tensor
    ) -> tuple[list[nn.Parameter], th.Tensor, th.Tensor, list[tuple[int, ...]]]:
        """
        What the parent computes, but of all parameters at once, and of all: the parent goes by names and leaves out
        what has "value" in its own, as attention's keys and values have.

        :param kl_div: divergence of the policy from itself before the step
        :param policy_objective: what is maximised
        :return: the parameters that actions depend on, gradients of the objective and of the divergence, one behind the
            other, and their shapes
        """
        parameters = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        found = th.autograd.grad(kl_div, parameters, create_graph=True, allow_unused=True)
        pairs = [(parameter, grad) for parameter, grad in zip(parameters, found, strict=True) if grad is not None]
        actor = [parameter for parameter, _ in pairs]
        objective = th.autograd.grad(policy_objective, actor, retain_graph=True)
        return (
            actor,
            th.cat([grad.flatten() for grad in objective]),
            th.cat([grad.flatten() for _, grad in pairs]),
            [tuple(grad.shape) for _, grad in pairs],
        )


#: Modules that drop something while they learn.
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def both_gradients(memory: nn.Module) -> bool:
    """
    :param memory: a memory
    :return: whether both the task and a loss of its own move its compression functions
    """
    return isinstance(memory, CompressiveMemory) and memory.compression_gradient == "both"


def dropout_of(module: nn.Module) -> float:
    """
    :param module: a module
    :return: the probability with which it drops something while it learns
    """
    rate = module.p if isinstance(module, DROPOUTS) else getattr(module, "dropout", 0.0)
    return float(rate) if isinstance(rate, int | float) else 0.0
