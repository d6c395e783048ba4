"""The commands ``copy-first`` and ``denoising`` of ``memory-bench sequence``."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch as th
import typer

from memory_agents.benchmarks.arguments import numbers, parse_kwargs
from memory_agents.benchmarks.cli_measuring import Threads
from memory_agents.benchmarks.sequence.options import Device, Out, Seeds
from memory_agents.benchmarks.sequence.regression import (
    LEARNING_RATES,
    RegressionConfig,
    make_regressor,
    run_regression,
)
from memory_agents.benchmarks.sequence.regression_report import (
    check_task,
    plot_regressions,
    regression_groups,
    regression_table,
)
from memory_agents.benchmarks.sequence.turns import in_turn

MemoryClass = Annotated[list[str], typer.Option(help="Memory core, by its name (repeatable).")]
MemoryKwargs = Annotated[
    list[str] | None, typer.Option(help="Arguments of the memory cores: key=value (repeatable) or a JSON object.")
]
Length = Annotated[list[int], typer.Option(help="Numbers in a sequence (repeatable).")]
Blanks = Annotated[list[int], typer.Option(help="Numbers at its end that are never flagged (repeatable).")]
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
    seeds: Seeds = ["0"],  # noqa: B006
    gradient_steps: GradientSteps = 500,
    batch_size: BatchSize = 32,
    learning_rate: LearningRate = LEARNING_RATES["copy-first"],
    validate_every: ValidateEvery = 50,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Regress the first of T random numbers at the end of them: which memory core outlasts how much noise."""
    settings: dict[str, Any] = dict(
        gradient_steps=gradient_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=validate_every,
        device=device,
    )
    sizes: list[dict[str, Any]] = [{"length": n} for n in length]
    _run(_configs("copy-first", memory_class, memory_kwargs, sizes, seeds, settings), out, threads)


def denoising(
    out: Out,
    memory_class: MemoryClass,
    memory_kwargs: MemoryKwargs = None,
    length: Length = [400],  # noqa: B006
    blanks: Blanks = [0, 200],  # noqa: B006
    seeds: Seeds = ["0"],  # noqa: B006
    gradient_steps: GradientSteps = 500,
    batch_size: BatchSize = 32,
    learning_rate: LearningRate = LEARNING_RATES["denoising"],
    validate_every: ValidateEvery = 50,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Regress, at the end and in order, the five of T random numbers that were flagged; none of the last N was."""
    settings: dict[str, Any] = dict(
        gradient_steps=gradient_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=validate_every,
        device=device,
    )
    sizes: list[dict[str, Any]] = [{"length": n, "blanks": last} for n, last in product(length, blanks)]
    _run(_configs("denoising", memory_class, memory_kwargs, sizes, seeds, settings), out, threads)


def _configs(
    task: str,
    memory_class: list[str],
    memory_kwargs: list[str] | None,
    sizes: list[dict[str, Any]],
    seeds: list[str],
    settings: dict[str, Any],
) -> list[RegressionConfig]:
    kwargs = parse_kwargs("--memory-kwargs", memory_kwargs or [])
    return [
        RegressionConfig(memory_class=name, memory_kwargs=kwargs, seed=seed, task=task, **size, **settings)
        for seed, size, name in product(numbers("--seeds", seeds, 0), sizes, memory_class)
    ]


def _run(configs: list[RegressionConfig], out: Path, threads: int | None) -> None:
    if threads is not None:
        th.set_num_threads(threads)
    check_task(out, configs[0].task)
    # What one of them refuses shall not come out after the others have been trained.
    for config in configs:
        make_regressor(config)
    in_turn(configs, lambda config: run_regression(config, out), typer.echo)
    groups = regression_groups(out)
    typer.echo(regression_table(groups))
    plot_regressions(groups, out / "curves.png")
    typer.echo(f"Learning curves: {out / 'curves.png'}")
