"""Regression by memory cores: training on fresh sequences of a task, and the test of what has been learned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch as th
from torch import nn

from memory_agents.benchmarks.arguments import UsageError, check_device, check_name, chosen_device
from memory_agents.benchmarks.sequence.checkpoint import Checkpoint
from memory_agents.benchmarks.sequence.regression_tasks import TASKS, RegressionTask, Sequences
from memory_agents.benchmarks.sequence.runs import (
    begin_run,
    check_count,
    check_seed,
    command_line,
    finish_run,
)
from memory_agents.benchmarks.sequence.turns import claim, is_settled
from memory_agents.memory import MemoryCore, memory_registry
from memory_agents.memory.building import make_memory
from memory_agents.nn.evaluating import evaluating
from memory_agents.sequence.randomness import seeded

#: What came out of a run.
FIGURES_FILE = "regression.json"

VALIDATION_SEQUENCES, TEST_SEQUENCES = 1000, 2000
#: Seeds of the sequences to validate and to test by, the same for all runs; those of runs are smaller.
VALIDATION_SEED, TEST_SEED = 2**31, 2**31 + 1
#: Bound of the gradient's norm: through hundreds of steps it explodes now and then.
MAX_GRAD_NORM = 1.0
#: Default of ``--learning-rate``, by task. In 200 steps of denoising at T = 100, nBRC comes to an error of 0.96 with
#: the rate of copy-first, and of 0.65 with the other.
LEARNING_RATES = {"copy-first": 5e-3, "denoising": 2e-2}
#: Sequences that run side by side where there is nothing to learn: a thousand long ones at once would take gigabytes.
CHUNK = 100


@dataclass(frozen=True)
class RegressionConfig:
    """
    :param memory_class: registered name of the memory core
    :param memory_kwargs: its arguments
    :param length: numbers in a sequence, T
    :param gradient_steps: steps of the optimiser
    :param batch_size: sequences per step
    :param learning_rate: of Adam
    :param validate_every: gradient steps between looks at the validation set
    :param seed: of weights and training sequences
    :param task: what is learned, a name in :data:`~memory_agents.benchmarks.sequence.regression_tasks.TASKS`
    :param blanks: numbers at the end that are never flagged, N; of ``"denoising"`` alone
    :param device: PyTorch device, or ``"auto"``
    :raises UsageError: when the core or the task is unknown, a number is out of bounds, or the task has no such option
    """

    memory_class: str
    memory_kwargs: dict[str, Any] = field(default_factory=dict)
    length: int = 300
    gradient_steps: int = 500
    batch_size: int = 32
    learning_rate: float = 5e-3
    validate_every: int = 50
    seed: int = 0
    # Results from before there was more than one task do not name it.
    task: str = "copy-first"
    blanks: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_name("--memory-class", self.memory_class, memory_registry, f"use {', '.join(memory_registry)}")
        check_name("task", self.task, TASKS, f"use {', '.join(TASKS)}")
        check_count(self, "gradient_steps", "batch_size", "validate_every")
        if not 0 < self.learning_rate < math.inf:
            usual = LEARNING_RATES[self.task]
            raise UsageError(f"--learning-rate {self.learning_rate} must be a positive number; use {usual}")
        check_seed(self.seed)
        if self.blanks and "blanks" not in self._task_options():
            raise UsageError(f"--blanks {self.blanks} is no option of {self.task}; leave it out")
        check_device(self.device)
        self.make_task()

    def make_task(self) -> RegressionTask:
        """
        :return: what is learned
        """
        return TASKS[self.task](**self._task_options())

    def _task_options(self) -> dict[str, int]:
        return {option.name: getattr(self, option.name) for option in fields(TASKS[self.task])}

    def folder_name(self) -> str:
        """
        :return: name of the run's folder, of core, sizes of the task and seed
        """
        sizes = "-".join(f"{name.lower()}{size}" for name, size in self.make_task().sizes.items())
        return f"{self.memory_class}-{sizes}-s{self.seed}"

    def command(self) -> str:
        """
        :return: the command that repeats this run
        """
        no_options = {"task", "blanks"} - self._task_options().keys()
        return command_line(self.task, self, {"seed": "--seeds"}, no_options)


class Regressor(nn.Module):
    """
    A memory core that reads a sequence step by step, and a linear readout of its last output.

    :param core: the memory core, of inputs as wide as the task's
    :param output_width: how many numbers are to be told
    """

    def __init__(self, core: MemoryCore[Any], output_width: int) -> None:
        super().__init__()
        self.core = core
        self.readout = nn.Linear(core.output_dim, output_width)

    def forward(self, inputs: th.Tensor) -> tuple[th.Tensor, th.Tensor | None]:
        """
        :param inputs: (batch, steps, input_width)
        :return: the numbers told, (batch, output_width), and what the core itself wants minimised, a scalar, or None
        """
        no_starts = th.zeros(inputs.shape[:2], dtype=th.bool, device=inputs.device)
        outputs, loss = self.core.unroll_with_loss(inputs, self.core.initial_state(len(inputs)), no_starts)
        guesses: th.Tensor = self.readout(outputs[:, -1])
        return guesses, loss

    @th.no_grad()
    def error(self, sequences: Sequences) -> float:
        """
        :param sequences: any number of them
        :return: mean squared error of what is told, without dropout
        """
        # Judgers that draw draw the same whenever they are looked at, and training draws on as if nobody had looked.
        with evaluating(self), seeded(TEST_SEED, sequences.inputs.device):
            guesses = th.cat([self(inputs)[0] for inputs in th.split(sequences.inputs, CHUNK)])
        return float(nn.functional.mse_loss(guesses, sequences.targets))


def make_regressor(config: RegressionConfig) -> Regressor:
    """
    :param config: the run's arguments
    :return: the untrained network, which follows from the seed alone
    :raises UsageError: when the core does not know an argument, or has a judger that has to be trained or told
    """
    task = config.make_task()
    with seeded(config.seed):
        try:
            core = make_memory(config.memory_class, task.input_width, config.memory_kwargs)
        except (TypeError, ValueError) as error:
            raise UsageError(f"--memory-class {config.memory_class!r} cannot be made: {error}") from error
        if core.is_told or core.judge_parameters():
            raise UsageError(
                f"--memory-kwargs judger={config.memory_kwargs.get('judger')!r}: a regression neither trains a judger "
                "nor tells it what matters; use keep, discard or random, or leave it out"
            )
        return Regressor(core, task.output_width).to(chosen_device(config.device))


@dataclass(frozen=True)
class Regression:
    """
    :param network: the trained network with the weights that did best on the validation set
    :param curve: gradient steps, mean squared error on the training sequences since the row before (None at step 0) and
        on the validation set
    :param figures: what :data:`FIGURES_FILE` says
    """

    network: Regressor
    curve: list[tuple[int, float | None, float]]
    figures: dict[str, Any]


def regress(config: RegressionConfig, folder: Path | None = None) -> Regression:
    """
    Learn from fresh sequences at every step, and test the weights that did best on the validation set. A step whose
    gradient is not finite changes nothing; figures say how many there were, as ``overflows``.

    :param config: the run's arguments
    :param folder: where to keep a checkpoint, and to go on from the one that is there; None for no such thing
    :return: the trained network and how it did
    :raises UsageError: as :func:`make_regressor`
    """
    # Dropout and judges that draw take their numbers from the one generator of the process.
    with seeded(config.seed, chosen_device(config.device)):
        return _regress(config, folder)


def _regress(config: RegressionConfig, folder: Path | None) -> Regression:
    network, task, device = make_regressor(config), config.make_task(), chosen_device(config.device)
    optimiser = th.optim.Adam(network.parameters(), config.learning_rate)
    training = th.Generator().manual_seed(config.seed)
    validation = task.draw(VALIDATION_SEQUENCES, th.Generator().manual_seed(VALIDATION_SEED)).to(device)
    curve: list[tuple[int, float | None, float]] = []
    best: tuple[float, int, dict[str, th.Tensor]] = (math.inf, 0, {})
    overflows = 0
    errors: list[float] = []
    checkpoint = Checkpoint(folder, device)
    if saved := checkpoint.load():
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        training.set_state(saved["training"])
        curve, best, overflows = saved["curve"], saved["best"], saved["overflows"]
    done = curve[-1][0] if curve else None
    for step in range(done or 0, config.gradient_steps + 1):
        if step != done and (step % config.validate_every == 0 or step == config.gradient_steps):
            error = network.error(validation)
            curve.append((step, sum(errors) / len(errors) if errors else None, error))
            errors.clear()
            # What is not a number is not smaller either.
            if error < best[0] or step == 0:
                best = error, step, {name: tensor.clone() for name, tensor in network.state_dict().items()}
            checkpoint.save(
                network=network.state_dict(),
                optimiser=optimiser.state_dict(),
                training=training.get_state(),
                curve=curve,
                best=best,
                overflows=overflows,
            )
        if step < config.gradient_steps:
            sequences = task.draw(config.batch_size, training).to(device)
            guesses, core_loss = network(sequences.inputs)
            mse = nn.functional.mse_loss(guesses, sequences.targets)
            optimiser.zero_grad()
            th.autograd.backward(mse if core_loss is None else mse + core_loss)
            norm = nn.utils.clip_grad_norm_(network.parameters(), MAX_GRAD_NORM)
            # Over hundreds of steps a gradient may overflow, and the bound would make it NaN.
            if norm.isfinite():
                optimiser.step()
            else:
                overflows += 1
            errors.append(float(mse.detach()))
    cpu_seconds = checkpoint.clock.spent()["cpu"]

    network.load_state_dict(best[2])
    test = task.draw(TEST_SEQUENCES, th.Generator().manual_seed(TEST_SEED)).to(device)
    figures = {
        "test_mse": network.error(test),
        "guessing_mse": float((test.targets**2).mean()),
        "best_validation_mse": best[0],
        "best_step": best[1],
        # JSON has no word for what is not a number.
        "final_validation_mse": curve[-1][2] if math.isfinite(curve[-1][2]) else None,
        "gradient_steps": config.gradient_steps,
        "overflows": overflows,
        "train_sequences": config.gradient_steps * config.batch_size,
        "train_cpu_seconds": cpu_seconds,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
    return Regression(network, curve, figures)


def run_regression(config: RegressionConfig, out: Path) -> bool:
    """
    Do one run, unless it has been done. Its folder is named by core, sizes and seed, and gets ``config.json``,
    ``curve.csv`` and ``regression.json``.

    :param config: the run's arguments
    :param out: folder of all runs
    :return: whether there was anything to do
    :raises UsageError: when the folder has a run with other arguments, or cannot be written
    :raises RunBusyError: when another process is at it
    """
    folder = out / config.folder_name()
    if is_settled(folder, config, FIGURES_FILE):
        return False
    # Refused arguments shall leave no folder behind.
    make_regressor(config)
    with claim(folder, config, FIGURES_FILE) as is_mine:
        if is_mine:
            begin_run(folder, config, FIGURES_FILE)
            result = regress(config, folder)
            names = ("gradient_step", "training_mse", "validation_mse")
            curve = [dict(zip(names, row, strict=True)) for row in result.curve]
            finish_run(folder, curve, result.figures, FIGURES_FILE)
    return is_mine
