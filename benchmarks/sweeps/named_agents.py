"""What an agent's name stands for, as arguments of a run."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from memory_agents.benchmarks.agents import MEMORYLESS, policy_names
from memory_agents.benchmarks.algorithms import BASELINES, has_memory_of_ours
from memory_agents.benchmarks.arguments import check_name
from memory_agents.benchmarks.config import SCRIPTED, TrainingConfig
from memory_agents.benchmarks.dotted import load_class
from memory_agents.memory import memory_registry

#: Observations that the agent of stacked frames sees.
N_STACK = 8

#: Width of the other library's LSTM: that of the memory core "lstm" here.
LSTM_SIZE = 64

ORACLE, RANDOM = "oracle", "random"
_PRESETS = {
    "compressive": "CompressiveMemoryPolicy",
    "gtrxl": "GTrXLPolicy",
    "transformer_xl": "TransformerXLPolicy",
    "compressive_transformer": "CompressiveTransformerPolicy",
}


def named_agents() -> dict[str, dict[str, Any]]:
    """
    :return: arguments of :class:`TrainingConfig` by an agent's name: presets, memory cores, baselines, scripted players
    """
    cores = (name for name in memory_registry if name not in _PRESETS)
    return {
        **{name: {"policy": policy} for name, policy in _PRESETS.items()},
        **{name: {"policy": "MemoryPolicy", "memory_class": name} for name in cores},
        "memoryless": {"policy": MEMORYLESS},
        "frame_stack": {"policy": MEMORYLESS, "n_stack": N_STACK},
        "recurrent_ppo": {
            "algorithm": "RecurrentPPO",
            "policy": BASELINES["RecurrentPPO"].policy,
            "policy_kwargs": {"lstm_hidden_size": LSTM_SIZE},
        },
        ORACLE: {"algorithm": SCRIPTED, "policy": "Oracle"},
        RANDOM: {"algorithm": SCRIPTED, "policy": "Random"},
    }


def find_agent(where: str, name: str) -> tuple[str, dict[str, Any]]:
    """
    :param where: where the name stands, for messages
    :param name: a name of :func:`named_agents`, a policy's name, or ``module:Class`` of a policy or an algorithm
    :return: what to call the agent, and its arguments of :class:`TrainingConfig`
    :raises UsageError: when it is unknown or cannot be imported
    """
    if ":" in name:
        return name.rpartition(":")[2], _foreign(where, name)
    named = named_agents()
    if name in named:
        return name, named[name]
    check_name(where, name, [*named, *policy_names()], f"use {', '.join(named)}, or module:Class")
    return name, {"policy": name}


def _foreign(where: str, dotted: str) -> dict[str, Any]:
    found = load_class(where, dotted, BasePolicy, BaseAlgorithm)
    if issubclass(found, BasePolicy):
        return {"policy": dotted}
    usual, known = TrainingConfig.policy if has_memory_of_ours(found) else MEMORYLESS, list(found.policy_aliases)
    # RecurrentPPO's, for example, all have other names.
    return {"algorithm": dotted, "policy": usual if usual in known or not known else known[0]}
