"""Comparisons by name, and those that a user asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.throughput.subject import SMALLEST_BATCH, Conditions, doubled, remembers


@dataclass(frozen=True)
class Entry:
    """
    :param agent: an agent's name
    :param conditions: its environments and sizes
    :param at: where it stands on the axis of its group's picture; None where there is no axis, or the agent has not
        what grows along it
    """

    agent: str
    conditions: Conditions
    at: float | None = None


@dataclass(frozen=True)
class Group:
    """
    What is measured in turns, on one device with one number of threads.

    :param case: name of the comparison
    :param title: what it compares
    :param entries: agents, of which the first is what the others are compared with
    :param axis: what grows along the axis of its picture; without it there is no picture
    :param costs: whether to count operations, and to measure peak memory, in processes of their own
    :param most_rounds: rounds that are enough
    """

    case: str
    title: str
    entries: tuple[Entry, ...]
    axis: str | None = None
    costs: bool = True
    most_rounds: int | None = None

    @property
    def threads(self) -> int:
        """PyTorch's threads."""
        return self.entries[0].conditions.threads


#: Rounds of curves, which are not there to tell small differences.
SCALING_ROUNDS = 3


#: A quarter of the rollout, as this library's agents have it by default.
SAME_BATCH = 256


def _lstm(base: Conditions) -> list[Group]:
    agents = ("lstm", "recurrent_ppo", "recurrent_ppo_loopless", "recurrent_ppo_shared_loopless", "memoryless")
    title = "LSTM of width 64: this library's PPO against sb3-contrib's RecurrentPPO, CartPole without velocities"
    return _both_ways("lstm", title, agents, base)


def _compressive(base: Conditions) -> list[Group]:
    agents = ("compressive", "recurrent_ppo_256", "recurrent_ppo_256_loopless", "memoryless")
    title = (
        "Compressive memory, 2 layers of width 64 with 64 + 64 places, against RecurrentPPO with its default LSTM of "
        "width 256, CartPole without velocities"
    )
    many = replace(base, n_envs=TrainingConfig.n_envs)
    quarter = many.window * many.n_envs // 4
    what = f"{many.n_envs} environments and minibatches of {quarter} transitions"
    entries = tuple(Entry(agent, replace(many, batch_sizes=(quarter,))) for agent in agents)
    return [
        *_both_ways("compressive", title, agents, base),
        Group("compressive-default-sizes", f"{title}, {what}, this library's defaults", entries),
    ]


def _both_ways(name: str, title: str, agents: Sequence[str], base: Conditions) -> list[Group]:
    """With the same minibatches for all, and with those that are each agent's quickest."""
    ways = (
        (name, f"minibatches of {SAME_BATCH} transitions", (SAME_BATCH,)),
        (f"{name}-quickest", "each agent's quickest minibatches", doubled(SMALLEST_BATCH, base.window * base.n_envs)),
    )
    return [
        Group(key, f"{title}, {what}", tuple(Entry(agent, replace(base, batch_sizes=sizes)) for agent in agents))
        for key, what, sizes in ways
    ]


def _slots(base: Conditions) -> list[Group]:
    sizes = (64, 512)
    entries = (
        Entry("compressive", replace(base, n_envs=16, memory_kwargs={"compressed_length": size})) for size in sizes
    )
    return [Group("slots", "512 against 64 slots beside 64 recent tokens, 16 environments", tuple(entries))]


def _width(base: Conditions) -> list[Group]:
    wide = replace(base, n_envs=16, memory_kwargs={"d_model": 128})
    return [Group("width", "Learning at width 128, 2 layers, 16 environments", (Entry("compressive", wide),))]


def _long(base: Conditions) -> list[Group]:
    base = replace(base, env="MemoryAgents/TMaze-v0", env_kwargs={"corridor": 200})
    agents = ("lstm", "recurrent_ppo", "recurrent_ppo_loopless")
    larger = ("compressive", "recurrent_ppo_256", "recurrent_ppo_256_loopless")
    title = "Episodes longer than the window, a T-maze of 200 steps"
    return [
        Group("long", f"{title}: {what}", tuple(Entry(agent, base) for agent in names), costs=False)
        for what, names in (("LSTM of width 64", agents), ("compressive memory, and LSTM of width 256", larger))
    ]


def _scaling(base: Conditions) -> list[Group]:
    base = replace(base, search_batches=False)
    by_slots = [
        *(("compressive", {"compressed_length": size}, size) for size in (64, 128, 256, 512)),
        *(("gtrxl", {"memory_length": size}, size) for size in (64, 128, 256, 512)),
    ]
    agents = ("compressive", "lstm", "recurrent_ppo_256", "recurrent_ppo_256_loopless")
    slots = tuple(Entry(name, replace(base, memory_kwargs=kwargs), size) for name, kwargs, size in by_slots)
    envs = tuple(Entry(name, replace(base, n_envs=n), n) for name in agents for n in (1, 4, 16, 64))
    windows = tuple(Entry(name, replace(base, window=n), n) for name in agents for n in (32, 128, 512))
    return [
        Group(f"scaling-{name}", title, entries, axis, costs=False, most_rounds=SCALING_ROUNDS)
        for name, title, entries, axis in (
            ("slots", "Slots, or recent tokens of GTrXL, 8 environments", slots, "slots"),
            ("envs", "Environments", envs, "environments"),
            ("window", "Window length, 8 environments", windows, "window"),
        )
    ]


#: Groups of a comparison from the conditions that all its agents share, by its name.
CASES: dict[str, Callable[[Conditions], list[Group]]] = {
    "lstm": _lstm,
    "compressive": _compressive,
    "slots": _slots,
    "width": _width,
    "long": _long,
    "scaling": _scaling,
}
#: The comparisons that are made with one number of threads only.
ONE_THREAD = ("long", "scaling")


def shipped(names: Sequence[str], threads: Sequence[int], devices: Sequence[str], seed: int) -> list[Group]:
    """
    :param names: names of :data:`CASES`
    :param threads: numbers of PyTorch's threads
    :param devices: PyTorch's devices
    :param seed: seed of everything
    :return: what to measure
    """
    groups = []
    for name, device in product(names, devices):
        for number in threads[:1] if name in ONE_THREAD else threads:
            groups += CASES[name](Conditions(threads=number, device=device, seed=seed))
    return groups


def grid(
    agents: Sequence[str],
    base: Conditions,
    memories: Sequence[dict[str, Any]],
    n_envs: Sequence[int],
    windows: Sequence[int],
    threads: Sequence[int],
    devices: Sequence[str],
    policies: Sequence[dict[str, Any]] = (),
) -> list[Group]:
    """
    :param agents: names of agents
    :param base: what all have in common
    :param memories: arguments of memories, for agents that have one of this library's; the others are measured once
    :param n_envs: numbers of environments
    :param windows: window lengths
    :param threads: numbers of PyTorch's threads
    :param devices: PyTorch's devices
    :param policies: further arguments of policies, for the same agents as those of memories
    :return: every combination; those of one device and one number of threads are measured in turns
    """
    axis, place = _axis(memories, n_envs, windows)
    variants: list[tuple[dict[str, Any], dict[str, Any]]] = list(product(memories or [{}], policies or [{}]))
    once: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {})]
    own = {agent: variants if remembers(base.subject(agent).config) else once for agent in agents}
    groups = []
    for device, number in product(devices, threads):
        entries = []
        for agent in agents:
            for (memory, policy), envs, window in product(own[agent], n_envs, windows):
                arguments = dict(memory_kwargs=memory, policy_kwargs=policy, n_envs=envs, window=window)
                conditions = replace(base, device=device, threads=number, **arguments)
                entries.append(Entry(agent, conditions, place(conditions)))
        groups.append(Group("grid", ", ".join(agents), tuple(entries), axis))
    return groups


def _axis(
    memories: Sequence[dict[str, Any]], n_envs: Sequence[int], windows: Sequence[int]
) -> tuple[str | None, Callable[[Conditions], float | None]]:
    """What a picture of a grid has on its axis, where there is one thing only that differs, and is a number."""
    found: list[tuple[str, Callable[[Conditions], float | None]] | None] = []
    if len(set(n_envs)) > 1:
        found.append(("environments", lambda at: at.n_envs))
    if len(set(windows)) > 1:
        found.append(("window", lambda at: at.window))
    for key in sorted({key for memory in memories for key in memory}):
        values = [memory.get(key) for memory in memories]
        if any(value != values[0] for value in values):
            is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
            found.append((key, partial(_size, key)) if is_number else None)
    return found[0] if len(found) == 1 and found[0] is not None else (None, lambda at: None)


def _size(key: str, at: Conditions) -> float | None:
    return at.memory_kwargs.get(key)
