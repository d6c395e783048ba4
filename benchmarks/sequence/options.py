"""Options that all commands with runs on sequences have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from memory_agents.benchmarks.arguments import UsageError, words

Out = Annotated[Path, typer.Option(help="Folder for the runs; those that it already holds are not repeated.")]
Seeds = Annotated[list[str], typer.Option("--seeds", "--seed", help="Seeds, as 0,1,2 or 0-4 (repeatable).")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Autocast = Annotated[str | None, typer.Option(help="bfloat16, to compute products in that format.")]


def chosen(option: str, given: Sequence[str], known: Iterable[str]) -> list[str]:
    """
    :param option: name of an option, for the message
    :param given: what it was given, names one by one and in rows
    :param known: names that it takes, for the message
    :return: the names, each once
    :raises UsageError: when there is none
    """
    if not (names := words(given)):
        raise UsageError(f"{option} {','.join(given)!r} names none; use {', '.join(known)}")
    return names
