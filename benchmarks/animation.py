"""An animation of one episode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.evaluation import evaluation_seed

#: How long the last frame stays, in milliseconds, before the animation begins anew.
LAST_FRAME_MS = 2000


@dataclass(frozen=True)
class Recording:
    """
    :param frames: one picture per observation, the last one included
    :param solved: whether the environment called the episode a success
    :param fps: pictures per second
    """

    frames: list[NDArray[np.uint8]]
    solved: bool
    fps: float


def record_solved_episode(agent: BaseAlgorithm, config: TrainingConfig, attempts: int = 20) -> Recording:
    """
    Play until an episode is solved.

    :param agent: the agent, whose actions are deterministic
    :param config: the arguments of the run it was trained by
    :param attempts: episodes to play at most
    :return: the first solved episode, or else the last one played
    """
    env = make_env(config, render_mode="rgb_array")
    fps = float(env.metadata.get("render_fps", 4))
    recording = Recording([], False, fps)
    for attempt in range(attempts):
        obs, _ = env.reset(seed=evaluation_seed(config.seed) + attempt)
        frames, state, start, over = [_frame(env.render())], None, True, False
        info: dict[str, Any] = {}
        while not over:
            action, state = agent.predict(obs, state=state, episode_start=np.array([start]), deterministic=True)
            obs, _, terminated, truncated, info = env.step(action)
            start, over = False, terminated or truncated
            frames.append(_frame(env.render()))
        recording = Recording(frames, bool(info.get("is_success", False)), fps)
        if recording.solved:
            break
    env.close()
    return recording


def _frame(rendered: Any) -> NDArray[np.uint8]:
    return np.asarray(rendered, dtype=np.uint8)


def save_gif(recording: Recording, path: Path) -> None:
    """
    :param recording: the episode
    :param path: where to write
    """
    images = [Image.fromarray(frame) for frame in recording.frames]
    durations = [round(1000 / recording.fps)] * (len(images) - 1) + [LAST_FRAME_MS]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0)
