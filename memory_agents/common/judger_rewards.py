"""What the judger's decisions are paid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_agents.common.buffers import SequenceRolloutBuffer
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.nn.arguments import is_finite
from memory_agents.nn.registry import Registry


class JudgerReturns(NamedTuple):
    """
    What a decision at the end of each step earns, for the windows of a rollout.

    :param returns: (windows, length) float32
    :param baselines: what could be expected without knowing the decision, (windows, length) float32
    :param matters: 1 where a decision can make a difference, 0 at the ends of episodes, (windows, length) float32
    """

    returns: NDArray[np.float32]
    baselines: NDArray[np.float32]
    matters: NDArray[np.float32]


class RewardSource(ABC):
    """
    :param policy: whose memories are judged
    :param gamma: discount factor of the algorithm
    """

    #: Attributes with a ``state_dict`` that are saved with the agent: what a source has learned itself.
    saved: ClassVar[tuple[str, ...]] = ()

    def __init__(self, policy: MemoryActorCriticPolicy, gamma: float) -> None:
        self.policy, self.gamma = policy, gamma

    @abstractmethod
    def returns(self, buffer: SequenceRolloutBuffer) -> JudgerReturns:
        """
        Called once after every rollout, also during the warm-up.

        :param buffer: a rollout, in the order of its windows
        :return: what decisions have earned in it
        """

    def break_off(self) -> None:  # noqa: B027  Most sources remember nothing.
        """Called when a rollout is broken off, of which :meth:`returns` is never told: the next one begins later."""


#: Sources by name. Entries are called as ``entry(policy, gamma, **reward_kwargs)``.
reward_registry: Registry[type[RewardSource]] = Registry("judger reward")


@reward_registry.register("advantage")
class AdvantageReward(RewardSource):
    """
    The environment's own return from the decision on, with the critic as baseline. A decision shows in the critic's
    value of the next step already, if the critic reads the memory; ``gae_lambda`` weighs that against the rewards that
    really follow (Schulman et al. 2016, arXiv 1506.02438).

    :param policy: whose memories are judged
    :param gamma: discount factor of the algorithm
    :param gae_lambda: 0 to believe the critic, 1 to wait for the rewards
    :raises ValueError: when it is not between 0 and 1
    """

    def __init__(self, policy: MemoryActorCriticPolicy, gamma: float, *, gae_lambda: float = 0.5) -> None:
        super().__init__(policy, gamma)
        if not is_finite(gae_lambda) or not 0.0 <= gae_lambda <= 1.0:
            raise ValueError(f"gae_lambda is {gae_lambda!r}; give a number from 0 to 1")
        self.gae_lambda = gae_lambda

    def returns(self, buffer: SequenceRolloutBuffer) -> JudgerReturns:
        arrays = (buffer.rewards, buffer.values, buffer.advantages, buffer.episode_starts)
        rewards, values, advantages, starts = (in_time(buffer, array) for array in arrays)
        goes_on = np.ones_like(starts)
        goes_on[:, :-1] = 1 - starts[:, 1:]
        goes_on[:, -1] = 1 - buffer.last_dones
        errors = advantages.copy()  # of the last step, whose advantage is its error
        errors[:, :-1] = rewards[:, :-1] + self.gamma * goes_on[:, :-1] * values[:, 1:] - values[:, :-1]
        own = errors.copy()
        for t in range(own.shape[1] - 2, -1, -1):
            own[:, t] += self.gamma * self.gae_lambda * goes_on[:, t] * own[:, t + 1]
        windows = (-1, buffer.sequence_length)
        return JudgerReturns((own + values).reshape(windows), values.reshape(windows), goes_on.reshape(windows))


def in_time(buffer: SequenceRolloutBuffer, array: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    :param buffer: a rollout
    :param array: one number for each of its transitions, as it was collected or in the order of the windows
    :return: (n_envs, n_steps)
    """
    if array.shape == (buffer.buffer_size, buffer.n_envs):
        return array.T
    return array.reshape(buffer.n_envs, buffer.buffer_size)
