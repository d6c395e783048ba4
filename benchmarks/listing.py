"""What there is to choose from: environments, policies, memory cores."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from rich.table import Table
from rich.text import Text

from memory_agents.benchmarks.agents import MEMORYLESS, memory_env
from memory_agents.benchmarks.algorithms import ALGORITHMS
from memory_agents.benchmarks.tables import number
from memory_agents.envs import ENVIRONMENTS
from memory_agents.memory import memory_registry

ANCHOR_HEADINGS = ("optimal", "memoryless", "random")


@dataclass(frozen=True)
class EnvironmentFacts:
    """
    What there is to know of an environment at its default arguments.

    :param env_id: its id
    :param summary: what one does in it
    :param tags: what is remembered; empty where that is not told
    :param arguments: its arguments with their defaults
    :param anchors: optimal, memoryless and random return; None each where they are not known
    """

    env_id: str
    summary: str
    tags: tuple[str, ...]
    arguments: str
    anchors: tuple[float | None, float | None, float | None]


def environments() -> list[EnvironmentFacts]:
    """
    :return: every environment of this library
    """
    facts = []
    for env_id, entry in ENVIRONMENTS.items():
        made = gym.make(env_id)
        env = memory_env(made)
        facts.append(
            EnvironmentFacts(
                env_id,
                entry.summary,
                () if env is None else env.tags,
                arguments(type(made.unwrapped), entry.kwargs, hidden=("render_mode",)),
                (None,) * 3 if env is None else (env.optimal_return, env.memoryless_return, env.random_return),
            )
        )
        made.close()
    return facts


def environment_table() -> Table:
    """
    :return: every environment of this library, for the terminal
    """
    table = Table(title="Environments", title_justify="left", show_lines=True)
    # Those columns fold whose words can: an id is what one copies.
    table.add_column("id", no_wrap=True)
    table.add_column("summary")
    table.add_column("remember")
    table.add_column("--env-kwargs (default)")
    for heading in ANCHOR_HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for facts in environments():
        table.add_row(
            facts.env_id,
            facts.summary,
            ", ".join(facts.tags) or "-",
            # A Text and not a string: brackets of a JSON list are no markup.
            Text(facts.arguments),
            *(number(anchor, 2) for anchor in facts.anchors),
        )
    return table


def environment_markdown() -> str:
    """
    :return: every environment of this library as a Markdown table, without its arguments
    """
    lines = [
        "| id | what one does | remember | " + " | ".join(ANCHOR_HEADINGS) + " |",
        "| --- " * 3 + "| ---: " * 3 + "|",
    ]
    for facts in environments():
        anchors = " | ".join(number(anchor, 2) for anchor in facts.anchors)
        lines.append(f"| `{facts.env_id}` | {facts.summary} | {', '.join(facts.tags) or '-'} | {anchors} |")
    return "\n".join(lines)


def policy_table() -> Table:
    """
    :return: what ``--policy`` takes
    """
    table = Table(title="Policies", title_justify="left", show_lines=True)
    table.add_column("--policy", no_wrap=True)
    table.add_column("--algorithm")
    table.add_column("summary")
    policies = {
        name: policy
        # Where several have one of the same name, the first describes it.
        for algorithm in reversed(ALGORITHMS.values())
        for name, policy in algorithm.remembering.policy_aliases.items()
    }
    for name, policy in policies.items():
        takers = (key for key, algorithm in ALGORITHMS.items() if name in algorithm.remembering.policy_aliases)
        table.add_row(name, ", ".join(takers), first_sentence(policy))
    table.add_row(
        MEMORYLESS,
        ", ".join(ALGORITHMS),
        "The baseline without memory: the stock algorithm, with the same hyperparameters, on the current observation "
        "alone.",
    )
    return table


def memory_table() -> Table:
    """
    :return: what ``--memory-class`` and ``--memory-kwargs`` take
    """
    table = Table(title="Memory cores", title_justify="left", show_lines=True)
    table.add_column("--memory-class", no_wrap=True)
    table.add_column("summary")
    table.add_column("--memory-kwargs (default)")
    for name, core in memory_registry.items():
        # The width of the features comes from the policy.
        table.add_row(name, first_sentence(core), Text(arguments(core, {}, hidden=("input_dim",))))
    return table


def arguments(cls: type, overrides: Mapping[str, Any], hidden: tuple[str, ...] = ()) -> str:
    """
    :param cls: a class
    :param overrides: other defaults than the class's own
    :param hidden: names to leave out
    :return: its constructor's arguments with their defaults, written as the command line takes them
    """
    shown = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in hidden or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        default = overrides.get(name, parameter.default)
        if default is inspect.Parameter.empty:
            shown.append(name)
        else:
            shown.append(f"{name}={default if isinstance(default, str) else json.dumps(default, default=str)}")
    return ", ".join(shown)


def first_sentence(thing: object) -> str:
    """
    :param thing: a documented object
    :return: the first sentence of its documentation, without Sphinx roles and literals
    """
    paragraph = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    plain = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", paragraph).replace("``", "")
    return re.split(r"\. (?=[A-Z])", plain)[0].rstrip(".:") + "."
