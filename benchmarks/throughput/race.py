"""Training until a task is solved, by the clock."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch as th
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from memory_agents.benchmarks.agents import make_agent, make_training_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.collect import markdown
from memory_agents.benchmarks.config import TrainingConfig, hardware, versions
from memory_agents.benchmarks.evaluation import evaluate
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.other_agents import other_algorithm
from memory_agents.benchmarks.provenance import commit

#: Tasks by name: an environment and its arguments.
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "tmaze": ("MemoryAgents/TMaze-v0", {"corridor": 20}),
    "object_matching": ("MemoryAgents/ObjectMatching-v0", {"n_shapes": 4, "delay": 2}),
}
#: RecurrentPPO with this library's hyperparameters, and with its own.
RACERS = ("compressive", "recurrent_ppo_256", "recurrent_ppo_defaults")


@dataclass(frozen=True)
class Rules:
    """
    :param budget: environment steps after which a run is given up, at the end of the update in which they are reached
    :param check_every: environment steps between two evaluations, at the end of the next update
    :param episodes: episodes of an evaluation, with deterministic actions
    :param success_rate: share of successes from which on a task is solved
    :param max_ratio: times the seconds in which the first agent solved it, after which a run of another is given up, at
        the end of the update in which they pass. Both it and the budget end with a last evaluation, which counts
    """

    budget: int = 1_000_000
    check_every: int = 4096
    episodes: int = 100
    success_rate: float = 0.95
    max_ratio: float = 20.0


@dataclass(frozen=True)
class Finish:
    """
    :param task: name of the task
    :param agent: name of the agent
    :param seed: seed of the run
    :param arguments: all arguments of the run
    :param rules: when it was over
    :param max_seconds: seconds of training after which it was to be given up; None for no such bound
    :param solved: whether an evaluation showed the task solved. The last one counts, which is at the end of the update
        in which the budget or these seconds ran out, so that ``seconds`` may be a little more than these
    :param steps: environment steps trained for
    :param seconds: seconds of training, evaluations not counted
    :param cpu_seconds: the same in CPU seconds of the process
    :param checks: of every evaluation the steps, the seconds up to then, and the share of successes
    :param is_recurrent_ppo: whether the agent is one of sb3-contrib's RecurrentPPO
    :param commit: commit of this library
    :param versions: versions of packages
    :param hardware: what the speed depends on
    """

    task: str
    agent: str
    seed: int
    arguments: dict[str, Any]
    rules: dict[str, Any]
    max_seconds: float | None
    solved: bool
    steps: int
    seconds: float
    cpu_seconds: float
    checks: list[tuple[int, float, float]]
    is_recurrent_ppo: bool
    commit: str | None
    versions: dict[str, str]
    hardware: dict[str, Any]


class Referee(BaseCallback):
    """
    Evaluates between an update and the next rollout, stops its clocks meanwhile, and ends the training when the task is
    solved or the time is up.

    :param config: the arguments of the run
    :param rules: when to look, and when it is over
    :param max_seconds: seconds of training after which it is over, at the end of the update in which they pass; it is
        evaluated once more then, and that evaluation counts
    """

    def __init__(self, config: TrainingConfig, rules: Rules, max_seconds: float = math.inf) -> None:
        super().__init__()
        self.config, self.rules = replace(config, eval_episodes=rules.episodes), rules
        self.max_seconds = max_seconds
        self.checks: list[tuple[int, float, float]] = []
        self.solved = self.over = False
        self.seconds = self.cpu_seconds = 0.0
        self._next = rules.check_every

    def _on_training_start(self) -> None:
        self._resume()

    def _on_rollout_start(self) -> None:
        seconds = self.seconds + time.perf_counter() - self._started
        # Before the first rollout there has been no update.
        late = self.num_timesteps > 0 and seconds >= self.max_seconds
        if late or self.num_timesteps >= self._next:
            self._check()
            self.over = late or self.solved

    def _on_step(self) -> bool:
        return not self.over

    def _on_training_end(self) -> None:
        # The last update was not followed by a rollout.
        if not self.over:
            self._check()

    def _check(self) -> None:
        self.seconds += time.perf_counter() - self._started
        self.cpu_seconds += time.process_time() - self._cpu_started
        rate = evaluate(self.model, self.config).success_rate
        assert rate is not None
        self.checks.append((self.num_timesteps, self.seconds, rate))
        self.solved = rate >= self.rules.success_rate
        self._next = self.num_timesteps + self.rules.check_every
        self._resume()

    def _resume(self) -> None:
        self._started, self._cpu_started = time.perf_counter(), time.process_time()


def race(task: str, agent: str, config: TrainingConfig, rules: Rules, first: Finish | None = None) -> Finish:
    """
    :param task: name of the task
    :param agent: name of the agent
    :param config: the arguments of the run
    :param rules: when it is over
    :param first: how the first agent did with this task and seed
    :return: what came out
    :raises UsageError: when an argument cannot be used, or the environment does not tell successes
    """
    if config.threads is not None:
        th.set_num_threads(config.threads)
    venv = make_training_env(config)
    learner: BaseAlgorithm = make_agent(config, venv)
    learner.set_logger(Logger(None, []))
    if evaluate(learner, replace(config, eval_episodes=1)).success_rate is None:
        raise UsageError(f"--env {config.env!r} does not tell when an episode is a success; choose one that does")
    max_seconds = rules.max_ratio * first.seconds if first is not None and first.solved else math.inf
    referee = Referee(config, rules, max_seconds)
    learner.learn(rules.budget, referee)
    venv.close()
    return Finish(
        task,
        agent,
        config.seed,
        asdict(config),
        asdict(rules),
        max_seconds if math.isfinite(max_seconds) else None,
        referee.solved,
        referee.checks[-1][0],
        referee.seconds,
        referee.cpu_seconds,
        referee.checks,
        is_recurrent_ppo(config),
        commit(),
        versions(),
        hardware(),
    )


def is_recurrent_ppo(config: TrainingConfig) -> bool:
    """
    :param config: the arguments of a run
    :return: whether its agent is one of sb3-contrib's RecurrentPPO
    """
    other = other_algorithm(config)
    return other is not None and issubclass(other, RecurrentPPO)


def save_finish(finish: Finish, path: Path) -> None:
    """
    :param finish: what came out of a run
    :param path: its file
    """
    write_whole(path, json.dumps(asdict(finish), indent=2) + "\n")


def load_finish(path: Path) -> Finish:
    """
    :param path: what :func:`save_finish` wrote
    :return: what came out of the run
    :raises UsageError: when it is no such file
    """
    try:
        content = json.loads(path.read_text())
        checks = [(int(steps), float(seconds), float(rate)) for steps, seconds, rate in content.pop("checks")]
        return Finish(**content, checks=checks)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not the result of a race ({error}); move it away") from error


def median_seconds(finishes: Sequence[Finish], of: Callable[[Finish], float]) -> float:
    """
    :param finishes: one agent's runs of one task
    :param of: which of their numbers
    :return: the median, in which a run that was given up counts as endless
    """
    # The lower of the two in the middle would leave out an endless one.
    return statistics.median_high([of(finish) if finish.solved else math.inf for finish in finishes])


def race_table(finishes: Sequence[Finish]) -> str:
    """
    :param finishes: what came out
    :return: a Markdown table, agents and their minibatches by task, and for each task a line that compares the first
        agent with the quickest RecurrentPPO, each with its quickest minibatches
    """
    rows: list[tuple[str, ...]] = [
        (
            "task",
            "agent",
            "seeds",
            "solved",
            "steps, by seed",
            "seconds, by seed",
            "median",
            "CPU seconds, median",
        )
    ]
    lines = []
    sizes = {(finish.agent, _batch_size(finish)) for finish in finishes}
    several = {agent for agent, n_sizes in Counter(agent for agent, _ in sizes).items() if n_sizes > 1}
    groups: dict[str, dict[str, list[Finish]]] = {}
    for finish in finishes:
        agent = finish.agent
        name = f"{agent} with minibatches of {_batch_size(finish)}" if agent in several else agent
        groups.setdefault(finish.task, {}).setdefault(name, []).append(finish)
    for task, racers in groups.items():
        for name, runs in racers.items():
            runs.sort(key=lambda run: run.seed)
            rows.append(
                (
                    task,
                    name,
                    ", ".join(str(run.seed) for run in runs),
                    f"{sum(run.solved for run in runs)} of {len(runs)}",
                    ", ".join(f"{'' if run.solved else '> '}{run.steps:,}" for run in runs),
                    ", ".join(f"{'' if run.solved else '> '}{run.seconds:.0f}" for run in runs),
                    _shown(runs, lambda run: run.seconds),
                    _shown(runs, lambda run: run.cpu_seconds),
                )
            )
        lines += _compared(task, racers)
    return "\n\n".join([markdown(rows), *lines]) + "\n"


def _shown(runs: Sequence[Finish], of: Callable[[Finish], float]) -> str:
    median = median_seconds(runs, of)
    # At least that of the runs that were given up.
    return f"{median:.0f}" if math.isfinite(median) else f"> {statistics.median_high([of(run) for run in runs]):.0f}"


def _batch_size(run: Finish) -> int | None:
    """Transitions of a minibatch, where the agent was given a number."""
    size: int | None = run.arguments.get("algorithm_kwargs", {}).get("batch_size")
    return size


def _compared(task: str, racers: dict[str, list[Finish]]) -> list[str]:
    """Of the first agent the quickest minibatches, and of RecurrentPPO the quickest of all."""
    first = next(iter(racers.values()))[0]
    mine = [name for name, runs in racers.items() if runs[0].agent == first.agent]
    theirs = [name for name, runs in racers.items() if name not in mine and runs[0].is_recurrent_ppo]
    if not theirs or first.is_recurrent_ppo:
        return []

    def order(name: str) -> tuple[float, float]:
        runs = racers[name]
        return median_seconds(runs, lambda run: run.seconds), statistics.median([run.seconds for run in runs])

    quickest, best = min(mine, key=order), min(theirs, key=order)
    taken, its = order(quickest), order(best)
    if not math.isfinite(taken[0]):
        return [f"{task}: {first.agent} did not solve it on most seeds."]
    ratio = f"{its[0] / taken[0]:.1f} times" if math.isfinite(its[0]) else f"more than {its[1] / taken[0]:.1f} times"
    return [f"{task}: {best}, the quickest RecurrentPPO, took {ratio} as long as {quickest} (medians)."]
