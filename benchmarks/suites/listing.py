"""The suites on the terminal."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version

from rich.table import Table
from rich.text import Text

from memory_agents.benchmarks.suites import SUITES


def suite_table() -> Table:
    """
    :return: every suite: version and number of ids where it is installed, the command that installs it elsewhere
    """
    table = Table(title="Environments by others", title_justify="left", show_lines=True)
    table.add_column("suite", no_wrap=True)
    table.add_column("example of an id", no_wrap=True)
    table.add_column("ids", justify="right")
    table.add_column("installed, or how to install")
    for suite in SUITES:
        with suppress(ImportError):
            suite.load()
        ids = suite.ids()
        # A Text and not a string: the extra in brackets is no markup.
        state = Text(version(suite.distribution) if ids else suite.install)
        table.add_row(suite.distribution, suite.example, str(len(ids)) if ids else "-", state)
    return table
