"""Deep Q-learning (Mnih et al. 2015) with memory, as in R2D2 (Kapturowski et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

import stable_baselines3
from stable_baselines3.common.policies import BasePolicy

from memory_agents.common.off_policy import MemoryOffPolicyAlgorithm
from memory_agents.dqn.policies import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)


class DQN(MemoryOffPolicyAlgorithm, stable_baselines3.DQN):
    """
    :class:`stable_baselines3.DQN` for policies with memory; ``train()`` is inherited. What R2D2 adds to it is here:
    windows of steps, stored states, burn-in, double Q-learning; its prioritised replay and its rescaled values are not.

    Arguments are those of :class:`~memory_agents.common.MemoryOffPolicyAlgorithm`, and the parent's.

    :param policy: ``"CompressiveMemoryPolicy"``, ``"CompressiveTransformerPolicy"``, ``"GTrXLPolicy"``,
        ``"TransformerXLPolicy"``, ``"MemoryPolicy"``, or a class derived from those in :mod:`memory_agents.dqn`
    """

    policy: MemoryPolicy
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CompressiveMemoryPolicy": CompressiveMemoryPolicy,
        "CompressiveTransformerPolicy": CompressiveTransformerPolicy,
        "GTrXLPolicy": GTrXLPolicy,
        "TransformerXLPolicy": TransformerXLPolicy,
        "MemoryPolicy": MemoryPolicy,
    }
