"""Environments and agents from a run's arguments."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import sb3_contrib
from sb3_contrib.common.maskable.utils import is_masking_supported
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor, VecNormalize

from memory_agents import FlatDictObservation, make_batched
from memory_agents.benchmarks.algorithms import ALGORITHMS, Algorithm
from memory_agents.benchmarks.arguments import BrokenCodeError, UsageError, check_device, check_name, described
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.env_ids import check_env
from memory_agents.benchmarks.frame_stack import FrameStack
from memory_agents.benchmarks.other_agents import (
    make_other,
    memory_arguments,
    memory_class_of,
    memory_policy_kwargs,
    other_algorithm,
    policy_of,
)
from memory_agents.benchmarks.suites import reports_success, suite_of
from memory_agents.common import MemoryActorCriticPolicy
from memory_agents.common.building import default_features_extractor
from memory_agents.common.observations import is_nested
from memory_agents.envs import ENVIRONMENTS, MemoryEnv, ShowImportance
from memory_agents.memory.compressive import judge_registry

#: The baseline without memory: the stock algorithm on the current observation alone.
MEMORYLESS = "MlpPolicy"


#: With fewer environments it is quicker to play one after the other.
FEWEST_AT_ONCE = 8

#: What environments raise that refuse their arguments; all else is a mistake of their own.
_REFUSALS = (AssertionError, TypeError, ValueError, ImportError, OSError, gym.error.Error)


def policy_names() -> list[str]:
    """
    :return: what ``--policy`` takes
    """
    known = (name for algorithm in ALGORITHMS.values() for name in algorithm.remembering.policy_aliases)
    return [*dict.fromkeys(known), MEMORYLESS]


def make_env(config: TrainingConfig, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """
    :param config: the run's arguments
    :param render_mode: None or ``"rgb_array"``
    :return: one environment; one of another suite has that suite's wrappers, and nested observations are flattened
    :raises UsageError: when the id is unknown, its suite is not installed, the environment refuses its arguments, or
        does not draw itself as asked for
    :raises BrokenCodeError: when the environment fails by itself
    """
    check_env(config.env)
    try:
        return _make_env(config, render_mode)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        what = f"--env {config.env!r} cannot be made ({described(error)})"
        if isinstance(error, _REFUSALS):
            raise UsageError(f"{what}; see memory-bench list --envs") from error
        raise BrokenCodeError(f"{what}; mend the environment") from error


def _make_env(config: TrainingConfig, render_mode: str | None) -> gym.Env[Any, Any]:
    suite = suite_of(config.env)
    if suite is None:
        env = _bare_env(config, render_mode)
        if memory_env(env) is not None and "max_episode_steps" in config.env_kwargs:
            raise ValueError("max_episode_steps cuts episodes short, for which its known returns do not hold")
        env = show_importance(env, config)
        return stack_frames(FlatDictObservation(env) if is_nested(env.observation_space) else env, config)
    # What Gymnasium's checker finds in an environment by others is not for the user to mend.
    env = show_importance(suite.adapt(_bare_env(config, render_mode, disable_env_checker=True)), config)
    env = stack_frames(env, config)
    # Some refuse their arguments only here, and the folder for the results shall not exist by then.
    env.reset()
    return env


def _bare_env(config: TrainingConfig, render_mode: str | None, **options: Any) -> gym.Env[Any, Any]:
    if render_mode is None:
        return gym.make(config.env, **options, **config.env_kwargs)
    with warnings.catch_warnings():
        # Gymnasium warns of a mode that is missing, and makes the environment; here it is refused.
        warnings.filterwarnings("ignore", message=r".*render_mode")
        try:
            env = gym.make(config.env, **options, **{**config.env_kwargs, "render_mode": render_mode})
        except TypeError as error:
            if "render_mode" not in str(error):
                raise
            raise UsageError(
                f"--env {config.env!r} draws no pictures, as its constructor takes no render_mode; add that, or look "
                "at the run with memory-bench inspect, which needs none"
            ) from error
    modes = env.metadata.get("render_modes") or []
    if render_mode not in modes:
        env.close()
        raise UsageError(
            f"--env {config.env!r} draws no pictures: its metadata has render_modes={modes} without {render_mode!r}; "
            "add that with a render() for it, or look at the run with memory-bench inspect, which needs none"
        )
    return env


def show_importance(env: gym.Env[Any, Any], config: TrainingConfig) -> gym.Env[Any, Any]:
    """
    :param env: an environment
    :param config: the run's arguments
    :return: it, showing what matters where the judger of the memory is one that is told
    :raises UsageError: when the environment does not tell
    """
    if not wants_importance(config):
        return env
    if "important" not in env.reset()[1]:
        raise UsageError(
            f"--memory-kwargs judger={_judger_kind(config)} has to be told what matters, and --env {config.env!r} does "
            "not tell it in info['important']; use one that does, such as MemoryAgents/CueStream-v0, or another judger"
        )
    return ShowImportance(env)


def wants_importance(config: TrainingConfig) -> bool:
    """
    :param config: the run's arguments
    :return: whether the judger of the memory is one that is told what matters
    """
    kind = _judger_kind(config)
    return isinstance(kind, str) and kind in judge_registry and judge_registry[kind].is_told


def _judger_kind(config: TrainingConfig) -> Any:
    judger = config.memory_kwargs.get("judger")
    return judger.get("kind") if isinstance(judger, dict) else judger


def stack_frames(env: gym.Env[Any, Any], config: TrainingConfig) -> gym.Env[Any, Any]:
    """
    :param env: an environment
    :param config: the run's arguments
    :return: it, its observations stacked where the agent has no other memory
    """
    return env if config.n_stack == 1 else FrameStack(env, config.n_stack)


def memory_env(env: gym.Env[Any, Any]) -> MemoryEnv | None:
    """
    :param env: an environment, wrapped or not
    :return: it without wrappers, where it is one of this library's, whose anchors are known
    """
    return env.unwrapped if isinstance(env.unwrapped, MemoryEnv) else None


def make_vec_env(config: TrainingConfig, n_envs: int, log: Path | None = None) -> VecMonitor:
    """
    :param config: the run's arguments
    :param n_envs: environments side by side
    :param log: CSV file that gets one line per episode
    :return: the environments, monitored; this library's own are played all at once where that is quicker
    :raises UsageError: when the id is unknown or the environment refuses its arguments
    """
    first = make_env(config)
    info_keywords = ("is_success",) if memory_env(first) is not None or reports_success(first) else ()
    venv: VecEnv
    if n_envs >= FEWEST_AT_ONCE and config.env in ENVIRONMENTS and config.n_stack == 1 and not wants_importance(config):
        venv = make_batched(config.env, n_envs, monitor=False, **config.env_kwargs)
    else:
        factories: list[Callable[[], gym.Env[Any, Any]]] = [lambda: first]
        factories += [lambda: make_env(config)] * (n_envs - 1)
        venv = DummyVecEnv(factories)
    return VecMonitor(venv, None if log is None else str(log), info_keywords)


def make_training_env(config: TrainingConfig, log: Path | None = None) -> VecEnv:
    """
    :param config: the run's arguments
    :param log: CSV file that gets one line per episode, its return not scaled
    :return: the environments to learn in
    :raises UsageError: when the id is unknown or the environment refuses its arguments
    """
    venv = make_vec_env(config, config.n_envs, log)
    if not config.normalize_reward:
        return venv
    return VecNormalize(venv, norm_obs=False, gamma=config.algorithm_kwargs.get("gamma", 0.99))


def make_agent(config: TrainingConfig, venv: VecEnv) -> BaseAlgorithm:
    """
    :param config: the run's arguments
    :param venv: the environments to learn in
    :return: the untrained agent
    :raises UsageError: when the algorithm, the policy or a memory argument is unknown, or they do not fit together
    """
    other = other_algorithm(config)
    device = check_device(config.device)
    if issubclass(
        other or ALGORITHMS[config.algorithm].memoryless, sb3_contrib.MaskablePPO
    ) and not is_masking_supported(venv):
        raise UsageError(
            f"--algorithm {config.algorithm!r} asks which actions are valid, and --env {config.env!r} has no "
            "action_masks() to tell it; use PPO, or an environment that does, such as MemoryAgents/Concentration-v0"
        )
    try:
        if other is not None:
            return make_other(other, config, venv, device)
        algorithm = ALGORITHMS[config.algorithm]
        policy = policy_of(config)
        if isinstance(policy, str):
            check_name("--policy", policy, policy_names(), f"use {', '.join(policy_names())}, or module:Class")
        if not has_memory(policy):
            return _memoryless(algorithm, policy, config, venv, device)
        judger = {"judger_kwargs": dict(config.judger_kwargs)} if config.judger_kwargs else {}
        make: Callable[..., BaseAlgorithm] = algorithm.remembering
        return make(
            policy,
            venv,
            policy_kwargs=memory_policy_kwargs(config),
            seed=config.seed,
            device=device,
            **judger,
            **config.algorithm_kwargs,
        )
    except (AssertionError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        if ":" in config.policy + config.algorithm and isinstance(error, ArithmeticError | RuntimeError):
            # So Stable-Baselines3 and PyTorch refuse arguments, too; of the user's own code it is a bug, for
            # which the traceback is needed.
            raise
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is not None and unknown[1] in config.algorithm_kwargs:
            raise UsageError(
                f"--algorithm-kwargs has {unknown[1]!r}, which --algorithm {config.algorithm!r} does not know; leave "
                "it out, or look at how it is spelt"
            ) from error
        asked = f"--policy {config.policy!r}"
        if config.algorithm != TrainingConfig.algorithm:
            asked = f"--algorithm {config.algorithm!r} with {asked}"
        complaint = str(error) or type(error).__name__
        raise UsageError(f"{asked} cannot be made: {complaint}; see memory-bench list --policies") from error


def has_memory(policy: str | type[BasePolicy]) -> bool:
    """
    :param policy: a policy of this library's algorithms by name, or a class
    :return: whether it is for the algorithm with memory, rather than for the stock one
    """
    return policy != MEMORYLESS if isinstance(policy, str) else issubclass(policy, MemoryActorCriticPolicy)


def load_agent(config: TrainingConfig, path: Path) -> BaseAlgorithm:
    """
    :param config: the arguments of the run that trained it
    :param path: its file
    :return: the agent
    :raises UsageError: when it cannot be read
    """
    # These import what the file names; the policy's module may also be the one that registers the memory.
    kind, policy = other_algorithm(config), policy_of(config)
    if config.memory_class is not None:
        memory_class_of(config.memory_class)
    if kind is None:
        algorithm = ALGORITHMS[config.algorithm]
        kind = algorithm.remembering if has_memory(policy) else algorithm.memoryless
    try:
        return kind.load(path, device=check_device(config.device))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(f"{path} is not the agent of a training run ({error})") from error


def _memoryless(
    algorithm: Algorithm, policy: str | type[BasePolicy], config: TrainingConfig, venv: VecEnv, device: str
) -> BaseAlgorithm:
    if memory_arguments(config):
        raise UsageError(
            f"--policy {config.policy!r} has no memory; leave out --memory-class, --memory-kwargs and --judger-kwargs"
        )
    make: Callable[..., BaseAlgorithm] = algorithm.memoryless
    channel_first = algorithm.memoryless._wrap_env(venv)
    policy_kwargs = dict(config.policy_kwargs)
    if isinstance(policy, str):
        extractor = default_features_extractor(channel_first.observation_space)
        policy_kwargs = {"features_extractor_class": extractor, **policy_kwargs}
        policy = "MultiInputPolicy" if isinstance(venv.observation_space, gym.spaces.Dict) else MEMORYLESS
    defaults = dict(policy_kwargs=policy_kwargs, **algorithm.hyperparameters(venv.num_envs, config.algorithm_kwargs))
    return make(
        policy,
        channel_first,
        seed=config.seed,
        device=device,
        **{**defaults, **config.algorithm_kwargs},
    )
