"""Agents as they are before training, in folders as runs leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents.benchmarks.agents import make_agent, make_training_env
from memory_agents.benchmarks.config import TrainingConfig, save_config

TMAZE = "MemoryAgents/TMaze-v0"
SMALL = {"memory_length": 4, "compressed_length": 2, "compression_rate": 2, "d_model": 16, "n_heads": 2}
JUDGED = {**SMALL, "judger": True}


def make_run(folder: Path, env: str = TMAZE, **arguments: Any) -> tuple[TrainingConfig, BaseAlgorithm]:
    """
    :param folder: where to write
    :param env: environment
    :param arguments: further arguments of the run
    :return: the arguments and the agent that the folder holds
    """
    folder.mkdir(parents=True)
    given = {"env_kwargs": {"corridor": 12} if env == TMAZE else {}, "n_envs": 2, "device": "cpu", **arguments}
    config = TrainingConfig(env, **given)
    th.manual_seed(0)
    venv = make_training_env(config)
    agent = make_agent(config, venv)
    agent.save(folder / "agent.zip")
    save_config(config, folder)
    venv.close()
    return config, agent
