"""Every algorithm learns a T-maze with no further argument, which its stock counterpart without memory cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import stable_baselines3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from memory_agents import A2C, TRPO, MaskablePPO
from memory_agents.maskable_ppo import evaluate_policy
from tests.ppo.test_learning import THRESHOLD, StopWhenSolved


def tmaze(seed: int, **kwargs: Any) -> VecEnv:
    return make_vec_env("MemoryAgents/TMaze-v0", n_envs=16, seed=seed, env_kwargs=dict(corridor=10, **kwargs))


def success(agent: Any, **kwargs: Any) -> float:
    masked = isinstance(agent, MaskablePPO)
    mean_return, _ = evaluate_policy(agent, tmaze(1_000, **kwargs), n_eval_episodes=100, use_masking=masked)
    return float(np.mean(mean_return))


def test_a2c_learns_by_memory() -> None:
    agent = A2C("CompressiveMemoryPolicy", tmaze(0), seed=0, device="cpu")
    agent.learn(60_000, callback=StopWhenSolved())
    assert success(agent) >= THRESHOLD


def test_a2c_without_memory_does_not() -> None:
    agent = stable_baselines3.A2C("MlpPolicy", tmaze(0), n_steps=16, seed=0, device="cpu").learn(20_000)
    assert success(agent) < THRESHOLD - 0.2


@pytest.mark.slow
def test_maskable_ppo_learns_the_original_maze_with_its_walls() -> None:
    agent = MaskablePPO("CompressiveMemoryPolicy", tmaze(0, auto_advance=False), seed=0, device="cpu")
    agent.learn(60_000, callback=StopWhenSolved())
    assert success(agent, auto_advance=False) >= THRESHOLD


@pytest.mark.slow
def test_trpo_learns_by_memory() -> None:
    agent = TRPO("CompressiveMemoryPolicy", tmaze(0), seed=0, device="cpu")
    agent.learn(60_000, callback=StopWhenSolved())
    assert success(agent) >= THRESHOLD
