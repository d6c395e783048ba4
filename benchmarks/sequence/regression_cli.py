"""The commands ``copy-first`` and ``denoising`` of ``memory-bench sequence``."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch as th
import typer

from memory_agents.benchmarks.arguments import parse_kwargs
from memory_agents.benchmarks.cli_measuring import Threads
from memory_agents.benchmarks.sequence.regression import RegressionConfig, run_regression
from memory_agents.benchmarks.sequence.regression_report import (
    check_task,
    plot_regressions,
    regression_groups,
    regression_table,
)

Out = Annotated[Path, typer.Option(help="Folder for the runs; those that it already holds are not repeated.")]
MemoryClass = Annotated[list[str], typer.Option(help="Memory core, by its name (repeatable).")]
MemoryKwargs = Annotated[
    list[str] | None, typer.Option(help="Arguments of the memory cores: key=value (repeatable) or a JSON object.")
]
Length = Annotated[list[int], typer.Option(help="Numbers in a sequence (repeatable).")]
Blanks = Annotated[list[int], typer.Option(help="Numbers at its end that are never flagged (repeatable).")]
Seed = Annotated[list[int], typer.Option(help="Seed of weights and sequences (repeatable).")]
GradientSteps = Annotated[int, typer.Option(help="Gradient steps of each run.")]
BatchSize = Annotated[int, typer.Option(help="Fresh sequences per gradient step.")]
LearningRate = Annotated[float, typer.Option(help="Learning rate of Adam.")]
ValidateEvery = Annotated[int, typer.Option(help="Gradient steps between looks at the validation set.")]


def add_commands(app: typer.Typer, tasks: typer.Typer) -> None:
    """
    :param app: the command line, which keeps the name that ``copy-first`` had when its results were made
    :param tasks: the command line of ``sequence``, which gets the commands
    """
    tasks.command("copy-first")(copy_first)
    tasks.command("denoising")(denoising)
    app.command("copy-first", hidden=True)(copy_first)


def copy_first(
    out: Out,
    memory_class: MemoryClass,
    memory_kwargs: MemoryKwargs = None,
    length: Length = [5, 100, 300, 600],  # noqa: B006
    seed: Seed = [0],  # noqa: B006
    gradient_steps: GradientSteps = 500,
    batch_size: BatchSize = 32,
    learning_rate: LearningRate = 5e-3,
    validate_every: ValidateEvery = 50,
    threads: Threads = None,
) -> None:
    """Regress the first of T random numbers at the end of them: which memory core outlasts how much noise."""
    settings: dict[str, Any] = dict(
        task="copy-first",
        memory_kwargs=parse_kwargs("--memory-kwargs", memory_kwargs or []),
        gradient_steps=gradient_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=validate_every,
    )
    configs = [
        RegressionConfig(memory_class=name, length=numbers, seed=number, **settings)
        for number, numbers, name in product(seed, length, memory_class)
    ]
    _run(configs, out, threads)


def denoising(
    out: Out,
    memory_class: MemoryClass,
    memory_kwargs: MemoryKwargs = None,
    length: Length = [400],  # noqa: B006
    blanks: Blanks = [0, 200],  # noqa: B006
    seed: Seed = [0],  # noqa: B006
    gradient_steps: GradientSteps = 500,
    batch_size: BatchSize = 32,
    learning_rate: LearningRate = 5e-3,
    validate_every: ValidateEvery = 50,
    threads: Threads = None,
) -> None:
    """Regress, in order, the five of T random numbers that were flagged; of the last N none was."""
    settings: dict[str, Any] = dict(
        task="denoising",
        memory_kwargs=parse_kwargs("--memory-kwargs", memory_kwargs or []),
        gradient_steps=gradient_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=validate_every,
    )
    configs = [
        RegressionConfig(memory_class=name, length=numbers, blanks=never, seed=number, **settings)
        for number, numbers, never, name in product(seed, length, blanks, memory_class)
    ]
    _run(configs, out, threads)


def _run(configs: list[RegressionConfig], out: Path, threads: int | None) -> None:
    if threads is not None:
        th.set_num_threads(threads)
    check_task(out, configs[0].task)
    for config in configs:
        run_regression(config, out)
    groups = regression_groups(out)
    typer.echo(regression_table(groups))
    plot_regressions(groups, out / "curves.png")
    typer.echo(f"Learning curves: {out / 'curves.png'}")
