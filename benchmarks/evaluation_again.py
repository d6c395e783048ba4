"""Evaluation of a run's agent after the run, also where the environment has other arguments than in training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents.benchmarks.agents import load_agent
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.evaluation import EVALUATION_FILE, evaluate, evaluation_seed
from memory_agents.benchmarks.judger_notes import record_run
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.runs import read_evaluation
from memory_agents.common.judger_recorder import judged_memory

AGENT_FILE = "agent.zip"


def trained_agent(run: Path, config: TrainingConfig) -> BaseAlgorithm:
    """
    :param run: folder of a finished run
    :param config: its arguments, perhaps on another device
    :return: its agent
    :raises UsageError: when it cannot be read, or has diverged in training
    """
    if (run / EVALUATION_FILE).is_file() and read_evaluation(run / EVALUATION_FILE).get("train_broken_off"):
        raise UsageError(
            f"{run} has diverged in training, so that its agent cannot act; train one with a lower learning_rate or "
            "max_grad_norm"
        )
    return load_agent(config, run / AGENT_FILE)


def evaluate_run(run: Path, config: TrainingConfig, timeline: Path | None = None) -> dict[str, Any]:
    """
    :param run: folder of a finished run
    :param config: its arguments, those of the evaluation perhaps others
    :param timeline: folder for the record and the picture of an episode, where the agent's memory is judged
    :return: the run's folder, the arguments, and what ``evaluation.json`` would say of these episodes
    :raises UsageError: when the agent cannot be read, or cannot play in this environment, or a record is asked for and
        its memory is not judged
    """
    agent = trained_agent(run, config)
    if timeline is not None and judged_memory(agent.policy) is None:
        raise UsageError(
            f"--timeline {str(timeline)!r}: the memory of {run} is not judged, there is nothing to show; leave it out"
        )
    evaluation = evaluate(agent, config)
    if timeline is not None:
        make_folder(timeline)
        record_run(agent, config, timeline, evaluation_seed(config.seed))
    return {"run": str(run), "arguments": asdict(config), **evaluation.summary()}
