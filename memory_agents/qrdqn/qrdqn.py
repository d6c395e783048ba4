"""Quantile-regression deep Q-learning (Dabney et al. 2017, arXiv 1710.10044) with memory."""

from __future__ import annotations

from typing import ClassVar

import sb3_contrib
from stable_baselines3.common.policies import BasePolicy

from memory_agents.common.off_policy import MemoryOffPolicyAlgorithm
from memory_agents.qrdqn.policies import (
    CompressiveMemoryPolicy,
    CompressiveTransformerPolicy,
    GTrXLPolicy,
    MemoryPolicy,
    TransformerXLPolicy,
)


class QRDQN(MemoryOffPolicyAlgorithm, sb3_contrib.QRDQN):
    """
    :class:`sb3_contrib.QRDQN` for policies with memory; ``train()`` is inherited. With ``double_q`` the learning
    network picks the next actions by its mean quantiles.

    Arguments are those of :class:`~memory_agents.common.MemoryOffPolicyAlgorithm`, and the parent's.

    :param policy: ``"CompressiveMemoryPolicy"``, ``"CompressiveTransformerPolicy"``, ``"GTrXLPolicy"``,
        ``"TransformerXLPolicy"``, ``"MemoryPolicy"``, or a class derived from those in :mod:`memory_agents.qrdqn`
    """

    policy: MemoryPolicy
    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CompressiveMemoryPolicy": CompressiveMemoryPolicy,
        "CompressiveTransformerPolicy": CompressiveTransformerPolicy,
        "GTrXLPolicy": GTrXLPolicy,
        "TransformerXLPolicy": TransformerXLPolicy,
        "MemoryPolicy": MemoryPolicy,
    }
