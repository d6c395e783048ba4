"""What tells runs apart: names for groups of them, made of their arguments or of their folders."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.runs import Run
from memory_agents.benchmarks.sweeps.folder_names import agents_name


def flatten(arguments: dict[str, Any]) -> dict[str, Any]:
    """
    :param arguments: arguments, groups of them as dictionaries
    :return: the same without groups, names being ``group.name``. A group without arguments says nothing; an argument
        that is ``{}`` is one that was given.
    """
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        flat.update(_leaves(name, value) if value or not isinstance(value, dict) else {})
    return flat


def _leaves(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    # A point within a name is none between two.
    paths = {f"{name}.{json.dumps(key) if '.' in key else key}": inner for key, inner in value.items()}
    return {path: leaf for start, inner in paths.items() for path, leaf in _leaves(start, inner).items()}


def differing(all_arguments: Sequence[dict[str, Any]]) -> list[str]:
    """
    :param all_arguments: arguments of each, as :func:`flatten` has them
    :return: names of those in which they differ; one that is left out is not one that is null, which may be another
        value than the default
    """
    names = dict.fromkeys(name for arguments in all_arguments for name in arguments)
    return [name for name in names if len({_text(arguments, name) for arguments in all_arguments}) > 1]


def _text(arguments: dict[str, Any], name: str) -> str | None:
    return json.dumps(arguments[name], sort_keys=True) if name in arguments else None


def told_besides(names: Sequence[Hashable], all_arguments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    :param names: short names, of which several may be the same
    :param all_arguments: arguments of each, as :func:`flatten` has them
    :return: of each those in which it differs from others of its name: what to tell besides
    """
    told = [dict[str, Any]() for _ in names]
    for name in dict.fromkeys(names):
        alike = [i for i, other in enumerate(names) if other == name]
        for i, arguments in zip(alike, told_apart([all_arguments[i] for i in alike]), strict=True):
            told[i] = arguments
    return told


def distinct_names(names: Sequence[str], all_arguments: Sequence[dict[str, Any]]) -> list[str]:
    """
    :param names: short names, of which several may be the same
    :param all_arguments: arguments of each, as :func:`flatten` has them
    :return: the names, and behind those that are the same the arguments in which these differ, with their groups
    """
    return [name + in_brackets(told) for name, told in zip(names, told_besides(names, all_arguments), strict=True)]


def in_brackets(arguments: dict[str, Any]) -> str:
    """
    :param arguments: arguments
    :return: them as text to stand behind a name; empty where there are none
    """
    return f" ({', '.join(f'{name}={json.dumps(value)}' for name, value in arguments.items())})" if arguments else ""


def told_apart(all_arguments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    :param all_arguments: arguments of each, as :func:`flatten` has them
    :return: of each those in which they differ
    """
    names = differing(all_arguments)
    return [{name: arguments[name] for name in names if name in arguments} for arguments in all_arguments]


def arguments_of(group: Sequence[Run]) -> dict[str, Any]:
    """
    :param group: runs that differ in nothing but the seed
    :return: their arguments but for the seed, as :func:`flatten` has them; where an evaluation came after the run also
        those of its training that were others
    """
    run = group[0]
    now, then = (asdict(each.config) for each in (run, run.trained))
    others = {f"trained.{name}": value for name, value in then.items() if value != now[name]}
    return {name: value for name, value in {**flatten(now), **others}.items() if name != "seed"}


def labels(groups: Iterable[list[Run]]) -> list[str]:
    """
    :param groups: groups of :func:`~memory_agents.benchmarks.runs.group_by_seed`
    :return: of each group those of its arguments in which the groups differ, or "default" where it sets none of them;
        "all" of a single group
    """
    flat = [arguments_of(group) for group in groups]
    if len(flat) == 1:
        return ["all"]
    names = [
        ", ".join(f"{_short(name)}={value}" for name, value in told.items()) or "default" for told in told_apart(flat)
    ]
    return distinct_names(names, flat)


def _short(name: str) -> str:
    """Without the group of arguments that it belongs to, unless that is the judger's training."""
    return name if name.startswith("judger_kwargs.") else name.partition(".")[2] or name


def folder_labels(groups: Iterable[list[Run]]) -> list[str]:
    """
    :param groups: groups of :func:`~memory_agents.benchmarks.runs.group_by_seed`
    :return: of each group the name that its runs' folders share, without their seeds: ``judger`` of ``judger-s0`` and
        ``judger-s1``; of folders of a sweep, ``ENVIRONMENT-AGENT-HASH-sSEED``, the agent's name
    :raises UsageError: when runs of a group have several names, or two groups the same one
    """
    names = [agents_name((run.folder, run.config) for run in group) for group in groups]
    for group in names:
        if len(group) > 1 or names.count(group) > 1:
            raise UsageError(
                f"folders called {', '.join(sorted(group))} do not tell the agents apart; rename them, "
                "or leave --label folder out"
            )
    return [group.pop() for group in names]


#: What may stand in a legend for a group.
LABELS = {"arguments": labels, "folder": folder_labels}
