"""
Actions that are sometimes invalid, and a memory: a T-maze in which walls cannot be walked into.

In the original form of the maze all four directions are actions at every step, and all but a few of them lead into a
wall. The environment tells which do not by its ``action_masks()``; ``MaskablePPO`` never takes the others, and what is
left to learn is to remember the sign at the start of the corridor.

Run with ``python examples/04_masking.py``: half a minute.
"""

from __future__ import annotations

import argparse

import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from memory_agents import MaskablePPO
from memory_agents.maskable_ppo import MaskedPlayer, evaluate_policy

CORRIDOR = 20


def mazes(seed: int) -> VecEnv:
    return make_vec_env(
        "MemoryAgents/TMaze-v0", n_envs=16, seed=seed, env_kwargs=dict(corridor=CORRIDOR, auto_advance=False)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    arguments = parser.parse_args()

    agent = MaskablePPO("CompressiveMemoryPolicy", mazes(seed=0), seed=0, device="cpu")
    agent.learn(arguments.total_timesteps)

    # Step by step: a player asks its environments which actions are valid whenever it acts.
    env = mazes(seed=1_000)
    player = MaskedPlayer(agent, env)
    obs, state, starts = env.reset(), None, np.ones(env.num_envs, dtype=bool)
    taken = invalid = 0
    for _ in range(CORRIDOR + 1):
        valid = env.env_method("action_masks")
        actions, state = player.predict(obs, state=state, episode_start=starts, deterministic=True)
        invalid += sum(not mask[action] for mask, action in zip(valid, actions, strict=True))
        taken += len(actions)
        obs, _, starts, _ = env.step(actions)
    print(f"invalid actions: {invalid} of {taken}")

    # A return of 1 is a walk without a detour into the right arm.
    returns, _ = evaluate_policy(agent, env, n_eval_episodes=100, return_episode_rewards=True)
    print(f"success rate: {np.mean(np.array(returns) > 0.99):.2f}")


if __name__ == "__main__":
    main()
