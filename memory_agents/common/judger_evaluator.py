"""The agent as it would be without compressed memory."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from memory_agents.common.buffers import SequenceRolloutBuffer
from memory_agents.common.observations import counted_from_zero
from memory_agents.common.outcomes import OutcomeHead
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.memory import MemoryCore
from memory_agents.memory.compressive import Choice, CompressiveMemory


def cores(memories: nn.ModuleList) -> list[MemoryCore[Any]]:
    """
    :param memories: the memories of a policy
    :return: the same, as what they are
    """
    return [memory for memory in memories if isinstance(memory, MemoryCore)]


def features_extractors(policy: MemoryActorCriticPolicy) -> list[BaseFeaturesExtractor]:
    """
    :param policy: a policy
    :return: the features extractors of its memories, in their order
    """
    if policy.share_features_extractor:
        return [policy.features_extractor]
    return [policy.pi_features_extractor, policy.vf_features_extractor]


class Evaluator(nn.Module):
    """
    The frozen evaluator of DCT (Chang and Ma 2021, arXiv 2110.04821): a snapshot of an agent whose memories keep no
    block at all, so that their slots are empty for ever. It follows the time lines of rollouts with its own memories.

    :param policy: the agent
    :param head: what it predicts with
    """

    #: Whether a snapshot has been taken, and how many steps have been seen with it.
    taken: th.Tensor
    age: th.Tensor

    def __init__(self, policy: MemoryActorCriticPolicy, head: OutcomeHead) -> None:
        super().__init__()
        self.extractors = nn.ModuleList(deepcopy(extractor) for extractor in features_extractors(policy))
        self.memories, self.head = deepcopy(policy.memories), deepcopy(head)
        self.register_buffer("taken", th.tensor(False))
        self.register_buffer("age", th.tensor(0))
        self.requires_grad_(False).eval()
        #: after the latest rollout; not saved, because episodes in progress end with the process
        self._states: list[Any] = []

    def snapshot(self, policy: MemoryActorCriticPolicy, head: OutcomeHead) -> None:
        """
        Become the agent as it is now.

        :param policy: the agent
        :param head: what it predicts with
        """
        pairs = zip(self.extractors, features_extractors(policy), strict=True)
        for mine, theirs in [*pairs, (self.memories, policy.memories), (self.head, head)]:
            mine.load_state_dict(theirs.state_dict())
        self.taken.fill_(True)
        self.age.zero_()
        self.forget()

    def forget(self) -> None:
        """Begin the next rollout with empty memories, as it does not follow the one of the latest call."""
        self._states = []

    @th.no_grad()
    def follow(self, policy: MemoryActorCriticPolicy, buffer: SequenceRolloutBuffer) -> th.Tensor:
        """
        :param policy: the agent, of which the spaces alone matter
        :param buffer: a rollout, that after the one of the latest call
        :return: outputs of the memories, (transitions, width), in the order of the windows
        """
        n_envs, per_env = buffer.n_envs, buffer.windows_per_env
        memories = cores(self.memories)
        if not self._states:
            self._states = [memory.initial_state(n_envs) for memory in memories]
        outputs = []
        for window in range(per_env):
            batch = buffer.sample_windows(np.arange(n_envs) * per_env + window).observations
            obs, starts = counted_from_zero(batch.observations, policy.observation_space), batch.episode_starts
            together = []
            for index, (extractor, memory) in enumerate(zip(self.extractors, memories, strict=True)):
                x = BasePolicy.extract_features(policy, obs, extractor).view(*starts.shape, -1)  # type: ignore[arg-type]
                y, self._states[index] = memory.unroll(x, keep_nothing(memory, self._states[index], starts), starts)
                together.append(y)
            outputs.append(th.cat(together, dim=2))
        self.age += buffer.buffer_size * n_envs
        return th.stack(outputs, dim=1).flatten(0, 2)


def keep_nothing(memory: MemoryCore[Any], state: Any, episode_starts: th.Tensor) -> Any:
    """
    :param memory: a memory
    :param state: its state before a window
    :param episode_starts: whether an episode starts at a step of the window, (batch, window) bool
    :return: a state from which none of the blocks that leave in the window is kept, not even the first ones
    """
    if not isinstance(memory, CompressiveMemory) or memory.judge is None:
        return state
    none = th.zeros_like(episode_starts)
    return memory.with_choices(state, Choice(none, none, none.float(), none.long()))
