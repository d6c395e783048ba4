"""The commands of ``memory-bench`` that look at what runs have left: reports, and episodes of trained agents."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from memory_agents.benchmarks.arguments import check_name
from memory_agents.benchmarks.collect import LABELS, THRESHOLD

Run = Annotated[Path, typer.Argument(help="Folder of a finished run.")]


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line that gets ``report``
    """
    app.command()(report)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders with runs in or below them.")],
    out: Annotated[Path, typer.Option(help="Folder for the report; an earlier one there is replaced.")],
    title: Annotated[str, typer.Option(help="Heading.")] = "Benchmark report",
    threshold: Annotated[
        float, typer.Option(help="Normalised return of training episodes to which steps and seconds are counted.")
    ] = THRESHOLD,
    label: Annotated[
        str,
        typer.Option(
            help="What agents are called: arguments, those in which they differ; folder, the folders without seeds."
        ),
    ] = "arguments",
) -> None:
    """Compare finished runs: one HTML page, Markdown, every table as CSV, every figure as PNG and SVG."""
    # Only here: none of it is needed to show the help.
    from memory_agents.benchmarks.report.study import read_study
    from memory_agents.benchmarks.report.write import MARKDOWN_FILE, write_report

    check_name("--label", label, LABELS, f"use {' or '.join(LABELS)}")
    command = ["memory-bench", "report", *map(str, runs), "--out", str(out)]
    for option, value, default in (
        ("--title", title, "Benchmark report"),
        ("--threshold", f"{threshold:g}", f"{THRESHOLD:g}"),
        ("--label", label, "arguments"),
    ):
        command += [option, value] if value != default else []
    study = read_study(runs, label)
    page = write_report(study, out, title, threshold, shlex.join(command))
    typer.echo(f"{len(study.numbers)} runs, {len(study.problems)} folders left out")
    typer.echo(f"Page: {page}")
    typer.echo(f"Markdown: {out / MARKDOWN_FILE}; tables as CSV and figures as PNG and SVG in folders beside it")
