"""One training run's arguments, as they stand in its ``config.json``."""

from __future__ import annotations

import json
import os
import platform
import shlex
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.provenance import commit, source_hashes
from memory_agents.benchmarks.suites import suite_of

CONFIG_FILE = "config.json"
#: The algorithm of players who follow a script and learn nothing.
SCRIPTED = "Scripted"
PACKAGES = ("memory_agents", "torch", "gymnasium", "stable_baselines3", "sb3_contrib", "numpy")


@dataclass(frozen=True)
class TrainingConfig:
    """
    :param env: environment id
    :param env_kwargs: keyword arguments of the environment
    :param n_stack: the newest observations that the agent sees as one (1: the current one alone)
    :param policy: name of the policy, or ``module:Class``
    :param policy_kwargs: its keyword arguments, those of the memory excepted
    :param memory_class: registered name of the memory core, or ``module:Class`` (None: the policy's default)
    :param memory_kwargs: keyword arguments of the memory core
    :param algorithm: name of the algorithm, or ``module:Class``
    :param algorithm_kwargs: its keyword arguments
    :param judger_kwargs: how a learned judger of the memory is trained, the algorithm's ``judger_kwargs``
    :param pretrain_timesteps: how many of the environment steps come first, in an easier environment
    :param pretrain_env_kwargs: its keyword arguments, where they differ from ``env_kwargs``
    :param normalize_reward: divide rewards, while training, by a running estimate of the standard deviation of returns
    :param n_envs: environments side by side
    :param total_timesteps: environment steps to train for, over all environments; 0 for a scripted player
    :param seed: seed of everything
    :param device: PyTorch device, or ``"auto"``
    :param eval_episodes: episodes of the final evaluation
    :param threads: PyTorch's threads (None: PyTorch's choice)
    :raises UsageError: when a number is out of bounds
    """

    env: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    policy: str = "CompressiveMemoryPolicy"
    memory_class: str | None = None
    memory_kwargs: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "PPO"
    algorithm_kwargs: dict[str, Any] = field(default_factory=dict)
    judger_kwargs: dict[str, Any] = field(default_factory=dict)
    pretrain_timesteps: int = 0
    pretrain_env_kwargs: dict[str, Any] = field(default_factory=dict)
    normalize_reward: bool = False
    n_envs: int = 16
    total_timesteps: int = 200_000
    seed: int = 0
    device: str = "auto"
    eval_episodes: int = 100
    threads: int | None = None
    n_stack: int = 1
    policy_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scripted = self.algorithm == SCRIPTED
        counts = ("n_envs", "eval_episodes", "threads", "n_stack", *(() if scripted else ("total_timesteps",)))
        for name in counts:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value} is too small; use 1 or more")
        if scripted and self.total_timesteps:
            raise UsageError(f"--total-timesteps {self.total_timesteps}: a scripted player learns nothing; use 0")
        if not 0 <= self.pretrain_timesteps < max(1, self.total_timesteps):
            raise UsageError(
                f"--pretrain-timesteps {self.pretrain_timesteps} is a part of --total-timesteps; use 0 to "
                f"{self.total_timesteps - 1}"
            )
        if bool(self.pretrain_timesteps) != bool(self.pretrain_env_kwargs):
            raise UsageError(
                f"--pretrain-timesteps {self.pretrain_timesteps} and --pretrain-env-kwargs {self.pretrain_env_kwargs} "
                "say nothing without each other; give both or neither"
            )
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"--seed {self.seed} is out of bounds; use 0 to {2**31 - 1}")

    def command(self) -> str:
        """
        :return: the command that repeats this run
        """
        words = ["memory-bench", "train"]
        for entry in fields(self):
            value, option = getattr(self, entry.name), f"--{entry.name.replace('_', '-')}"
            if value is True:
                words.append(option)
            elif value is not None and value is not False and value != {}:
                words += [option, json.dumps(value) if isinstance(value, dict) else str(value)]
        return shlex.join(words)


def save_config(config: TrainingConfig, folder: Path) -> None:
    """
    Write ``config.json``: arguments, the command that repeats the run, commit, versions, hardware, and what identifies
    the code of policies, algorithms, memories and environments that came from elsewhere.

    :param config: the run's arguments
    :param folder: the run's folder
    """
    suite = suite_of(config.env)
    text = {
        "arguments": asdict(config),
        "command": config.command(),
        "commit": commit(),
        "sources": source_hashes(config.policy, config.algorithm, config.env, config.memory_class or ""),
        "versions": versions() if suite is None else versions(suite.distribution),
        "hardware": hardware(),
    }
    write_whole(folder / CONFIG_FILE, json.dumps(text, indent=2) + "\n")


def load_config(folder: Path) -> TrainingConfig:
    """
    :param folder: a run's folder
    :return: the run's arguments
    :raises UsageError: when it holds no readable ``config.json``
    """
    path = folder / CONFIG_FILE
    try:
        return TrainingConfig(**json.loads(path.read_text())["arguments"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not the configuration of a training run ({error})") from error


def versions(*more: str) -> dict[str, str]:
    """
    :param more: further packages
    :return: versions of Python and of the packages that results depend on
    """
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            # A bare checkout on the path, not installed.
            found[package] = "not installed"
    return found


def hardware() -> dict[str, Any]:
    """
    :return: what the speed depends on
    """
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "torch_threads": th.get_num_threads(),
        "cuda": th.cuda.get_device_name() if th.cuda.is_available() else None,
    }
