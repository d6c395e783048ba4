"""The memory agent learns what a memoryless one cannot."""

from __future__ import annotations

import numpy as np
import pytest
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from memory_agents import DQN

THRESHOLD = 0.95


class StopWhenSolved(BaseCallback):
    """Saves the rest of the budget."""

    def _on_step(self) -> bool:
        successes = self.model.ep_success_buffer
        assert successes is not None
        # A twentieth of all actions is random, and every other one of these is wrong.
        return not (len(successes) == successes.maxlen and np.mean(successes) >= 0.96)


def tmaze(seed: int, corridor: int) -> VecEnv:
    return make_vec_env("MemoryAgents/TMaze-v0", n_envs=16, seed=seed, env_kwargs=dict(corridor=corridor))


def success(agent: BaseAlgorithm, corridor: int) -> float:
    mean_return, _ = evaluate_policy(agent, tmaze(1_000, corridor), n_eval_episodes=200, deterministic=True)
    return float(np.mean(mean_return))


def test_memory_solves_the_t_maze() -> None:
    small = dict(memory_length=8, compressed_length=4, n_layers=1, d_model=32)
    agent = DQN(
        "CompressiveMemoryPolicy",
        tmaze(0, 5),
        policy_kwargs=dict(memory_kwargs=small),
        sequence_length=16,
        burn_in=8,
        learning_starts=1_000,
        seed=0,
        device="cpu",
    )
    agent.learn(15_000, callback=StopWhenSolved())
    assert success(agent, 5) >= THRESHOLD


def test_without_memory_it_cannot_be_solved() -> None:
    agent = stable_baselines3.DQN(
        "MlpPolicy",
        tmaze(0, 5),
        learning_rate=5e-4,
        learning_starts=1_000,
        batch_size=256,
        train_freq=4,
        target_update_interval=5_000,
        seed=0,
        device="cpu",
    )
    agent.learn(15_000)
    assert success(agent, 5) < THRESHOLD - 0.2


@pytest.mark.slow
def test_the_defaults_solve_a_long_corridor() -> None:
    agent = DQN("CompressiveMemoryPolicy", tmaze(0, 50), seed=0, device="cpu")
    agent.learn(60_000, callback=StopWhenSolved())
    assert success(agent, 50) >= THRESHOLD
