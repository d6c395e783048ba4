"""The commands of ``memory-bench sequence``."""

from __future__ import annotations

import typer

from memory_agents.benchmarks.sequence.algorithmic_cli import add_commands as add_algorithmic
from memory_agents.benchmarks.sequence.characters_cli import add_commands as add_characters
from memory_agents.benchmarks.sequence.regression_cli import add_commands as add_regression


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets ``sequence``
    """
    tasks = typer.Typer(no_args_is_help=True, help="Memory cores on sequences: the tasks of the papers behind them.")
    add_algorithmic(tasks)
    add_characters(tasks)
    app.add_typer(tasks, name="sequence")
    add_regression(app, tasks)
