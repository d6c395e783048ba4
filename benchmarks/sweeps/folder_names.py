"""How sweeps call their runs' folders, and what such a name tells."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from memory_agents.benchmarks.config import TrainingConfig


def environment_name(env_id: str) -> str:
    """
    :param env_id: environment id
    :return: what a suite calls it unless it says otherwise: the id without its namespace and version
    """
    return env_id.rpartition(":")[2].rpartition("/")[2].rpartition("-v")[0] or env_id


def folder_name(environment: str, agent: str, config: TrainingConfig) -> str:
    """
    :param environment: the environment's name
    :param agent: the agent's name
    :param config: the run's arguments
    :return: a name that can be read, that no run of other arguments has, and that seeds share but for its end
    """
    return f"{_plain(f'{environment}-{agent}')}-{_digest(config)}-s{config.seed}"


def agents_name(runs: Iterable[tuple[Path, TrainingConfig]]) -> set[str]:
    """
    :param runs: folders and arguments of runs of one agent
    :return: what the folders call it, the seeds left out: of folders of a sweep the agent's name; several where they
        do not agree
    """
    names, of_sweep = set(), True
    for folder, config in runs:
        name = re.sub(r"[-_]s(eed)?[-_]?\d+$", "", folder.resolve().name)
        ending = f"-{_digest(config)}"
        if name.endswith(ending):
            name = name.removesuffix(ending).removeprefix(f"{_plain(environment_name(config.env))}-")
        else:
            of_sweep = False
        names.add(name)
    if of_sweep and len(names) > 1:
        # The suite has names of its own for environments. They come first, so the agent's is how all of these end.
        words = [name.split("-") for name in names]
        shared = 0
        while all(len(each) > shared for each in words) and len({each[-1 - shared] for each in words}) == 1:
            shared += 1
        return {"-".join(words[0][-shared:])} if shared else names
    return names


def _plain(name: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", name)


def _digest(config: TrainingConfig) -> str:
    # What is left at its default does not count, so that an argument that comes with a later version changes no name.
    told = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    defaults = asdict(TrainingConfig(env=""))
    content = {name: value for name, value in told.items() if name != "seed" and value != defaults[name]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
