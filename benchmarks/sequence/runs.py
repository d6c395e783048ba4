"""Folders of runs: made once, never repeated, never mixed with others."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE, hardware, versions
from memory_agents.benchmarks.files import TEMPORARY, write_whole
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.provenance import commit
from memory_agents.benchmarks.sequence.checkpoint import CHECKPOINT_FILE, remove_checkpoint

CURVE_FILE, SCORE_FILE = "curve.csv", "score.json"

#: A row of a table of figures.
Row = dict[str, Any]


class RunConfig(Protocol):
    """A frozen dataclass with the arguments of a run."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def command(self) -> str:
        """
        :return: the command that repeats the run
        """


C = TypeVar("C", bound=RunConfig)


def option(name: str) -> str:
    """
    :param name: of an argument
    :return: the option that sets it
    """
    return f"--{name.replace('_', '-')}"


def command_line(
    task: str, config: RunConfig, renamed: Mapping[str, str] | None = None, left_out: Container[str] = ()
) -> str:
    """
    :param task: the command of ``memory-bench sequence``
    :param config: a run's arguments
    :param renamed: options of those that are not called as the argument is
    :param left_out: arguments that are no options of the command
    :return: the command that repeats the run
    """
    words = ["memory-bench", "sequence", task]
    for setting in fields(config):
        value = getattr(config, setting.name)
        if setting.name not in left_out and value is not None and value != {}:
            words.append((renamed or {}).get(setting.name) or option(setting.name))
            words.append(json.dumps(value) if isinstance(value, dict) else str(value))
    return shlex.join(words)


def check_count(config: RunConfig, *names: str, least: int = 1) -> None:
    """
    :param config: a run's arguments
    :param names: some of them, whole numbers
    :param least: the smallest that they may be
    :raises UsageError: when one is smaller
    """
    for name in names:
        if (value := getattr(config, name)) < least:
            raise UsageError(f"{option(name)} {value} is too small; use {least} or more")


def check_seed(seed: int) -> None:
    """
    :param seed: of a run
    :raises UsageError: when it is one of the seeds from 2**31 on, which held-out sequences have, or negative
    """
    if not 0 <= seed < 2**31:
        raise UsageError(f"--seeds {seed} is out of bounds; use 0 to {2**31 - 1}")


def is_finished(folder: Path, config: RunConfig, score_file: str = SCORE_FILE) -> bool:
    """
    :param folder: a run's folder, which may be missing
    :param config: the run's arguments
    :param score_file: name of the file that is written last
    :return: whether it has been done
    :raises UsageError: when the folder has a run with other arguments
    """
    if not (folder / CONFIG_FILE).is_file():
        return False
    if load_config(folder, type(config)) != config:
        raise UsageError(
            f"--out {str(folder.parent)!r} has {folder.name!r} with other arguments; choose another folder"
        )
    return (folder / score_file).is_file()


def begin_run(folder: Path, config: RunConfig, score_file: str = SCORE_FILE, **more: Any) -> None:
    """
    Only where the run is not finished, and nobody else is at it.

    :param folder: the run's folder, made where it is missing
    :param config: the run's arguments
    :param score_file: name of the file that is written last
    :param more: what else ``config.json`` shall tell
    :raises UsageError: when it cannot be written
    """
    make_folder(folder)
    if not (folder / CONFIG_FILE).is_file():
        # Nobody knows of which arguments they are.
        remove_checkpoint(folder)
        (folder / score_file).unlink(missing_ok=True)
    for path in folder.glob(f"*{TEMPORARY}"):
        # Somebody was killed while writing.
        path.unlink(missing_ok=True)
    text = {
        "arguments": asdict(config),
        "command": config.command(),
        **more,
        "commit": _commits(folder),
        "versions": versions(),
        "hardware": hardware(),
    }
    write_whole(folder / CONFIG_FILE, json.dumps(text, indent=2) + "\n")


def _commits(folder: Path) -> str | None:
    """The code that a run is made by: of a checkpoint that is there as well, where it was another one."""
    now = commit()
    if not (folder / CHECKPOINT_FILE).is_file():
        return now
    before: str | None = json.loads((folder / CONFIG_FILE).read_text())["commit"]
    if now is None or before is None or before.split(", ")[-1] == now:
        return before
    return f"{before}, {now}"


def finish_run(folder: Path, curve: Sequence[Row], score: dict[str, Any], score_file: str = SCORE_FILE) -> None:
    """
    :param folder: the run's folder
    :param curve: rows of the learning curve
    :param score: what came out
    :param score_file: name of its file; that it is there tells that the run is finished
    """
    write_rows(folder / CURVE_FILE, curve)
    write_whole(folder / score_file, json.dumps(score, indent=2) + "\n")
    remove_checkpoint(folder)


def load_config(folder: Path, kind: type[C]) -> C:
    """
    :param folder: a run's folder
    :param kind: class of its arguments
    :return: the arguments
    :raises UsageError: when it holds no ``config.json`` of this kind
    """
    path = folder / CONFIG_FILE
    try:
        return kind(**json.loads(path.read_text())["arguments"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not the configuration of a run of this kind ({error}); choose another folder"
        ) from error


def finished_runs(folders: Iterable[Path], kind: type[C]) -> list[tuple[C, dict[str, Any], Path]]:
    """
    :param folders: folders with runs in or below them
    :param kind: class of their arguments
    :return: arguments, score and folder of each finished run, by folder
    :raises UsageError: when there is none, or one is of another kind or cannot be read
    """
    roots = list(folders)
    runs = read_finished(roots, kind)
    if not runs:
        raise UsageError(f"no finished run in {', '.join(map(str, roots))}; train with memory-bench sequence")
    return runs


def read_finished(folders: Iterable[Path], kind: type[C]) -> list[tuple[C, dict[str, Any], Path]]:
    """
    :param folders: folders with runs in or below them, which may be missing
    :param kind: class of their arguments
    :return: arguments, score and folder of each finished run, by folder
    :raises UsageError: when one is of another kind, or cannot be read
    """
    paths = sorted(path.parent for root in folders for path in root.rglob(SCORE_FILE))
    return [(load_config(path, kind), load_score(path / SCORE_FILE), path) for path in paths]


def load_score(path: Path) -> dict[str, Any]:
    """
    :param path: a file of :func:`finish_run`
    :return: what came out
    :raises UsageError: when it is not whole
    """
    try:
        score: Any = json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path} is not whole ({error}); delete it, and run again") from error
    if not isinstance(score, dict):
        raise UsageError(f"{path} holds no figures; delete it, and run again")
    return score


def read_column(path: Path, name: str) -> list[str]:
    """
    :param path: a CSV file
    :param name: heading of a column
    :return: its values
    """
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """
    :param path: a CSV file to write
    :param rows: its rows
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())
