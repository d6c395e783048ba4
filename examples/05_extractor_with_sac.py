"""
Memory for an algorithm that knows nothing of it: stock SAC swings up a pendulum without seeing how fast it turns.

``VecHistory`` shows the newest observations and actions in place of the newest observation, and
``CompressiveMemoryExtractor`` runs a memory over them. Any algorithm of Stable-Baselines3 that takes a features
extractor and dictionaries will do in place of SAC. An episode counts as a success if its return is above -400: the
pendulum was swung up and held there.

Run with ``python examples/05_extractor_with_sac.py``: two minutes. With ``HISTORY = 1``, which leaves nothing to
remember, the mean return is -1201 and no episode succeeds.
"""

from __future__ import annotations

import argparse

import numpy as np
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from memory_agents import CompressiveMemoryExtractor, VecHistory

TASK = "MemoryAgents/PendulumNoVelocity-v0"
HISTORY = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=6_000)
    arguments = parser.parse_args()

    env = VecHistory(make_vec_env(TASK, n_envs=1, seed=0), HISTORY, previous_action=True)
    policy_kwargs = dict(
        features_extractor_class=CompressiveMemoryExtractor,
        # For so few steps the cheapest of memories will do; "compressive" is the default.
        features_extractor_kwargs=dict(memory_class="gru", memory_kwargs=dict(hidden_size=32)),
        net_arch=[64, 64],
    )
    agent = SAC(
        "MultiInputPolicy",  # histories are dictionaries
        env,
        learning_rate=1e-3,
        buffer_size=arguments.total_timesteps,
        learning_starts=500,
        batch_size=128,
        policy_kwargs=policy_kwargs,
        seed=0,
        device="cpu",
        verbose=1,
    )
    agent.learn(arguments.total_timesteps, log_interval=5)

    unseen = VecHistory(make_vec_env(TASK, n_envs=10, seed=1_000), HISTORY, previous_action=True)
    returns, _ = evaluate_policy(agent, unseen, n_eval_episodes=20, return_episode_rewards=True)
    print(f"mean return: {np.mean(returns):.0f}")
    print(f"success rate: {np.mean(np.array(returns) > -400):.2f}")


if __name__ == "__main__":
    main()
