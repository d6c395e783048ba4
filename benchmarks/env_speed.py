"""How fast environments step."""

from __future__ import annotations

import statistics
import time
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.vec_env import make_batched

# Copies that are played all at once are timed over more steps, so that drawing episodes ahead is part of every block.
MORE_STEPS = 16


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


def vectorised_steps_per_second(
    env_id: str, env_kwargs: dict[str, Any], n_envs: int, steps: int, repeats: int
) -> tuple[float, float]:
    """
    Step copies of an environment by random actions, drawn beforehand: once as they are played all at once, and once in
    a ``DummyVecEnv``, as ``make_vec_env`` of Stable-Baselines3 makes it. Both tell the return of every episode.

    :param env_id: id of an environment whose copies can be played all at once
    :param env_kwargs: its arguments
    :param n_envs: number of copies
    :param steps: steps of a timed block of the latter, of all copies together
    :param repeats: timed blocks of each, one after the other
    :return: steps per second of CPU time of all copies together, resets included, of the two: those of the fastest
        block, as what else the machine does can only slow one down
    :raises ValueError: if the copies cannot be played all at once
    """
    batched = make_batched(env_id, n_envs, seed=0, **env_kwargs)
    single = make_vec_env(env_id, n_envs, seed=0, env_kwargs=env_kwargs)
    single.action_space.seed(0)
    actions = [np.array([single.action_space.sample() for _ in range(n_envs)]) for _ in range(max(1, steps // n_envs))]
    seconds: tuple[list[float], list[float]] = ([], [])
    for env in (batched, single):
        env.reset()
        _seconds_per_step(env, actions)
    for _ in range(repeats):
        seconds[0].append(_seconds_per_step(batched, actions * MORE_STEPS))
        seconds[1].append(_seconds_per_step(single, actions))
    return n_envs / min(seconds[0]), n_envs / min(seconds[1])


def _seconds_per_step(env: VecEnv, actions: list[Any]) -> float:
    start = time.process_time()
    for action in actions:
        env.step(action)
    return (time.process_time() - start) / len(actions)
