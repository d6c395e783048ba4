"""The table of environments, from which their Gymnasium ids are registered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class EnvironmentEntry:
    """One row of the table.

    :param entry_point: ``module:class`` of a :class:`~memory_agents.envs.base.MemoryEnv`, or ``module:function`` that
        makes another environment, whose anchors are not known.
    :param summary: What one does in it, in a line.
    :param kwargs: Keyword arguments that :func:`gymnasium.make` passes unless told otherwise.
    :param max_episode_steps: Steps after which an episode is cut; None where its end belongs to the task.
    :param batched: ``module:class`` of the :class:`~memory_agents.envs.batched.BatchedEnv` that plays many copies at
        once; None where there is none.
    """

    entry_point: str
    summary: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    batched: str | None = None


def without_velocities(env_id: str, maker: str, batched: str, summary: str) -> EnvironmentEntry:
    """Return the row of an environment of Gymnasium whose velocities are hidden.

    :param env_id: Its id in Gymnasium.
    :param maker: Name of the function that makes one.
    :param batched: Name of the class that plays many copies at once.
    :param summary: What one does in it, in a line.
    """
    spec = gym.spec(env_id)
    return EnvironmentEntry(
        f"memory_agents.envs.control:{maker}",
        summary,
        dict(spec.kwargs),
        spec.max_episode_steps,
        f"memory_agents.envs.batched.control:{batched}",
    )


ENVIRONMENTS: dict[str, EnvironmentEntry] = {
    "MemoryAgents/AcrobotNoVelocity-v0": without_velocities(
        "Acrobot-v1", "acrobot", "BatchedAcrobot", "Swing a two-link robot up, without seeing how fast its joints turn."
    ),
    "MemoryAgents/AssociativeRecall-v0": EnvironmentEntry(
        "memory_agents.envs.associative_recall:AssociativeRecall",
        "See pairs of keys and values, wait, then give the value of each key asked for.",
        batched="memory_agents.envs.batched.token_stream:BatchedAssociativeRecall",
    ),
    "MemoryAgents/CartPoleNoVelocity-v0": without_velocities(
        "CartPole-v1", "cart_pole", "BatchedCartPole", "Balance a pole on a cart, without seeing how fast either moves."
    ),
    "MemoryAgents/Concentration-v0": EnvironmentEntry(
        "memory_agents.envs.concentration:Concentration",
        "Find all pairs among cards that lie face down, turning over two at a time.",
        batched="memory_agents.envs.batched.concentration:BatchedConcentration",
    ),
    "MemoryAgents/Copy-v0": EnvironmentEntry(
        "memory_agents.envs.copying:Copy",
        "See a row of tokens, wait, then give them back in order.",
        batched="memory_agents.envs.batched.token_stream:BatchedCopy",
    ),
    "MemoryAgents/CopyFirst-v0": EnvironmentEntry(
        "memory_agents.envs.repeat:CopyFirst",
        "See a token, wait, then say it.",
        batched="memory_agents.envs.batched.token_stream:BatchedCopyFirst",
    ),
    "MemoryAgents/CueStream-v0": EnvironmentEntry(
        "memory_agents.envs.cue_stream:CueStream",
        "In a long stream of tokens, say that of the newest cue whenever asked.",
        batched="memory_agents.envs.batched.token_stream:BatchedCueStream",
    ),
    "MemoryAgents/DelayedMatch-v0": EnvironmentEntry(
        "memory_agents.envs.delayed_match:DelayedMatch",
        "See a few items, wait, then say whether the same ones come back.",
        batched="memory_agents.envs.batched.trials:BatchedDelayedMatch",
    ),
    "MemoryAgents/HiddenGoal-v0": EnvironmentEntry(
        "memory_agents.envs.hidden_goal:HiddenGoal",
        "Find a goal that cannot be seen, then go back to it from ever new places.",
        batched="memory_agents.envs.batched.hidden_goal:BatchedHiddenGoal",
    ),
    "MemoryAgents/KeyToDoor-v0": EnvironmentEntry(
        "memory_agents.envs.key_to_door:KeyToDoor",
        "Take a coloured key, eat apples for a while, then open the door of its colour.",
        batched="memory_agents.envs.batched.three_phase:BatchedKeyToDoor",
    ),
    "MemoryAgents/MountainCarContinuousNoVelocity-v0": without_velocities(
        "MountainCarContinuous-v0",
        "mountain_car_continuous",
        "BatchedMountainCarContinuous",
        "Rock a weak car up a hill, without seeing how fast it rolls.",
    ),
    "MemoryAgents/ObjectMatching-v0": EnvironmentEntry(
        "memory_agents.envs.object_matching:ObjectMatching",
        "See an object, wait, then choose of two objects the one not seen before.",
        batched="memory_agents.envs.batched.trials:BatchedObjectMatching",
    ),
    "MemoryAgents/ObjectMatchingGrid-v0": EnvironmentEntry(
        "memory_agents.envs.object_matching_grid:ObjectMatchingGrid",
        "See an object behind glass, walk to another room, and there go to the other object.",
        batched="memory_agents.envs.batched.object_matching_grid:BatchedObjectMatchingGrid",
    ),
    "MemoryAgents/PendulumNoVelocity-v0": without_velocities(
        "Pendulum-v1",
        "pendulum",
        "BatchedPendulum",
        "Swing a pendulum up and hold it there, without seeing how fast it turns.",
    ),
    "MemoryAgents/RepeatFirst-v0": EnvironmentEntry(
        "memory_agents.envs.repeat:RepeatFirst",
        "Say the first token at every later step.",
        batched="memory_agents.envs.batched.token_stream:BatchedRepeatFirst",
    ),
    "MemoryAgents/RepeatPrevious-v0": EnvironmentEntry(
        "memory_agents.envs.repeat:RepeatPrevious",
        "Say, at every step, the token of some steps ago.",
        batched="memory_agents.envs.batched.token_stream:BatchedRepeatPrevious",
    ),
    "MemoryAgents/Reverse-v0": EnvironmentEntry(
        "memory_agents.envs.copying:Reverse",
        "See a row of tokens, wait, then give them back from last to first.",
        batched="memory_agents.envs.batched.token_stream:BatchedReverse",
    ),
    "MemoryAgents/TMaze-v0": EnvironmentEntry(
        "memory_agents.envs.tmaze:TMaze",
        "Read a sign, walk down a corridor, turn into the arm that the sign named.",
        batched="memory_agents.envs.batched.tmaze:BatchedTMaze",
    ),
    "MemoryAgents/VisualMatch-v0": EnvironmentEntry(
        "memory_agents.envs.visual_match:VisualMatch",
        "See a coloured square, eat apples for a while, then touch the square of that colour.",
        batched="memory_agents.envs.batched.three_phase:BatchedVisualMatch",
    ),
}


def register_environments() -> None:
    """Register every environment of the table with Gymnasium; calling it again changes nothing."""
    for env_id, entry in ENVIRONMENTS.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=entry.entry_point,
                kwargs=dict(entry.kwargs),
                max_episode_steps=entry.max_episode_steps,
                vector_entry_point=entry.batched,
            )
