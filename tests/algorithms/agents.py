"""Agents of every algorithm, small enough for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from memory_agents import A2C, PPO, TRPO, MaskablePPO
from memory_agents.common import MemoryOnPolicyAlgorithm
from memory_agents.common.actions import invalid_actions, mask_sizes
from memory_agents.memory import memory_registry
from tests.ppo.toys import TINY, Toy

#: Algorithms by name, with arguments that leave them two windows per environment and rollout.
ALGORITHMS: dict[str, tuple[type[MemoryOnPolicyAlgorithm], dict[str, Any]]] = {
    "A2C": (A2C, {}),
    "MaskablePPO": (MaskablePPO, dict(batch_size=32, n_epochs=2)),
    "PPO": (PPO, dict(batch_size=32, n_epochs=2)),
    "TRPO": (TRPO, dict(batch_size=32, n_critic_updates=1, cg_max_steps=2)),
}


#: Arguments with which cores compress or carry over what toys' short episodes show them.
SMALL: dict[str, dict[str, Any]] = {
    "compressive": TINY,
    "rmt": dict(segment_length=4, d_model=16, n_heads=2),
    "memformer": dict(segment_length=4, d_model=16, n_heads=2),
    "block_recurrent": dict(segment_length=4, d_model=16, n_heads=2),
}


#: Every core as an only memory and as one of two behind every algorithm; what says little more than the rest is slow.
EVERY_CORE = [
    pytest.param(
        name,
        memory,
        share,
        marks=[] if memory == "compressive" or (not share and name in ("A2C", "TRPO")) else [pytest.mark.slow],
    )
    for name in ALGORITHMS
    for memory in memory_registry
    for share in (False, True)
]


class Free(Toy):
    """Every action is valid."""

    def action_masks(self) -> np.ndarray:
        return np.ones(sum(mask_sizes(self.action_space)), np.bool_)


class MaskedToy(Toy):
    """A toy of which a random half of the actions is invalid at every step. Taking one of these is an error."""

    def __init__(self, observation: str = "box", action: str = "discrete", truncate: bool = False) -> None:
        super().__init__(observation, action, truncate)
        self.sizes = mask_sizes(self.action_space)
        self.valid = np.ones(sum(self.sizes), np.bool_)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        seen = super().reset(seed=seed, options=options)
        self._draw()
        return seen

    def _draw(self) -> None:
        choices = [self.np_random.random(size) < 0.5 for size in self.sizes]
        for choice in choices:
            choice[self.np_random.integers(len(choice))] = True
        self.valid = np.concatenate(choices)

    def action_masks(self) -> np.ndarray:
        return self.valid

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert not invalid_actions(np.asarray(action)[None], self.valid[None], self.action_space).any()
        outcome = super().step(action)
        self._draw()
        return outcome


def venv(name: str, n_envs: int = 3, seed: int = 0, **kwargs: Any) -> VecEnv:
    """Toys, masked ones for the algorithm that asks for masks."""
    return make_vec_env(MaskedToy if name == "MaskablePPO" else Toy, n_envs, seed=seed, env_kwargs=kwargs)


def make(name: str, env: Any = None, **kwargs: Any) -> Any:
    """An agent with a tiny memory."""
    cls, settings = ALGORITHMS[name]
    policy_kwargs = {"memory_kwargs": TINY, **kwargs.pop("policy_kwargs", {})}
    settings = dict(n_steps=32, sequence_length=16, seed=0, device="cpu", learning_rate=1e-3, **settings)
    policy = kwargs.pop("policy", "CompressiveMemoryPolicy")
    return cls(policy, venv(name) if env is None else env, policy_kwargs=policy_kwargs, **{**settings, **kwargs})


def takes(name: str, action: spaces.Space[Any]) -> bool:
    """Whether an algorithm takes actions of this kind."""
    return name != "MaskablePPO" or not isinstance(action, spaces.Box)
