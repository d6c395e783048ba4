"""Steps of acting by themselves: a policy on fixed observations, its memory full."""

from __future__ import annotations

from typing import Any, cast

import torch as th
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.benchmarks.throughput.stopwatch import WALL, Stopwatch
from memory_agents.common import MemoryActorCriticPolicy
from memory_agents.memory import CompressiveMemory


class Acting:
    """
    Long episodes, as collecting a rollout plays them: actions, values and log-probabilities of all environments.

    :param agent: an agent
    :param venv: its environments, whose first observations are seen at every step
    :param clock: of which times seconds are
    """

    def __init__(self, agent: OnPolicyAlgorithm, venv: VecEnv, clock: str = WALL) -> None:
        self.policy: Any = agent.policy
        self.watch = Stopwatch(agent.device, clock)
        policy, n_envs, device = agent.policy, agent.n_envs, agent.device
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        if isinstance(policy, MemoryActorCriticPolicy):
            self.args = (
                policy.unpack_state(policy.initial_state(n_envs)),
                th.zeros(n_envs, dtype=th.bool, device=device),
            )
            self.kwargs = dict(in_place=True)
        elif isinstance(policy, RecurrentActorCriticPolicy):
            self.args = (agent._last_lstm_states, th.zeros(n_envs, device=device))  # type: ignore[attr-defined]
        self.obs = obs_as_tensor(cast(Any, venv.reset()), device)
        agent._last_obs = None
        self.advance(filling_steps(policy))

    def advance(self, steps: int) -> float:
        """
        :param steps: how many steps to act
        :return: seconds per step
        """
        # Learning has left it in the other mode.
        self.policy.set_training_mode(False)
        start = self.watch.now()
        with th.no_grad():
            for _ in range(steps):
                result = self.policy(self.obs, *self.args, **self.kwargs)
                # Only then can the environments go on.
                result[0].cpu()
                if self.args:
                    self.args = (result[3], *self.args[1:])
        return (self.watch.now() - start) / max(1, steps)


def filling_steps(policy: Any) -> int:
    """
    :param policy: a policy
    :return: steps of an episode after which its memory has no empty place left
    """
    cores = policy.memories if isinstance(policy, MemoryActorCriticPolicy) else ()
    return max(
        (
            shape.memory_length + shape.block_length + shape.compression_rate * shape.compressed_length
            for core in cores
            if isinstance(core, CompressiveMemory)
            for shape in core.shapes
        ),
        default=0,
    )
