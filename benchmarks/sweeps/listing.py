"""The suites of runs on the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from memory_agents.benchmarks.sweeps.suite_file import load_suite, shipped


def suite_file_table() -> Table:
    """
    :return: every suite that comes with this library
    """
    table = Table(title="Suites of runs, for memory-bench run", title_justify="left", show_lines=True)
    table.add_column("suite", no_wrap=True)
    table.add_column("what it is for")
    for heading in ("environments", "agents"):
        table.add_column(heading)
    table.add_column("seeds", justify="right")
    for name in shipped():
        suite = load_suite(name)
        table.add_row(
            name,
            Text(suite.description),  # or [popgym] were markup
            ", ".join(entry.name for entry in suite.environments),
            ", ".join(entry.name for entry in suite.agents),
            str(len(suite.seeds)),
        )
    return table
