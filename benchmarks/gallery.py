"""One picture of all environments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memory_agents.envs import ENVIRONMENTS, MemoryEnv

#: Which moments of an episode are shown, as shares of its length.
MOMENTS = (0.0, 0.5, 1.0)


def environments_with_oracle() -> list[str]:
    """
    :return: ids of this library's environments that have an oracle
    """
    return [env_id for env_id in ENVIRONMENTS if isinstance(gym.make(env_id).unwrapped, MemoryEnv)]


def oracle_frames(env_id: str, seed: int = 0) -> list[NDArray[np.uint8]]:
    """
    :param env_id: an environment of this library that has an oracle
    :param seed: seed of the episode
    :return: frames of an episode that the oracle plays, the first and the last included
    """
    env = gym.make(env_id, render_mode="rgb_array").unwrapped
    assert isinstance(env, MemoryEnv)
    oracle = env.oracle()
    oracle.reset()
    observation, _ = env.reset(seed=seed)
    frames, over = [env.render()], False
    while not over:
        observation, _, terminated, truncated, _ = env.step(oracle.act(observation))
        frames.append(env.render())
        over = terminated or truncated
    env.close()
    return frames


def draw_gallery(env_ids: Sequence[str], path: Path, columns: int = 2) -> None:
    """
    Draw the beginning, the middle and the end of an episode of every environment, played by its oracle.

    :param env_ids: environments of this library that have an oracle
    :param path: where to write, a PNG file
    :param columns: environments side by side
    """
    rows = -(-len(env_ids) // columns)
    figure = Figure(figsize=(6.2 * columns, 1.95 * rows), layout="constrained")
    cells: Any = figure.subfigures(rows, columns, squeeze=False)
    for env_id, cell in zip(env_ids, cells.flat, strict=False):
        frames = oracle_frames(env_id)
        cell.suptitle(env_id, fontsize=10)
        for axes, moment in zip(cell.subplots(1, len(MOMENTS)), MOMENTS, strict=True):
            axes.imshow(frames[round(moment * (len(frames) - 1))])
            axes.set_axis_off()
    figure.savefig(path, dpi=110)
