"""
Train an agent that remembers, evaluate it, save it, load it, and let it act.

In the T-maze a sign at the start tells which of two arms to take at the end of a corridor in which everything looks the
same. Without memory half of the episodes succeed. Run with ``python examples/01_first_steps.py``: half a minute.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from memory_agents import PPO

TASK = "MemoryAgents/TMaze-v0"
CORRIDOR: dict[str, Any] = dict(corridor=30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    arguments = parser.parse_args()

    # Environments that run side by side: each has a memory of its own.
    env = make_vec_env(TASK, n_envs=16, seed=0, env_kwargs=CORRIDOR)
    agent = PPO("CompressiveMemoryPolicy", env, seed=0, device="cpu")
    agent.learn(arguments.total_timesteps)

    # An episode of the T-maze returns 1 when the right arm was taken and 0 otherwise, so the mean is the success rate.
    unseen = make_vec_env(TASK, n_envs=16, seed=1_000, env_kwargs=CORRIDOR)
    success_rate, _ = evaluate_policy(agent, unseen, n_eval_episodes=200)
    print(f"success rate: {success_rate:.2f}")

    with tempfile.TemporaryDirectory() as folder:
        agent.save(Path(folder) / "agent")
        agent = PPO.load(Path(folder) / "agent", device="cpu")

    # Whoever acts keeps the state, and tells where episodes start: what was before is then forgotten.
    maze = gym.make(TASK, **CORRIDOR)
    obs, _ = maze.reset(seed=0)
    state, start, episodes = None, True, 0
    while episodes < 3:
        action, state = agent.predict(obs, state=state, episode_start=np.array([start]), deterministic=True)
        obs, reward, terminated, truncated, _ = maze.step(action)
        start = terminated or truncated
        if start:
            episodes += 1
            print(f"episode {episodes}: took arm {action}, return {reward}")
            obs, _ = maze.reset()


if __name__ == "__main__":
    main()
