"""Animations of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.evaluation import evaluation_seed
from memory_agents.benchmarks.inspection.episode import play_episode

#: How long the last frame stays, in milliseconds, before the animation begins anew.
LAST_FRAME_MS = 2000
#: Pictures per second where the environment does not say.
DEFAULT_FPS = 4.0


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
    fps = float(env.metadata.get("render_fps", DEFAULT_FPS))
    recording = Recording([], False, fps)
    for attempt in range(attempts):
        episode = play_episode(agent, env, evaluation_seed(config.seed) + attempt)
        recording = Recording(episode.frames, bool(episode.solved), fps)
        if recording.solved:
            break
    env.close()
    return recording


def check_animation(path: Path) -> None:
    """
    :param path: an animation to be written
    :raises UsageError: when its name does not end in ``.gif`` or ``.mp4``, or what an MP4 file needs is missing
    """
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise UsageError(f"--out {str(path)!r} is no animation that can be written; let it end in .gif or .mp4")
    if kind == ".mp4" and any(find_spec(module) is None for module in ("imageio", "imageio_ffmpeg")):
        raise UsageError(
            f"--out {str(path)!r} needs imageio with ffmpeg; pip install 'memory_agents[video]', or let it end in .gif"
        )


def save_animation(recordings: Sequence[Recording], path: Path) -> None:
    """
    Write episodes one after the other.

    :param recordings: the episodes
    :param path: where to write, a GIF file, or an MP4 file where imageio with ffmpeg is installed
    :raises UsageError: when the name ends otherwise, or an MP4 file cannot be made
    """
    check_animation(path)
    (save_mp4 if path.suffix.lower() == ".mp4" else save_gif)(recordings, path)


def save_gif(recordings: Sequence[Recording], path: Path) -> None:
    """
    :param recordings: episodes, shown one after the other
    :param path: where to write
    """
    images, durations = [], []
    for recording in recordings:
        images += [Image.fromarray(frame) for frame in recording.frames]
        durations += [round(1000 / recording.fps)] * (len(recording.frames) - 1) + [LAST_FRAME_MS]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0)


def save_mp4(recordings: Sequence[Recording], path: Path) -> None:
    """
    :param recordings: episodes, shown one after the other, as fast as the first one
    :param path: where to write
    """
    # Only here: an extra.
    import imageio.v2 as imageio

    fps = recordings[0].fps
    # H.264 halves colours in both directions, so sizes must be even.
    open_writer: Any = imageio.get_writer
    with open_writer(path, fps=fps, macro_block_size=2) as writer:
        for recording in recordings:
            for frame in recording.frames + [recording.frames[-1]] * round(fps * LAST_FRAME_MS / 1000):
                writer.append_data(np.pad(frame, [(0, size % 2) for size in frame.shape[:2]] + [(0, 0)], mode="edge"))
