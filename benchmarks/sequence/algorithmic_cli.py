"""The commands of ``memory-bench sequence`` for the algorithmic tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch as th
import typer

from memory_agents.benchmarks.arguments import numbers, parse_kwargs
from memory_agents.benchmarks.cli_measuring import Threads
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import check_file, make_folder
from memory_agents.benchmarks.sequence.algorithmic import AGENTS, AlgorithmicConfig, run_algorithmic
from memory_agents.benchmarks.sequence.algorithmic_report import (
    algorithmic_groups,
    algorithmic_table,
    plot_algorithmic,
)
from memory_agents.benchmarks.sequence.options import Autocast, Device, Out, Seeds, chosen
from memory_agents.benchmarks.sequence.pictures import check_picture
from memory_agents.sequence import task_registry

TABLE_FILE, CURVES_FILE = "table.md", "curves.png"
#: Splits of the paper.
SEGMENTS = {"copy": "3,6,9", "reverse": "2,4,6", "retrieval": "2,3,4,5", "quadratic": "6"}
#: Where a task has other defaults than :class:`AlgorithmicConfig`. Retrieval stays at guessing among the values shown
#: for thousands of updates, whatever the network, before it is learned.
OTHER_DEFAULTS: dict[str, dict[str, Any]] = {"retrieval": dict(updates=20_000, batch_size=64)}
PURPOSES = {
    "copy": "Give back a row of symbols, twice.",
    "reverse": "Give back a row of symbols from last to first.",
    "retrieval": "Give the value that came with the key asked for.",
    "quadratic": "Solve quadratic equations step by step, a line of the solution per segment.",
}


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets a command for each task, and ``table``
    """
    for task in task_registry:
        app.command(task, help=f"{PURPOSES[task]} Segments in the paper: {SEGMENTS[task]}.")(_command(task))
    app.command("table")(table)


def _command(task: str) -> Callable[..., None]:
    defaults = AlgorithmicConfig(task, "none", 1, **OTHER_DEFAULTS.get(task, {}))

    def train(
        out: Out,
        agents: Annotated[
            list[str], typer.Option(help=f"Memories, as none,xl,rmt (repeatable): {', '.join(AGENTS)}.")
        ] = ["none,xl,rmt"],  # noqa: B006
        segments: Annotated[
            list[str], typer.Option(help="Into how many segments sequences are split, as 3,6 (repeatable).")
        ] = [SEGMENTS[task]],  # noqa: B006
        seeds: Seeds = ["0"],  # noqa: B006
        task_kwargs: Annotated[
            list[str] | None, typer.Option(help="Arguments of the task: key=value (repeatable) or a JSON object.")
        ] = None,
        memory_kwargs: Annotated[
            list[str] | None, typer.Option(help="Further arguments of the cores: key=value (repeatable) or JSON.")
        ] = None,
        n_memory: Annotated[int, typer.Option(help="Memory tokens, slots or states.")] = defaults.n_memory,
        bptt: Annotated[
            int | None,
            typer.Option(help="Segments over which gradients flow, 0 for all; default: 1 for none and xl, else all."),
        ] = None,
        n_layers: Annotated[int, typer.Option(help="Layers.")] = defaults.n_layers,
        d_model: Annotated[int, typer.Option(help="Width.")] = defaults.d_model,
        n_heads: Annotated[int, typer.Option(help="Attention heads.")] = defaults.n_heads,
        d_feedforward: Annotated[int, typer.Option(help="Width of the MLPs.")] = defaults.d_feedforward,
        updates: Annotated[int, typer.Option(help="Updates of the model.")] = defaults.updates,
        batch_size: Annotated[int, typer.Option(help="Fresh sequences per update.")] = defaults.batch_size,
        learning_rate: Annotated[float, typer.Option(help="Of Adam, falling to a 20th.")] = defaults.learning_rate,
        warmup: Annotated[int, typer.Option(help="Updates over which it rises first.")] = defaults.warmup,
        max_grad_norm: Annotated[float, typer.Option(help="Bound on the gradient's norm.")] = defaults.max_grad_norm,
        validate_every: Annotated[
            int, typer.Option(help="Updates between looks at the validation set.")
        ] = defaults.validate_every,
        stop_at: Annotated[
            float, typer.Option(help="Accuracy there that ends a run early; above 1 for never.")
        ] = defaults.stop_at,
        device: Device = defaults.device,
        autocast: Autocast = None,
        threads: Threads = None,
    ) -> None:
        if threads is not None:
            th.set_num_threads(threads)
        shared = dict(
            task_kwargs=parse_kwargs("--task-kwargs", task_kwargs or []),
            memory_kwargs=parse_kwargs("--memory-kwargs", memory_kwargs or []),
            n_memory=n_memory,
            bptt=bptt,
            n_layers=n_layers,
            d_model=d_model,
            n_heads=n_heads,
            d_feedforward=d_feedforward,
            updates=updates,
            batch_size=batch_size,
            learning_rate=learning_rate,
            warmup=warmup,
            max_grad_norm=max_grad_norm,
            validate_every=validate_every,
            stop_at=stop_at,
            device=device,
            autocast=autocast,
        )
        configs = [
            AlgorithmicConfig(task=task, agent=agent, n_segments=n, seed=seed, **shared)  # type: ignore[arg-type]
            for seed in numbers("--seeds", seeds, 0)
            for n in numbers("--segments", segments)
            for agent in chosen("--agents", agents, AGENTS)
        ]
        run_algorithmic(configs, out, typer.echo)
        table([out], out / TABLE_FILE, out / CURVES_FILE)

    return train


def table(
    folders: Annotated[list[Path], typer.Argument(help="Folders with finished runs in or below them.")],
    out: Annotated[Path | None, typer.Option(help="File for the table, as Markdown.")] = None,
    curves: Annotated[Path | None, typer.Option(help="Picture of the learning curves to write, a PNG file.")] = None,
) -> None:
    """Show finished runs on the algorithmic tasks beside what was published."""
    if out is not None:
        check_file("--out", out)
    if curves is not None:
        check_picture("--curves", curves)
    groups = algorithmic_groups(folders)
    text = algorithmic_table(groups)
    typer.echo(text)
    if out is not None:
        make_folder(out.parent)
        write_whole(out, text + "\n")
    if curves is not None:
        make_folder(curves.parent)
        plot_algorithmic(groups, curves)
        typer.echo(f"Learning curves: {curves}")
