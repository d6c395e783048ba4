"""Suites of runs: TOML files of environments, agents, seeds and budgets."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memory_agents.benchmarks.arguments import UsageError, check_name
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.sweeps.folder_names import environment_name
from memory_agents.benchmarks.sweeps.named_agents import find_agent
from memory_agents.benchmarks.sweeps.tables import Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Where the suites are that come with this library.
FOLDER = Path(__file__).resolve().parent.parent / "suite_files"

#: What holds for all runs of a suite, with what is assumed where it is left out.
SHARED: dict[str, tuple[type, Any]] = {
    "total_timesteps": (int, TrainingConfig.total_timesteps),
    "eval_episodes": (int, TrainingConfig.eval_episodes),
    "n_envs": (int, TrainingConfig.n_envs),
    # Runs stand side by side, so that one thread each is fastest, and makes them repeatable.
    "threads": (int, 1),
    "device": (str, "cpu"),
}
ENVIRONMENT_KEYS: dict[str, type] = {
    "id": str,
    "name": str,
    "env_kwargs": dict,
    "total_timesteps": int,
    "eval_episodes": int,
    "n_envs": int,
    "normalize_reward": bool,
    "pretrain_timesteps": int,
    "pretrain_env_kwargs": dict,
    "algorithm_kwargs": dict,
}
AGENT_KEYS: dict[str, type] = {
    "agent": str,
    "name": str,
    "policy": str,
    "policy_kwargs": dict,
    "memory_class": str,
    "memory_kwargs": dict,
    "algorithm": str,
    "algorithm_kwargs": dict,
    "judger_kwargs": dict,
    "n_stack": int,
}
KEYS = ("description", "environments", "agents", "seeds", "checkpoint_freq", *SHARED)
SEEDS = [0, 1, 2, 3, 4]


@dataclass(frozen=True)
class Entry:
    """
    An environment or an agent of a suite.

    :param name: what it is called in tables and folders
    :param arguments: arguments of :class:`TrainingConfig` that it sets
    :param where: where it stands in the file, for messages
    """

    name: str
    arguments: dict[str, Any]
    where: str


@dataclass(frozen=True)
class SuiteFile:
    """
    :param name: the file's name without ``.toml``
    :param text: its content
    :param description: what it is for, in a line
    :param environments: its environments
    :param agents: its agents
    :param seeds: its seeds
    :param checkpoint_freq: environment steps between checkpoints (None: there are none)
    :param shared: arguments of :class:`TrainingConfig` that all runs have unless their environment says otherwise
    """

    name: str
    text: str
    description: str
    environments: tuple[Entry, ...]
    agents: tuple[Entry, ...]
    seeds: tuple[int, ...]
    checkpoint_freq: int | None
    shared: dict[str, Any]


def shipped() -> dict[str, Path]:
    """
    :return: files of the suites that come with this library, by name
    """
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def load_suite(name: str) -> SuiteFile:
    """
    :param name: name of a shipped suite, or path to a file
    :return: the suite
    :raises UsageError: when there is none, it is no TOML, or has a key or a value that cannot be used
    """
    known = shipped()
    if not name.endswith(".toml"):
        check_name("suite", name, known, f"use {', '.join(known)}, or the path of a .toml file")
    try:
        text = known.get(name, Path(name)).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"suite {name!r} cannot be read ({error.strerror}); use {', '.join(known)}, or a path"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"suite {name!r} is no UTF-8 ({error}); save it in that encoding, which TOML asks for"
        ) from error
    return parse_suite(text, Path(name).stem, name)


def parse_suite(text: str, name: str, where: str) -> SuiteFile:
    """
    :param text: content of a suite's file
    :param name: what it shall be called
    :param where: the file, for messages
    :return: the suite
    :raises UsageError: when it is no TOML, or has a key or a value that cannot be used
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no TOML ({error}); mend it there") from error
    table = Table(f"{where}: ", content, KEYS)
    shared = {key: _value(table, key, kind, default) for key, (kind, default) in SHARED.items()}
    environments = [
        _environment(entry, f"{where}: environments[{i}]") for i, entry in enumerate(_entries(table, "environments"))
    ]
    agents = [_agent(entry, f"{where}: agents[{i}]") for i, entry in enumerate(_entries(table, "agents"))]
    for key, group in (("environments", environments), ("agents", agents)):
        _check_unique(group, key)
    seeds = table.take("seeds", list, SEEDS)
    # bool is a kind of int, and true is no seed.
    if not seeds or not all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds):
        raise UsageError(
            f"{table.at('seeds')} = {seeds!r} are no seeds; write whole numbers from 0 up, such as [0, 1, 2]"
        )
    return SuiteFile(
        name,
        text,
        table.take("description", str, ""),
        tuple(environments),
        tuple(agents),
        tuple(dict.fromkeys(seeds)),
        table.count("checkpoint_freq"),
        shared,
    )


def _entries(table: Table, key: str) -> list[Any]:
    entries: list[Any] = table.need(key, list)
    if not entries:
        raise UsageError(f"{table.at(key)} = [] leaves nothing to run; name one")
    return entries


def _value(table: Table, key: str, kind: type, default: Any = None) -> Any:
    return table.count(key, default) if kind is int else table.take(key, kind, default)


def _environment(entry: Any, where: str) -> Entry:
    table = Table(where, {"id": entry} if isinstance(entry, str) else entry, ENVIRONMENT_KEYS)
    env_id = table.need("id", str)
    name = table.take("name", str, environment_name(env_id))
    arguments = {key: _value(table, key, kind) for key, kind in ENVIRONMENT_KEYS.items() if key in table.content}
    arguments.pop("name", None)
    return Entry(name, {"env": arguments.pop("id"), **arguments}, where)


def _agent(entry: Any, where: str) -> Entry:
    if isinstance(entry, str):
        return Entry(*find_agent(where, entry), where)
    table = Table(where, entry, AGENT_KEYS)
    name, arguments = "", dict[str, Any]()
    if "agent" in table.content:
        name, arguments = find_agent(table.at("agent"), table.take("agent", str))
    own = {key: _value(table, key, kind) for key, kind in AGENT_KEYS.items() if key in table.content}
    own.pop("agent", None)
    name = own.pop("name", name)
    if not name:
        raise UsageError(f"{table.at('name')} is missing; add name = ... (a string), or agent = ... with a known name")
    return Entry(name, {**arguments, **own}, where)


def _check_unique(group: list[Entry], key: str) -> None:
    first: dict[str, Entry] = {}
    for entry in group:
        if entry.name in first:
            raise UsageError(
                f"{entry.where}.name = {entry.name!r} is the name of {first[entry.name].where}, too; give each of the "
                f"{key} a name of its own"
            )
        first[entry.name] = entry
