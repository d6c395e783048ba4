"""
An environment of one's own, with a dictionary of observations: a picture, a kind, and numbers.

A courier is shown a picture of the house to go to, and then walks along a street, past all houses, at one of which it
may deliver. The picture is seen at the start only, so that without memory one house is as good as another, and 1 of 6
deliveries is right. Each entry of the dictionary gets the network that fits it, and all of them one memory.
Run with ``python examples/03_own_environment.py``: a minute and a half.
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from memory_agents import PPO

WALK, DELIVER = 0, 1
HOUSES = 6


class Courier(gym.Env[dict[str, Any], Any]):
    """
    Actions: 0 walks on, 1 delivers where a house is and walks on elsewhere. Reward 1 for delivering at the house of the
    picture. The episode ends with the delivery, or with the street.

    :param waiting: steps before the first house
    """

    def __init__(self, waiting: int = 10) -> None:
        self.waiting = waiting
        self.observation_space = spaces.Dict(
            {
                # One bright column for each house; black after the first step.
                "picture": spaces.Box(0, 255, (8, 2 * HOUSES, 1), np.uint8),
                "place": spaces.Discrete(HOUSES + 1),  # 0 is where no house is
                "way": spaces.Box(0, 1, (1,)),
            }
        )
        self.action_space = spaces.Discrete(2)
        self.target = self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.target = 0, int(self.np_random.integers(HOUSES))
        return self._observation(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        here = self.steps - self.waiting
        delivered = action == DELIVER and here >= 0
        right = delivered and here == self.target
        self.steps += 1
        over = delivered or self.steps == self.waiting + HOUSES
        return self._observation(), float(right), over, False, {"is_success": right} if over else {}

    def _observation(self) -> dict[str, Any]:
        picture = np.zeros((8, 2 * HOUSES, 1), np.uint8)
        if self.steps == 0:
            picture[:, 2 * self.target : 2 * self.target + 2] = 255
        here = self.steps - self.waiting
        return {
            "picture": picture,
            "place": np.int64(here + 1 if 0 <= here < HOUSES else 0),
            "way": np.array([self.steps / (self.waiting + HOUSES)], np.float32),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=120_000)
    arguments = parser.parse_args()

    check_env(Courier(), skip_render_check=True)
    env = make_vec_env(Courier, n_envs=16, seed=0)
    agent = PPO("CompressiveMemoryPolicy", env, seed=0, device="cpu")
    agent.learn(arguments.total_timesteps)

    # The return of an episode is 1 or 0, so the mean is the success rate.
    success_rate, _ = evaluate_policy(agent, make_vec_env(Courier, n_envs=16, seed=1_000), n_eval_episodes=200)
    print(f"success rate: {success_rate:.2f}")


if __name__ == "__main__":
    main()
