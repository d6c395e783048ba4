"""The files of a report."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.report import figures, statistics, tables
from memory_agents.benchmarks.report.figures import Picture
from memory_agents.benchmarks.report.page import render
from memory_agents.benchmarks.report.palette import dash, series
from memory_agents.benchmarks.report.study import Comparison, Problem, Study
from memory_agents.benchmarks.report.svg import inline_svg, save_picture
from memory_agents.benchmarks.report.tables import Table
from memory_agents.benchmarks.runs import Run

PAGE_FILE, MARKDOWN_FILE = "index.html", "report.md"
FIGURES, TABLES = "figures", "tables"
PREFIX = "comparison-"
#: Files of a run that a report links to where they are there.
RAW_FILES = ("config.json", "evaluation.json", "evaluation.csv", "progress.csv", "monitor.csv", "judger.png")

#: Rows beyond which a table opens only when asked to.
LONG = 40


@dataclass(frozen=True)
class Section:
    """
    One comparison, ready to be written.

    :param name: how its files begin
    :param title: heading
    :param comparison: agents and tasks
    :param tables: its tables
    :param pictures: its figures, and for each its SVG element, its PNG and its SVG file
    """

    name: str
    title: str
    comparison: Comparison
    tables: tuple[Table, ...]
    pictures: tuple[tuple[Picture, str, Path, Path], ...]


def write_report(study: Study, out: Path, title: str, threshold: float, command: str) -> Path:
    """
    Write ``index.html``, which has all of it and needs nothing else; ``report.md``; and in folders every table as CSV
    and every figure as PNG and SVG. Equal runs give equal files.

    :param study: the runs
    :param out: where to write, made where it is missing; files of an earlier report are replaced
    :param title: heading
    :param threshold: normalised return that counts as learned
    :param command: the command that makes this report
    :return: the page
    :raises UsageError: when the folder cannot be made, or has folders where the report has files
    """
    for folder in (out, out / FIGURES, out / TABLES):
        make_folder(folder)
    earlier = [path for folder in (FIGURES, TABLES) for path in (out / folder).glob(f"{PREFIX}*")]
    for path in (out / PAGE_FILE, out / MARKDOWN_FILE, *earlier):
        if path.is_dir():
            raise UsageError(
                f"--out {str(out)!r}: {path} is a folder, where a report has a file; choose another folder"
            )
    for path in earlier:
        # An earlier report may have had more of them.
        path.unlink()
    sections = [
        _section(comparison, number, len(study.comparisons), out, threshold)
        for number, comparison in enumerate(study.comparisons, start=1)
    ]
    runs = tables.run_table(_numbered(study))
    for table in (*(table for section in sections for table in section.tables), runs):
        table.save(out / TABLES / f"{table.name}.csv")
    facts = _facts(study)
    commands = list(dict.fromkeys(_command(run) for _, _, _, run in _numbered(study)))
    page = render(
        "report.html",
        title=title,
        sections=sections,
        runs=runs,
        numbers=study.numbers,
        problems=_problem_groups(study.problems, out),
        links={folder: link_to(folder, out) for folder in study.numbers},
        raw={folder: [name for name in RAW_FILES if (folder / name).is_file()] for folder in study.numbers},
        facts=facts,
        threshold=threshold,
        command=command,
        commands=commands,
        series=series,
        dash=dash,
        tables_folder=TABLES,
        figures_folder=FIGURES,
        enough=statistics.ENOUGH_RUNS,
        coverage=statistics.COVERAGE,
        long=LONG,
        most_agents=max(len(comparison.agents) for comparison in study.comparisons),
    )
    (out / PAGE_FILE).write_text(page, encoding="utf-8")
    (out / MARKDOWN_FILE).write_text(
        _markdown(title, sections, runs, study, out, facts, command, commands), encoding="utf-8"
    )
    return out / PAGE_FILE


def link_to(target: Path, folder: Path) -> str:
    """
    :param target: a file or folder
    :param folder: the folder of the page that links to it
    :return: the address of the link
    """
    try:
        return quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix())
    except ValueError:
        # Windows: on another drive.
        return target.resolve().as_uri()


def _section(comparison: Comparison, number: int, of: int, out: Path, threshold: float) -> Section:
    name = f"{PREFIX}{number}"
    made = [
        tables.aggregate_table(comparison, f"{name}-aggregates"),
        tables.improvement_table(comparison, f"{name}-improvement"),
        tables.score_table(comparison, f"{name}-scores"),
        tables.speed_table(comparison, f"{name}-steps-to-threshold", threshold),
        tables.cost_table(comparison, f"{name}-cost"),
    ]
    pictures: list[Picture | None] = []
    if comparison.scored_tasks:
        pictures += [_final_picture(comparison, name), figures.efficiency_picture(comparison, f"{name}-training")]
    if comparison.scored_tasks and comparison.learners and len(comparison.agents) > 1:
        pictures.insert(1, _improvement_picture(comparison, name))
    pictures += [
        figures.curve_picture(comparison, task, f"{name}-curve-{index}")
        for index, task in enumerate(comparison.tasks, start=1)
    ]
    drawn = tuple(
        (picture, inline_svg(picture), *save_picture(picture, out / FIGURES)) for picture in pictures if picture
    )
    agents, on = len(comparison.agents), len(comparison.tasks)
    sizes = f"{agents} agent{'s' * (agents > 1)} on {on} task{'s' * (on > 1)}"
    title = f"{number}. {sizes}" if of > 1 else sizes
    return Section(name, title, comparison, tuple(table for table in made if table.rows), drawn)


def _final_picture(comparison: Comparison, name: str) -> Picture:
    rows = [
        (index, agent, statistics.interval(statistics.interquartile_mean, comparison.scores(agent)))
        for index, agent in enumerate(comparison.agents)
    ]
    return figures.interval_picture(
        "Final scores, interquartile mean", "normalised return (0 memoryless, 1 optimal)", rows, f"{name}-final"
    )


def _improvement_picture(comparison: Comparison, name: str) -> Picture:
    best = comparison.learners[0]
    rows = [
        (index, f"over {other}", statistics.improvement_interval(comparison.scores(best), comparison.scores(other)))
        for index, other in enumerate(comparison.agents)
        if other != best
    ]
    title = f"Probability of improvement of {best}"
    return figures.interval_picture(title, "P(a run of it scores higher)", rows, f"{name}-improvement", guide=0.5)


def _numbered(study: Study) -> list[tuple[int, str, str, Run]]:
    """Number, tasks and agent of each run; a player who learns nothing may stand for several tasks."""
    found: dict[int, tuple[list[str], str, Run]] = {}
    for comparison in study.comparisons:
        for (agent, task), runs in comparison.cells.items():
            for run in runs:
                found.setdefault(study.numbers[run.folder], ([], agent, run))[0].append(task)
    return [(number, "; ".join(tasks), agent, run) for number, (tasks, agent, run) in sorted(found.items())]


def _problem_groups(problems: Sequence[Problem], out: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Folders with their links by reason, so that one reason of many is told once."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for problem in problems:
        groups.setdefault(problem.reason, []).append((str(problem.folder), link_to(problem.folder, out)))
    return list(groups.items())


def _recorded(run: Run) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((run.folder / CONFIG_FILE).read_text())
    return recorded


def _command(run: Run) -> str:
    command = _recorded(run).get("command")
    return command if isinstance(command, str) else run.config.command()


def _facts(study: Study) -> list[tuple[str, str, int]]:
    """What was run on what: kind of fact, the fact, and how many runs it holds for."""
    found: Counter[tuple[str, str]] = Counter()
    for _, _, _, run in _numbered(study):
        recorded = _recorded(run)
        for name in ("versions", "hardware"):
            told = recorded.get(name) or {}
            found[name, ", ".join(f"{key} {value}" for key, value in told.items())] += 1
        if recorded.get("commit"):
            found["commit", str(recorded["commit"])] += 1
    return [(kind, fact, count) for (kind, fact), count in sorted(found.items())]


def _markdown(
    title: str,
    sections: Sequence[Section],
    runs: Table,
    study: Study,
    out: Path,
    facts: Sequence[tuple[str, str, int]],
    command: str,
    commands: Sequence[str],
) -> str:
    parts = [f"# {title}"]
    if study.problems:
        parts.append(f"{len(study.problems)} folders are left out; see [below](#left-out).")
    for section in sections:
        parts.append(f"## {section.title}")
        if section.comparison.has_few_runs:
            parts.append(
                f"Few seeds: some agents have {section.comparison.fewest_runs} of a task, and intervals of fewer than "
                f"{statistics.ENOUGH_RUNS} come out too narrow."
            )
        parts += [f"![{picture.alt}]({FIGURES}/{png.name})" for picture, _, png, _ in section.pictures]
        for table in section.tables:
            parts += [f"### {table.title}", table.note, table.markdown(), f"[CSV with runs]({TABLES}/{table.name}.csv)"]
    parts += ["## Runs", runs.note, _run_lines(runs, out), f"[CSV]({TABLES}/{runs.name}.csv)"]
    if study.problems:
        parts.append("## Left out")
        for reason, folders in _problem_groups(study.problems, out):
            parts.append("\n".join([f"{reason}:", "", *(f"- [{name}]({link})" for name, link in folders)]))
    parts.append("## Made with")
    parts.append("\n".join(f"- {kind} ({count} runs): {fact}" for kind, fact, count in facts))
    parts += ["## Again", "This report:", f"```sh\n{command}\n```"]
    parts += ["The runs, each with an `--out` of its own:", "```sh\n" + "\n".join(commands) + "\n```"]
    return "\n\n".join(parts) + "\n"


def _run_lines(runs: Table, out: Path) -> str:
    linked = tuple(
        tables.Row(row.values, (f"[{row.cells[0]}]({link_to(row.runs[0].folder, out)})", *row.cells[1:]), row.runs)
        for row in runs.rows
    )
    return tables.Table(runs.name, runs.title, runs.note, runs.headings, runs.words, linked).markdown()
