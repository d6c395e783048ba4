"""Whether scores are measured right: the oracle must have 1.0, and random play what is claimed for it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np

from memory_agents.benchmarks.agents import make_env, make_training_env, memory_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import SCRIPTED, TrainingConfig
from memory_agents.benchmarks.evaluation import ROUNDING, Anchors, anchors, evaluate
from memory_agents.benchmarks.other_agents import make_other
from memory_agents.benchmarks.scripted import Scripted
from memory_agents.benchmarks.sweeps.plan import PlannedRun

#: Standard errors by which a mean over episodes may be off.
TOLERANCE = 5.0


def complaint(policy: str, returns: Sequence[float], known: Anchors, optimum_varies: bool) -> str | None:
    """
    :param policy: ``"Oracle"`` or ``"Random"``
    :param returns: returns of its episodes
    :param known: the environment's anchors
    :param optimum_varies: whether episodes differ in what can be had from them; otherwise the oracle must reach the
        optimum in every one
    :return: what is wrong; None where nothing is
    """
    values = np.asarray(returns, np.float64)
    scale = max(abs(known.optimal), abs(known.optimal - known.random))
    rounding = ROUNDING * scale
    if policy == "Oracle" and not optimum_varies:
        worst = float(values[np.abs(values - known.optimal).argmax()])
        if abs(worst - known.optimal) <= rounding:
            return None
        return f"its oracle has a return of {worst:.6g} where the optimum is {known.optimal:.6g} in every episode"
    anchor = known.optimal if policy == "Oracle" else known.random
    # What happens once in many episodes may not have happened in these, and then leaves no spread either.
    error = TOLERANCE * (float(values.std()) / sqrt(len(values)) + (known.optimal - known.random) / len(values))
    mean = float(values.mean())
    if abs(mean - anchor) <= error + rounding:
        return None
    name = "oracle" if policy == "Oracle" else "random play"
    return f"its {name} has a mean return of {mean:.6g} over {len(values)} episodes, and {anchor:.6g} is claimed"


def check_run(run: PlannedRun) -> str | None:
    """
    :param run: a finished run
    :return: what is wrong where it is of a scripted player in an environment with anchors; None where nothing is
    """
    if run.config.algorithm != SCRIPTED:
        return None
    return _check(run.config, _returns(run.folder), run.environment)


def play_and_check(config: TrainingConfig, name: str) -> tuple[list[str], float | None]:
    """
    Play a scripted player's episodes without a folder.

    :param config: the arguments of a run of the oracle or of random play
    :param name: what the environment is called
    :return: what is wrong, and the normalised mean return
    """
    venv = make_training_env(config)
    agent = make_other(Scripted, config, venv, "cpu")
    evaluation = evaluate(agent, config)
    venv.close()
    wrong = _check(config, [episode.episode_return for episode in evaluation.episodes], name)
    return [] if wrong is None else [wrong], evaluation.normalized_return


def _check(config: TrainingConfig, returns: Sequence[float], name: str) -> str | None:
    env = memory_env(make_env(config))
    known = anchors(config)
    if env is None or known is None:
        return None
    wrong = complaint(config.policy, returns, known, env.optimum_varies)
    return None if wrong is None else f"{name}: {wrong}; its scores cannot be trusted"


def _returns(folder: Path) -> list[float]:
    path = folder / "evaluation.csv"
    try:
        with path.open(newline="") as file:
            return [float(row["return"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); remove {folder} to have the run done anew") from error
