"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from memory_agents.benchmarks.training import TrainingResult

#: Width where there is no terminal to ask, so that piped tables stay whole.
PIPED_WIDTH = 160


def make_console() -> Console:
    """
    :return: a console on the present standard output
    """
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


def number(value: float | None, digits: int = 3) -> str:
    """
    :param value: a number, or None
    :param digits: digits after the point
    :return: the number as text; a dash for None
    """
    return "-" if value is None else f"{value:.{digits}f}"


def result_table(title: str, results: Mapping[str, TrainingResult]) -> Table:
    """
    :param title: heading
    :param results: training runs by the name that their row gets
    :return: one row per run
    """
    table = Table(title=title, title_justify="left")
    table.add_column("agent", no_wrap=True)
    for heading in ("return", "normalised (0..1)", "success rate", "steps", "seconds"):
        table.add_column(heading, justify="right")
    for name, result in results.items():
        evaluation = result.evaluation
        table.add_row(
            name,
            number(evaluation.mean_return),
            number(evaluation.normalized_return),
            number(evaluation.success_rate),
            f"{result.steps:,}",
            f"{result.seconds:.0f}",
        )
    return table
