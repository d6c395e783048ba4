"""The policies that QR-DQN takes."""

from __future__ import annotations

import torch as th
from sb3_contrib.qrdqn.policies import QRDQNPolicy, QuantileNetwork

from memory_agents.common import presets
from memory_agents.common.presets import CompressivePreset
from memory_agents.common.value_networks import MemoryNetwork, MemoryValuePolicy


class MemoryQuantileNetwork(MemoryNetwork, QuantileNetwork):  # type: ignore[misc]
    """:class:`sb3_contrib.qrdqn.policies.QuantileNetwork` with a memory before its layers."""

    def head(self, latents: th.Tensor) -> th.Tensor:
        quantiles: th.Tensor = self.quantile_net(latents)
        return quantiles.view(len(latents), self.n_quantiles, int(self.action_space.n))

    def expected(self, outputs: th.Tensor) -> th.Tensor:
        return outputs.mean(dim=1)


class MemoryPolicy(MemoryValuePolicy, QRDQNPolicy):
    """:class:`sb3_contrib.qrdqn.policies.QRDQNPolicy` with a memory: see its first base for the arguments."""

    quantile_net: MemoryQuantileNetwork
    quantile_net_target: MemoryQuantileNetwork

    def make_quantile_net(self) -> MemoryQuantileNetwork:
        """
        :return: a network with a features extractor and a memory of its own
        """
        return MemoryQuantileNetwork(**self._network_arguments(self.net_args)).to(self.device)

    @property
    def network(self) -> MemoryQuantileNetwork:
        return self.quantile_net

    @property
    def target_network(self) -> MemoryQuantileNetwork:
        return self.quantile_net_target


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
