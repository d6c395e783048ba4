"""How fast environments step."""

from __future__ import annotations

import statistics
import time
from typing import Any

import gymnasium as gym


def steps_per_second(env_id: str, env_kwargs: dict[str, Any], steps: int, repeats: int) -> float:
    """
    Step one environment by random actions, drawn beforehand, and begin anew whenever an episode ends.

    :param env_id: environment id
    :param env_kwargs: its arguments
    :param steps: steps of a timed block
    :param repeats: timed blocks
    :return: steps per second of CPU time, which what else the machine does leaves alone, resets included, of the
        environment itself without Gymnasium's wrappers: the median over the blocks
    """
    env = gym.make(env_id, **env_kwargs).unwrapped
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]
    env.reset(seed=0)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        seconds.append(time.process_time() - start)
        env.reset()
    env.close()
    return steps / statistics.median(seconds)
