"""The policies that DQN takes."""

from __future__ import annotations

import torch as th
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork

from memory_agents.common import presets
from memory_agents.common.presets import CompressivePreset
from memory_agents.common.value_networks import MemoryNetwork, MemoryValuePolicy


class MemoryQNetwork(MemoryNetwork, QNetwork):  # type: ignore[misc]
    """:class:`stable_baselines3.dqn.policies.QNetwork` with a memory before its layers."""

    def head(self, latents: th.Tensor) -> th.Tensor:
        values: th.Tensor = self.q_net(latents)
        return values

    def expected(self, outputs: th.Tensor) -> th.Tensor:
        return outputs


class MemoryPolicy(MemoryValuePolicy, DQNPolicy):
    """:class:`stable_baselines3.dqn.policies.DQNPolicy` with a memory: see its first base for the arguments."""

    q_net: MemoryQNetwork
    q_net_target: MemoryQNetwork

    def make_q_net(self) -> MemoryQNetwork:
        """
        :return: a network with a features extractor and a memory of its own
        """
        return MemoryQNetwork(**self._network_arguments(self.net_args)).to(self.device)

    @property
    def network(self) -> MemoryQNetwork:
        return self.q_net

    @property
    def target_network(self) -> MemoryQNetwork:
        return self.q_net_target


class CompressiveMemoryPolicy(CompressivePreset, MemoryPolicy):
    """
    :class:`MemoryPolicy` with the gated compressive transformer, :class:`~memory_agents.memory.CompressiveMemory`,
    whose arguments ``memory_kwargs`` takes.

    :param memory_class: ``"compressive"``, or a class derived from its own
    :param memory_kwargs: arguments of the memory
    :param kwargs: arguments of :class:`MemoryPolicy`
    :raises ValueError: when ``memory_class`` is another memory, or ``memory_kwargs`` contradicts what the policy fixes
    """


class CompressiveTransformerPolicy(CompressiveMemoryPolicy):
    """As :class:`memory_agents.common.CompressiveTransformerPolicy`: without gates."""

    FIXED = presets.CompressiveTransformerPolicy.FIXED


class GTrXLPolicy(CompressiveMemoryPolicy):
    """As :class:`memory_agents.common.GTrXLPolicy`: without slots."""

    FIXED = presets.GTrXLPolicy.FIXED
    DEFAULTS = presets.GTrXLPolicy.DEFAULTS


class TransformerXLPolicy(CompressiveMemoryPolicy):
    """As :class:`memory_agents.common.TransformerXLPolicy`: without slots and gates."""

    FIXED = presets.TransformerXLPolicy.FIXED
    DEFAULTS = presets.TransformerXLPolicy.DEFAULTS
