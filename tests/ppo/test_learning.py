"""The memory agent learns what a memoryless one cannot."""

from __future__ import annotations

import numpy as np
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from memory_agents import PPO

THRESHOLD = 0.9


class StopWhenSolved(BaseCallback):
    """Saves the rest of the budget."""

    def _on_step(self) -> bool:
        successes = self.model.ep_success_buffer
        assert successes is not None
        return not (len(successes) == successes.maxlen and np.mean(successes) >= 0.98)


def tmaze(seed: int) -> VecEnv:
    return make_vec_env("MemoryAgents/TMaze-v0", n_envs=16, seed=seed, env_kwargs=dict(corridor=20))


def success(agent: BaseAlgorithm) -> float:
    mean_return, _ = evaluate_policy(agent, tmaze(1_000), n_eval_episodes=200, deterministic=True)
    return float(np.mean(mean_return))


def test_memory_solves_the_t_maze() -> None:
    agent = PPO("CompressiveMemoryPolicy", tmaze(0), seed=0, device="cpu")
    agent.learn(60_000, callback=StopWhenSolved())
    assert success(agent) >= THRESHOLD


def test_without_memory_it_cannot_be_solved() -> None:
    agent = stable_baselines3.PPO("MlpPolicy", tmaze(0), n_steps=128, batch_size=512, n_epochs=4, seed=0, device="cpu")
    agent.learn(60_000)
    assert success(agent) < THRESHOLD - 0.2
