"""Small environments over every kind of space, and agents small enough for tests."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from memory_agents import PPO

TINY: dict[str, Any] = dict(memory_length=6, compressed_length=4, compression_rate=2, d_model=16, n_heads=2)

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-1, 1, (3,)),
    "number": spaces.Box(-1, 1, ()),
    "integers": spaces.Box(-5, 5, (2,), np.int64),
    "discrete": spaces.Discrete(4),
    "discrete_from_three": spaces.Discrete(4, start=3),
    "multi_discrete": spaces.MultiDiscrete([3, 2]),
    "multi_discrete_from_three": spaces.MultiDiscrete([3, 2], start=[3, -1]),
    "multi_binary": spaces.MultiBinary(3),
    "multi_binary_2d": spaces.MultiBinary([2, 3]),
    "image": spaces.Box(0, 255, (64, 64, 1), np.uint8),
    "small_image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
    "dict": spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "kind": spaces.Discrete(3)}),
    "dict_from_three": spaces.Dict({"x": spaces.Box(-1, 1, ()), "kind": spaces.Discrete(3, start=3)}),
    "dict_image": spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "seen": spaces.Box(0, 255, (36, 36, 3), np.uint8)}),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "box": spaces.Box(-2, 2, (2,)),
    "discrete_from_three": spaces.Discrete(3, start=3),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_discrete_from_three": spaces.MultiDiscrete([2, 3], start=[3, -1]),
    "multi_binary": spaces.MultiBinary(2),
}
#: Spaces that Stable-Baselines3 does not take.
NESTED: dict[str, spaces.Space[Any]] = {
    "tuple": spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,))]),
    "nested": spaces.Dict(
        {
            "seen": spaces.Dict(
                {"near": spaces.Box(0, 255, (7, 7, 3), np.uint8), "type": spaces.MultiDiscrete([3, 2])}
            ),
            "felt": spaces.Tuple([spaces.Discrete(3, start=1), spaces.Tuple([spaces.Box(-1, 1, (1,))])]),
            "x": spaces.Box(-1, 1, (2,)),
        }
    ),
}


class Toy(gym.Env[Any, Any]):
    """Random observations; an episode is cut or ends after a number of steps that differs from episode to episode."""

    def __init__(self, observation: str = "box", action: str = "discrete", truncate: bool = False) -> None:
        self.observation_space = (OBSERVATIONS | NESTED)[observation]
        self.action_space = ACTIONS[action]
        self.truncate = truncate

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(3, 14))
        #: observations of this episode
        self.seen = [self.observation_space.sample()]
        return self.seen[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.left -= 1
        over = self.left == 0
        reward = float(self.np_random.normal())
        self.seen.append(self.observation_space.sample())
        return self.seen[-1], reward, over and not self.truncate, over and self.truncate, {}


def toy_venv(n_envs: int = 3, seed: int = 0, **kwargs: Any) -> VecEnv:
    """Toys in one process."""
    return make_vec_env(Toy, n_envs, seed=seed, env_kwargs=kwargs)


def toy_agent(env: Any = None, **kwargs: Any) -> PPO:
    """An agent with a tiny memory and two windows per environment and rollout."""
    settings: dict[str, Any] = dict(n_steps=32, sequence_length=16, batch_size=32, n_epochs=2, seed=0)
    settings |= dict(device="cpu", learning_rate=1e-3)
    policy_kwargs = {"memory_kwargs": TINY, **kwargs.pop("policy_kwargs", {})}
    policy = kwargs.pop("policy", "CompressiveMemoryPolicy")
    return PPO(policy, toy_venv() if env is None else env, policy_kwargs=policy_kwargs, **{**settings, **kwargs})


class StopAfter(BaseCallback):
    """Stop after so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def _on_step(self) -> bool:
        return self.n_calls < self.calls
