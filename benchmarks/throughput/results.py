"""Measurements as a file, and what can be made of it again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import hardware, versions
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.provenance import commit
from memory_agents.benchmarks.throughput.measurement import Measurement
from memory_agents.benchmarks.throughput.stopwatch import WALL

RESULTS_FILE = "results.json"


@dataclass(frozen=True)
class Measured:
    """
    A group that has been measured.

    :param case: name of the comparison
    :param title: what it compares
    :param axis: what grows along the axis of its picture, if it has one
    :param at: where its agents stand on the axis; None for one that has not what grows along it
    :param agents: their measurements; the first is what the others are compared with
    :param load: processes that were at work on average in the minute before, as the system counts them, if it does
    :param clock: of which times its seconds are, see :class:`~memory_agents.benchmarks.throughput.stopwatch.Stopwatch`
    """

    case: str
    title: str
    axis: str | None
    at: tuple[float | None, ...]
    agents: tuple[Measurement, ...]
    load: float | None = None
    clock: str = WALL


def load_now() -> float | None:
    """
    :return: processes that were at work on average in the last minute; None where the system does not count them
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def save_results(groups: Sequence[Measured], command: str, rounds: int, path: Path) -> None:
    """
    :param groups: what has been measured
    :param command: the command that measured it
    :param rounds: rounds of each group
    :param path: where to write, as a whole
    """
    text = {
        "command": command,
        "rounds": rounds,
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
        "groups": [asdict(group) for group in groups],
    }
    write_whole(path, json.dumps(text, indent=2) + "\n")


def load_results(path: Path) -> tuple[list[Measured], dict[str, Any]]:
    """
    :param path: what :func:`save_results` wrote
    :return: what was measured, and the rest of the file
    :raises UsageError: when it is no such file
    """
    try:
        rest = json.loads(path.read_text())
        groups = [
            Measured(
                group["case"],
                group["title"],
                group["axis"],
                tuple(group["at"]),
                tuple(Measurement(**agent) for agent in group["agents"]),
                group["load"],
                group["clock"],
            )
            for group in rest.pop("groups")
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} does not hold what memory-bench throughput measured ({error})") from error
    return groups, rest
