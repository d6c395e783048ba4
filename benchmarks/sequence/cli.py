"""The commands of ``memory-bench sequence``."""

from __future__ import annotations

import typer


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets ``sequence``
    """
    tasks = typer.Typer(no_args_is_help=True, help="Memory cores on sequences: the tasks of the papers behind them.")
    app.add_typer(tasks, name="sequence")
