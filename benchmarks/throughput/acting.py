"""Steps of acting by themselves: an agent on fixed observations, its memory full."""

from __future__ import annotations

from typing import Any, cast

import torch as th
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.benchmarks.throughput.stopwatch import WALL, Stopwatch
from memory_agents.common import MemoryActorCriticPolicy
from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.rollout_steps import RolloutSteps, on_cpu
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
        obs = obs_as_tensor(cast(Any, venv.reset()), agent.device)
        agent._last_obs = None
        self.player = (
            RolloutPlayer(agent, venv, obs) if isinstance(agent, MemoryOnPolicyAlgorithm) else StockPlayer(agent, obs)
        )
        # At least once: what is recorded or set up is so at the first step.
        self.advance(max(1, filling_steps(self.policy)))

    def advance(self, steps: int) -> float:
        """
        :param steps: how many steps to act
        :return: seconds per step
        """
        # Learning has left it in the other mode.
        self.policy.set_training_mode(False)
        self.player.begin()
        start = self.watch.now()
        with th.no_grad():
            for _ in range(steps):
                self.player.step()
        return (self.watch.now() - start) / max(1, steps)


class RolloutPlayer:
    """
    An agent of this library by the very steps of its rollouts: without the books of gradients, on a GPU recorded.

    :param agent: the agent
    :param venv: its environments, which may say which actions are allowed
    :param obs: what it sees at every step
    """

    def __init__(self, agent: MemoryOnPolicyAlgorithm, venv: VecEnv, obs: PyTorchObs) -> None:
        self.obs, self.masks = obs, agent._masks(venv)
        self.starts = th.zeros(agent.n_envs, dtype=th.bool, device=agent.device)
        self.steps = RolloutSteps(agent.policy)
        self.steps.state = agent.policy.initial_state(agent.n_envs)

    @property
    def state(self) -> Any:
        """The memory."""
        return self.steps.state

    def begin(self) -> None:
        """As a rollout begins, with the memory of the step before."""
        self.steps.begin(self.steps.state)

    def step(self) -> None:
        """Act; only when the actions are on the CPU can the environments go on."""
        on_cpu(self.steps(self.obs, self.starts, self.masks))


class StockPlayer:
    """
    An agent of others, by its policy.

    :param agent: the agent
    :param obs: what it sees at every step
    """

    def __init__(self, agent: OnPolicyAlgorithm, obs: PyTorchObs) -> None:
        self.policy: Any = agent.policy
        self.obs, self.state = obs, None
        self.starts: tuple[th.Tensor, ...] = ()
        if isinstance(agent.policy, RecurrentActorCriticPolicy):
            self.state = agent._last_lstm_states  # type: ignore[attr-defined]
            self.starts = (th.zeros(agent.n_envs, device=agent.device),)

    def begin(self) -> None:
        """There is nothing to do."""

    def step(self) -> None:
        """Act; only when the actions are on the CPU can the environments go on."""
        memory = () if self.state is None else (self.state, *self.starts)
        actions, _, _, *after = self.policy(self.obs, *memory)
        actions.cpu()
        if after:
            (self.state,) = after


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
