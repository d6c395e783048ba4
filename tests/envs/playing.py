"""Players and settings that the tests of the environments share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from memory_agents.envs import (
    AssociativeRecall,
    Concentration,
    Copy,
    CopyFirst,
    CueStream,
    DelayedMatch,
    HiddenGoal,
    KeyToDoor,
    MemoryEnv,
    ObjectMatching,
    ObjectMatchingGrid,
    RepeatFirst,
    RepeatPrevious,
    Reverse,
    TMaze,
    VisualMatch,
)
from memory_agents.envs.base import Action, Observation

Policy = Callable[[Observation], Action]

SETTINGS: list[tuple[type[MemoryEnv], dict[str, Any]]] = [
    (AssociativeRecall, {}),
    (AssociativeRecall, {"n_pairs": 3, "n_keys": 3, "n_values": 6, "n_queries": 7, "delay": (0, 3), "split": True}),
    (AssociativeRecall, {"n_pairs": 1, "n_keys": 40, "n_values": 2, "n_queries": 1, "delay": 0}),
    (Concentration, {}),
    (Concentration, {"n_pairs": (2, 3), "max_pairs": 5}),
    (Concentration, {"n_pairs": 2}),
    (Copy, {}),
    (Copy, {"n_tokens": 40, "length": 3, "delay": (0, 4)}),
    (Copy, {"n_tokens": 2, "length": 2, "delay": (1, 9), "selective": True}),
    (CopyFirst, {}),
    (CopyFirst, {"n_tokens": 7, "delay": (0, 5), "distractors": True}),
    (CueStream, {}),
    (CueStream, {"n_values": 2, "delay": 3, "p_cue": 1.0, "query_rate": 0.0, "length": 4}),
    (CueStream, {"n_values": 6, "delay": (1, 5), "p_cue": 0.05, "query_rate": 0.5, "length": 40}),
    (DelayedMatch, {}),
    (DelayedMatch, {"set_size": 4, "n_values": 3, "trials": 2, "delays": [0, 3, 9], "rule": "nonmatch"}),
    (DelayedMatch, {"set_size": 1, "n_values": 2, "trials": 3, "delay": (0, 4)}),
    (HiddenGoal, {}),
    (HiddenGoal, {"size": 2, "horizon": 12}),
    (HiddenGoal, {"size": 5, "horizon": 60}),
    (KeyToDoor, {}),
    (KeyToDoor, {"active": True, "look_steps": 40, "distractor_steps": 2, "choice_steps": 20, "n_colours": 6}),
    (KeyToDoor, {"n_colours": 2, "distractor_steps": (3, 8), "apple_total": 2.0, "observation": "image"}),
    (ObjectMatching, {}),
    (ObjectMatching, {"n_shapes": 12, "n_colours": 3, "delay": (0, 3), "distractors": "noise", "held_out": 0.25}),
    (ObjectMatching, {"rule": "match", "sample": "episode", "distractors": "objects", "cue_steps": 1}),
    (ObjectMatching, {"self_paced": True, "delay": (1, 4), "trials": 3}),
    (ObjectMatching, {"self_paced": True, "delay": 2, "trials": 2, "time_limit": 12}),
    (ObjectMatching, {"n_colours": 2, "held_out": 4, "evaluation": True, "delay": 0, "trials": 1}),
    (ObjectMatchingGrid, {}),
    (ObjectMatchingGrid, {"observation": "image", "n_shapes": 12, "n_colours": 3, "corridor": 1, "time_limit": 33}),
    (ObjectMatchingGrid, {"corridor": (1, 9), "rule": "match", "time_limit": 75}),
    (ObjectMatchingGrid, {"observation": "image", "sample": "episode", "corridor": (2, 4), "n_shapes": 2}),
    (RepeatFirst, {}),
    (RepeatFirst, {"n_tokens": 13, "length": (2, 9)}),
    (RepeatPrevious, {}),
    (RepeatPrevious, {"k": 1, "n_tokens": 2, "length": 2}),
    (RepeatPrevious, {"k": 3, "n_tokens": 5, "length": 9}),
    (Reverse, {}),
    (Reverse, {"n_tokens": 3, "length": 4, "delay": (0, 4)}),
    (Reverse, {"n_tokens": 2, "length": 1, "delay": 5, "selective": True}),
    (TMaze, {}),
    (TMaze, {"corridor": (1, 5), "cue_bits": 3}),
    (TMaze, {"active": True, "corridor": 3, "cue_bits": 2}),
    (TMaze, {"auto_advance": False, "corridor": (1, 4)}),
    (TMaze, {"auto_advance": False, "active": True, "corridor": 3}),
    (TMaze, {"auto_advance": False, "active": True, "corridor": (1, 3)}),
    (VisualMatch, {}),
    (VisualMatch, {"active": True, "look_steps": 3, "distractor_steps": 2, "choice_steps": 2, "n_colours": 6}),
    (VisualMatch, {"n_colours": 2, "distractor_steps": (3, 8), "apple_total": 0.5, "observation": "image"}),
]


def setting_name(value: object) -> str:
    """Name a test after its environment or its arguments."""
    if isinstance(value, type):
        return value.__name__
    return ",".join(f"{key}={part}" for key, part in value.items()) or "default" if isinstance(value, dict) else ""


def always(action: int) -> Policy:
    """The policy that does the same whatever it sees."""
    return lambda _: action


def table_policy(table: dict[bytes, int]) -> Policy:
    """The memoryless policy that looks the observation's bytes up, and does action 0 where nothing is listed."""
    return lambda observation: table.get(observation.tobytes(), 0)


def play(env: MemoryEnv, policy: Policy, seed: int | None = None) -> tuple[float, dict[str, Any]]:
    """Play one episode and return its return and the last step's info."""
    observation, _ = env.reset(seed=seed)
    total, over = 0.0, False
    info: dict[str, Any] = {}
    while not over:
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        total += float(reward)
        over = terminated or truncated
    return total, info


def play_oracle(env: MemoryEnv, seed: int | None = None) -> tuple[float, dict[str, Any]]:
    """Play one episode by the environment's own oracle."""
    oracle = env.oracle()
    oracle.reset()
    return play(env, oracle.act, seed)


def returns_of(env: MemoryEnv, policy: Policy, episodes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns of many episodes of one seeded stream."""
    env.reset(seed=0)
    return np.array([play(env, policy)[0] for _ in range(episodes)])
