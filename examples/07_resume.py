"""
Training that is interrupted, and another process that goes on from the last checkpoint.

A checkpoint is the agent and, where observations or rewards are normalised, the statistics of that. What the agent
remembers of episodes in progress is not part of it: these end with the process, and new ones begin. The learning rate
falls over the whole training, and goes on falling from where it was.

The pole is balanced without seeing how fast it moves; without memory it falls after about 40 steps.
Run with ``python examples/07_resume.py``: a minute or two.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from memory_agents import PPO

TASK = "MemoryAgents/CartPoleNoVelocity-v0"
N_ENVS = 16


class Interruption(BaseCallback):
    """
    Stands for the power cut.

    :param steps: after which it comes
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_step(self) -> bool:
        return self.num_timesteps < self.steps


def first_part(folder: Path, total_timesteps: int) -> None:
    """Train, and leave checkpoints, until something happens half-way."""
    env = VecNormalize(make_vec_env(TASK, n_envs=N_ENVS, seed=0))
    agent = PPO("CompressiveMemoryPolicy", env, seed=0, device="cpu")
    every = max(1, total_timesteps // 8 // N_ENVS)
    checkpoints = CheckpointCallback(every, str(folder), name_prefix="agent", save_vecnormalize=True)
    agent.learn(total_timesteps, callback=[checkpoints, Interruption(total_timesteps // 2)])


def newest(folder: Path) -> tuple[Path, Path, int]:
    """The newest checkpoint: agent, statistics, and steps."""
    found = {int(m[1]): path for path in folder.iterdir() if (m := re.fullmatch(r"agent_(\d+)_steps.zip", path.name))}
    steps = max(found)
    return found[steps], folder / f"agent_vecnormalize_{steps}_steps.pkl", steps


def second_part(folder: Path, total_timesteps: int) -> tuple[PPO, VecNormalize]:
    """Go on where the newest checkpoint was."""
    saved, statistics, steps = newest(folder)
    env = VecNormalize.load(str(statistics), make_vec_env(TASK, n_envs=N_ENVS, seed=1))
    agent = PPO.load(saved, env=env, device="cpu")
    print(f"going on after {agent.num_timesteps} steps")
    assert agent.num_timesteps == steps
    agent.learn(max(1, total_timesteps - steps), reset_num_timesteps=False)
    return agent, env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=150_000)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        first_part(Path(name), arguments.total_timesteps)
        agent, env = second_part(Path(name), arguments.total_timesteps)

    # Agents see normalised observations when they are evaluated, too, by statistics that no longer change.
    unseen = VecNormalize(make_vec_env(TASK, n_envs=N_ENVS, seed=1_000), training=False, norm_reward=False)
    unseen.obs_rms = env.obs_rms
    returns, _ = evaluate_policy(agent, unseen, n_eval_episodes=32, return_episode_rewards=True)
    assert isinstance(returns, list)
    print(f"mean return: {sum(returns) / len(returns):.0f} of 500")
    print(f"success rate: {sum(value >= 475 for value in returns) / len(returns):.2f}")


if __name__ == "__main__":
    main()
