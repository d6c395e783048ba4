"""A training run from its arguments to the files of its folder."""

from __future__ import annotations

import io
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from memory_agents.benchmarks.agents import make_agent, make_training_env
from memory_agents.benchmarks.config import CONFIG_FILE, TrainingConfig, save_config
from memory_agents.benchmarks.evaluation import Evaluation, anchors, evaluate, evaluation_seed, save_evaluation
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.judger_notes import record_run
from memory_agents.benchmarks.output import CHECKPOINT_FOLDER, FAILURE_FILE, check_run_folder, make_folder, prepare_run
from memory_agents.benchmarks.run_lock import hold

#: One line per episode: of the easier environment, if there is one, and of the real one.
MONITOR_FILES = ("pretraining-monitor.csv", "monitor.csv")


#: Environment steps between points of learning curves off-policy.
LOG_STEPS = 2048


@dataclass(frozen=True)
class TrainingResult:
    """
    :param config: the run's arguments
    :param folder: where its files are
    :param agent: the trained agent
    :param evaluation: the final evaluation
    :param steps: environment steps trained for; whole rollouts, so a little more than asked for
    :param seconds: wall-clock time of training, evaluation not counted
    """

    config: TrainingConfig
    folder: Path
    agent: BaseAlgorithm
    evaluation: Evaluation
    steps: int
    seconds: float


class Checkpoints(BaseCallback):
    """
    Saves the agent while it learns, as ``checkpoints/STEPS.zip``.

    :param folder: the run's folder
    :param checkpoint_freq: environment steps between two of them, over all environments
    """

    def __init__(self, folder: Path, checkpoint_freq: int) -> None:
        super().__init__()
        self.folder, self.checkpoint_freq = folder / CHECKPOINT_FOLDER, checkpoint_freq
        self._next = checkpoint_freq

    def _init_callback(self) -> None:
        self.folder.mkdir(exist_ok=True)

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            save_agent(self.model, self.folder / f"{self.num_timesteps}.zip")
            self._next = self.num_timesteps - self.num_timesteps % self.checkpoint_freq + self.checkpoint_freq
        return True


def save_agent(agent: BaseAlgorithm, path: Path) -> None:
    """
    :param agent: an agent
    :param path: its file, which is there as a whole or not at all
    """
    content = io.BytesIO()
    agent.save(content)
    write_whole(path, content.getvalue())


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    progress: bool = True,
    overwrite: bool = False,
    checkpoint_freq: int | None = None,
    callback: BaseCallback | None = None,
) -> TrainingResult:
    """
    Train, save the agent, evaluate it. Training that no longer gives numbers ends there, and nothing is evaluated.

    With pretraining the agent learns in the easier environment first, its learning rate falling over these steps, and
    goes on in the real one, its learning rate falling once more from where all steps taken together have brought it.

    The folder gets ``config.json``, ``monitor.csv`` (one line per episode), ``progress.csv`` and TensorBoard events
    (one entry per rollout), ``agent.zip``, ``evaluation.json`` and ``evaluation.csv``; where the agent's memory is
    judged, ``judger.npz`` and ``judger.png``, an episode's record and its picture; and ``failure.txt``, a traceback,
    where training ended by an error. ``evaluation.json`` comes last and as a whole: a run that has it is finished.

    :param config: the run's arguments
    :param folder: where to write; other processes are kept out of it
    :param progress: whether to show a progress bar
    :param overwrite: whether to replace an earlier run in this folder
    :param checkpoint_freq: environment steps between two savings of the agent; None: at the end alone
    :param callback: watches the training, and may end it before its time
    :return: the trained agent and its evaluation
    :raises UsageError: when an argument cannot be used, or another process works in the folder; nothing has been
        written then
    """
    rehearse(config)
    check_run_folder(folder, overwrite)
    with hold(folder):
        prepare_run(folder, overwrite)
        return train_in(folder, config, progress=progress, checkpoint_freq=checkpoint_freq, callback=callback)


def rehearse(config: TrainingConfig) -> None:
    """
    Make everything once: a refused argument must neither replace an earlier run nor leave a folder behind.

    :param config: the run's arguments
    :raises UsageError: when an argument cannot be used
    """
    if config.threads is not None:
        th.set_num_threads(config.threads)
    for stage in _stages(config):
        rehearsal = make_training_env(stage)
        make_agent(stage, rehearsal)
        rehearsal.close()


def train_in(
    folder: Path,
    config: TrainingConfig,
    *,
    progress: bool = False,
    checkpoint_freq: int | None = None,
    callback: BaseCallback | None = None,
) -> TrainingResult:
    """
    What :func:`train` does in a folder that is ready.

    :param folder: the folder, empty but for foreign files, and held by this process
    :param config: the run's arguments, rehearsed
    :param progress: whether to show a progress bar
    :param checkpoint_freq: environment steps between two savings of the agent; None: at the end alone
    :param callback: watches the training, and may end it before its time
    :return: the trained agent and its evaluation
    """
    callbacks: list[BaseCallback] = [LogSteps()]
    if checkpoint_freq is not None:
        callbacks.append(Checkpoints(folder, checkpoint_freq))
    if callback is not None:
        callbacks.append(callback)
    try:
        save_config(config, folder)
        return _train(folder, config, progress, callbacks)
    # An agent that wants to exit has failed, too.
    except (Exception, SystemExit):
        note_failure(folder, config, traceback.format_exc())
        raise


def has_diverged(error: ValueError) -> bool:
    """
    :param error: what acting has ended with
    :return: whether it is because actions are no numbers: what PyTorch's distributions say of it, or, where they do not
        look at numbers, this library
    """
    return any(told in str(error) for told in ("found invalid values", "training has diverged"))


def note_failure(folder: Path, config: TrainingConfig, reason: str) -> None:
    """
    Write ``failure.txt``, and ``config.json`` where it is missing, by which reports tell what it was that failed.

    :param folder: the run's folder, held by this process; it is made where it is missing
    :param config: the run's arguments
    :param reason: the traceback, or whatever is known
    """
    make_folder(folder)
    write_whole(folder / FAILURE_FILE, reason)
    if not (folder / CONFIG_FILE).is_file():
        save_config(config, folder)


def _train(folder: Path, config: TrainingConfig, progress: bool, callbacks: list[BaseCallback]) -> TrainingResult:
    stages = _stages(config)
    venv = make_training_env(stages[0], folder / MONITOR_FILES[-len(stages)])
    agent = make_agent(stages[0], venv)
    agent.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    start, cpu_start = time.perf_counter(), time.process_time()
    broken_off = False
    try:
        # Some log far more seldom by default, and learning curves are made from the log.
        log: dict[str, Any] = {"log_interval": 1 if isinstance(agent, OnPolicyAlgorithm) else None}
        agent.learn(stages[0].total_timesteps, callbacks, progress_bar=progress, **log)
        for stage in stages[1:]:
            venv.close()
            venv = make_training_env(stage, folder / MONITOR_FILES[-1])
            venv.seed(config.seed)
            agent.set_env(venv)
            # What is logged from here on is of this environment alone.
            agent.ep_info_buffer = agent.ep_success_buffer = None
            agent.learn(stage.total_timesteps, callbacks, progress_bar=progress, reset_num_timesteps=False, **log)
    except ValueError as error:
        # Training that blows up is a result like any other.
        if not has_diverged(error):
            raise
        broken_off = True
    finally:
        agent.logger.close()
        venv.close()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    save_agent(agent, folder / "agent.zip")

    evaluation = Evaluation((), anchors(config))
    if not broken_off:
        try:
            evaluation = evaluate(agent, config)
            record_run(agent, config, folder, evaluation_seed(config.seed))
        except ValueError as error:
            # It has blown up in its last update.
            if not has_diverged(error):
                raise
            broken_off = True
    save_evaluation(
        evaluation,
        folder,
        train_steps=agent.num_timesteps,
        train_seconds=seconds,
        # Unlike the seconds on the clock, these do not depend on what else the machine does.
        train_cpu_seconds=cpu_seconds,
        train_broken_off=broken_off,
        parameters=sum(parameter.numel() for parameter in agent.policy.parameters() if parameter.requires_grad),
    )
    return TrainingResult(config, folder, agent, evaluation, agent.num_timesteps, seconds)


class LogSteps(BaseCallback):
    """Has an off-policy algorithm log every 2048 steps, and not every so many episodes."""

    def _on_training_start(self) -> None:
        self.logged, self.next = self.num_timesteps, self.num_timesteps + LOG_STEPS

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next:
            self._log()
            self.next += LOG_STEPS
        return True

    def _on_training_end(self) -> None:
        if self.num_timesteps > self.logged:
            self._log()

    def _log(self) -> None:
        self.logged = self.num_timesteps
        if isinstance(self.model, OffPolicyAlgorithm):
            self.model.dump_logs()


def _stages(config: TrainingConfig) -> list[TrainingConfig]:
    """The run without pretraining, and what comes before it, each with its own steps."""
    first = config.pretrain_timesteps
    real = replace(config, total_timesteps=config.total_timesteps - first, pretrain_timesteps=0, pretrain_env_kwargs={})
    if not first:
        return [real]
    return [replace(real, total_timesteps=first, env_kwargs={**config.env_kwargs, **config.pretrain_env_kwargs}), real]
