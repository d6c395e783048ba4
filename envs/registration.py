"""The table of environments, from which their Gymnasium ids are registered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class EnvironmentEntry:
    """One row of the table.

    :param entry_point: ``module:class`` of a :class:`~memory_agents.envs.base.MemoryEnv`.
    :param summary: What one does in it, in a line.
    :param kwargs: Keyword arguments that :func:`gymnasium.make` passes unless told otherwise.
    """

    entry_point: str
    summary: str
    kwargs: dict[str, Any] = field(default_factory=dict)


ENVIRONMENTS: dict[str, EnvironmentEntry] = {
    "MemoryAgents/ObjectMatching-v0": EnvironmentEntry(
        "memory_agents.envs.object_matching:ObjectMatching",
        "See an object, wait, then choose of two objects the one not seen before.",
    ),
    "MemoryAgents/TMaze-v0": EnvironmentEntry(
        "memory_agents.envs.tmaze:TMaze",
        "Read a sign, walk down a corridor, turn into the arm that the sign named.",
    ),
}


def register_environments() -> None:
    """Register every environment of the table with Gymnasium; calling it again changes nothing."""
    for env_id, entry in ENVIRONMENTS.items():
        if env_id not in gym.registry:
            gym.register(env_id, entry_point=entry.entry_point, kwargs=dict(entry.kwargs))
