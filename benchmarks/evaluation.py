"""Evaluation of an agent: returns, normalised scores, successes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import stable_baselines3
from numpy.typing import NDArray
from sb3_contrib.common.maskable.utils import is_masking_supported
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.benchmarks.agents import make_env, make_vec_env, memory_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import SCRIPTED, TrainingConfig
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.judger_notes import DecisionNotes
from memory_agents.benchmarks.masked_play import WatchedPlayer
from memory_agents.common import MemoryActorCriticPolicy, decision_summary
from memory_agents.common.judger_recorder import judged_memory

EVALUATION_FILE = "evaluation.json"
#: By how much sums of single-precision rewards may be off, as a share of the returns' range.
ROUNDING = 1e-5

Return = TypeVar("Return", float, NDArray[np.float64])


def evaluation_seed(seed: int) -> int:
    """
    Environments side by side take consecutive seeds, so those of different runs must lie far apart, and apart from the
    seeds of training.

    :param seed: seed of a run
    :return: seed of the first environment of its evaluation
    """
    return 1_000_003 + 1_000 * seed


@dataclass(frozen=True)
class Anchors:
    """
    :param optimal: expected return of the best play
    :param memoryless: expected return of the best play without memory
    :param random: expected return of random actions
    """

    optimal: float
    memoryless: float
    random: float

    def normalize(self, episode_return: Return) -> Return:
        """
        :param episode_return: a return, or an array of them
        :return: 0 for memoryless and 1 for optimal play, not clipped
        """
        return (episode_return - self.memoryless) / (self.optimal - self.memoryless)

    def denormalize(self, score: float) -> float:
        """
        :param score: a normalised return
        :return: the return that it stands for
        """
        return self.memoryless + score * (self.optimal - self.memoryless)


@dataclass(frozen=True)
class Episode:
    """
    :param episode_return: sum of rewards
    :param length: steps
    :param success: what the environment's ``info["is_success"]`` said at the end (None: nothing)
    """

    episode_return: float
    length: int
    success: bool | None


@dataclass(frozen=True)
class Evaluation:
    """
    :param episodes: the episodes played; none by an agent whose training broke off
    :param anchors: the environment's known returns, where it is one of this library's
    :param judger: where the agent's memory is judged, what was decided (:func:`memory_agents.common.decision_summary`)
    :param invalid_actions: where the environment tells which actions are valid, how many of all those taken were not
    :param sampled: where the agent's memory is judged, the same with actions and decisions drawn, as while training: of
        a judger the likelier decisions alone can be quite other ones
    """

    episodes: tuple[Episode, ...]
    anchors: Anchors | None
    judger: dict[str, Any] | None = None
    invalid_actions: int | None = None
    sampled: Evaluation | None = None

    @property
    def mean_return(self) -> float | None:
        """Mean return of an episode; None without episodes."""
        return _mean([episode.episode_return for episode in self.episodes])

    @property
    def normalized_return(self) -> float | None:
        """The mean return, normalised; None without episodes or anchors."""
        mean_return = self.mean_return
        return None if self.anchors is None or mean_return is None else self.anchors.normalize(mean_return)

    @property
    def success_rate(self) -> float | None:
        """Share of successes; None where the environment does not tell."""
        return _mean([episode.success for episode in self.episodes if episode.success is not None])

    def summary(self) -> dict[str, Any]:
        """
        :return: what ``evaluation.json`` says of the episodes
        """
        returns = [episode.episode_return for episode in self.episodes]
        judged: dict[str, Any] = {} if self.judger is None else {"judger": self.judger}
        masked = {} if self.invalid_actions is None else {"invalid_actions": self.invalid_actions}
        if self.sampled is not None:
            drawn = self.sampled.summary()
            judged["sampled"] = {name: value for name, value in drawn.items() if name not in ("episodes", "anchors")}
        return {
            "episodes": len(self.episodes),
            "mean_return": self.mean_return,
            "std_return": float(np.std(returns)) if returns else None,
            "normalized_return": self.normalized_return,
            "success_rate": self.success_rate,
            "mean_length": _mean([episode.length for episode in self.episodes]),
            "anchors": None if self.anchors is None else asdict(self.anchors),
            **masked,
            **judged,
        }


def _mean(numbers: Sequence[float]) -> float | None:
    return float(np.mean(numbers)) if numbers else None


def anchors(config: TrainingConfig) -> Anchors | None:
    """
    :param config: the run's arguments
    :return: the environment's known returns; None where it is not one of this library's
    :raises UsageError: when the environment cannot be made
    """
    env = memory_env(make_env(config))
    return None if env is None else Anchors(env.optimal_return, env.memoryless_return, env.random_return)


def evaluate(agent: BaseAlgorithm, config: TrainingConfig) -> Evaluation:
    """
    Play episodes with deterministic actions, in environments of their own; where the memory is judged, play them again
    with actions and decisions drawn.

    :param agent: the agent
    :param config: the arguments of the run it was trained by, its environment perhaps another
    :return: the episodes
    :raises UsageError: when the environment cannot be made, or the agent cannot play in it
    """
    evaluation = _play(agent, config, deterministic=True)
    if judged_memory(agent.policy) is None:
        return evaluation
    return replace(evaluation, sampled=_play(agent, config, deterministic=False))


def _play(agent: BaseAlgorithm, config: TrainingConfig, deterministic: bool) -> Evaluation:
    successes: list[bool | None] = []
    n_invalid = 0

    def note(step: dict[str, Any], _: dict[str, Any]) -> None:
        nonlocal n_invalid
        n_invalid += int(isinstance(player, WatchedPlayer) and player.invalid[step["i"]])
        if step["done"]:
            success = step["info"].get("is_success")
            successes.append(None if success is None else bool(success))
        if notes is not None:
            notes.add(step["i"], step["states"], step["reward"], step["done"], step["info"])

    # Environments that have played their share go on, their episodes begun at every step, as evaluate_policy tells it:
    # an oracle would be at a loss there.
    side_by_side = 1 if config.algorithm == SCRIPTED else min(config.n_envs, config.eval_episodes)
    venv = make_vec_env(config, side_by_side)
    _check_spaces(agent, venv, config)
    venv.seed(evaluation_seed(config.seed))
    policy = agent.policy
    notes = None
    if isinstance(policy, MemoryActorCriticPolicy) and judged_memory(policy) is not None:
        notes = DecisionNotes(policy, venv, deterministic)
    player: Any = WatchedPlayer(agent, venv) if is_masking_supported(venv) else agent
    returns, lengths = evaluate_policy(
        player, venv, config.eval_episodes, deterministic=deterministic, callback=note, return_episode_rewards=True
    )
    venv.close()
    assert isinstance(returns, list)
    assert isinstance(lengths, list)
    episodes = zip(returns, lengths, successes, strict=True)
    played = tuple(Episode(float(r), int(n), success) for r, n, success in episodes)
    return Evaluation(
        played,
        anchors(config),
        None if notes is None else decision_summary(notes.records),
        n_invalid if isinstance(player, WatchedPlayer) else None,
    )


def check_spaces(agent: BaseAlgorithm, config: TrainingConfig) -> None:
    """
    :param agent: an agent
    :param config: the arguments of the run it was trained by, its environment perhaps another
    :raises UsageError: when the environment cannot be made, or the agent cannot play in it
    """
    venv = make_vec_env(config, 1)
    _check_spaces(agent, venv, config)
    venv.close()


def _check_spaces(agent: BaseAlgorithm, venv: VecEnv, config: TrainingConfig) -> None:
    seen = stable_baselines3.PPO._wrap_env(venv).observation_space  # images channel first, as agents have them
    for name, known, found in (
        ("observations", agent.observation_space, seen),
        ("actions", agent.action_space, venv.action_space),
    ):
        if known != found:
            raise UsageError(
                f"--env {config.env!r} with {config.env_kwargs} has {name} in {found}, but the agent was trained with "
                f"{known}; use arguments that leave them as they were"
            )


def save_evaluation(evaluation: Evaluation, folder: Path, **more: Any) -> None:
    """
    Write ``evaluation.csv``, one line per episode, and then ``evaluation.json``, the summary; each as a whole.

    :param evaluation: the evaluation
    :param folder: the run's folder
    :param more: further entries of the summary
    """
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["episode", "return", "length", "success"])
    for number, episode in enumerate(evaluation.episodes):
        success = "" if episode.success is None else int(episode.success)
        writer.writerow([number, episode.episode_return, episode.length, success])
    write_whole(folder / "evaluation.csv", lines.getvalue())
    # Last: it tells that the run is finished.
    write_whole(folder / EVALUATION_FILE, json.dumps({**evaluation.summary(), **more}, indent=2) + "\n")
