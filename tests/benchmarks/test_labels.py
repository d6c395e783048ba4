"""Names for groups of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.labels import differing, distinct_names, flatten, folder_labels, labels
from memory_agents.benchmarks.runs import Run
from memory_agents.benchmarks.sweeps.folder_names import folder_name


def test_an_argument_that_is_empty_is_one() -> None:
    assert flatten({"a": 1, "b": {}, "c": {"d": {}, "e": {"f": [2], "g": {}}}, "h": []}) == {
        "a": 1, "c.d": {}, "c.e.f": [2], "c.e.g": {}, "h": []
    }  # fmt: skip
    assert flatten({"a": {"b.c": 1}}) != flatten({"a": {"b": {"c": 1}}})


def test_what_is_left_out_differs_from_all_values() -> None:
    assert differing([{"a": 1, "b": None}, {"a": 1}]) == ["b"]
    assert differing([{"b": "left out"}, {}]) == ["b"]
    # A number that is none is the same number as another.
    assert differing([{"a": float("nan")}, {"a": float("nan")}]) == []


def test_names_that_are_the_same_go_on_until_they_are_not() -> None:
    arguments = [{"x.a": 1, "z": 0}, {"y.a": 1, "z": 0}, {"b": 1, "z": 1}]
    assert distinct_names(["a", "a", "b"], arguments) == ["a (x.a=1)", "a (y.a=1)", "b"]


def test_groups_are_labelled_by_what_tells_them_apart() -> None:
    kwargs = [{"compression_rate": 4, "memory_length": 8}, {"compression_rate": 1, "memory_length": 8}]
    groups = [[Run(Path(), TrainingConfig("E", memory_kwargs=each, seed=i), {})] for i, each in enumerate(kwargs)]
    assert labels(groups) == ["compression_rate=4", "compression_rate=1"]
    assert labels(groups[:1]) == ["all"]


def test_groups_that_leave_an_argument_out_have_a_label_of_their_own() -> None:
    groups = [[Run(Path(), TrainingConfig("E", algorithm_kwargs=each), {})] for each in ({}, {"target_kl": None})]
    assert labels(groups) == ["default", "target_kl=None"]


def test_groups_are_called_what_their_folders_are_called() -> None:
    def group(memory_length: int, *folders: str) -> list[Run]:
        config = TrainingConfig("E", memory_kwargs={"memory_length": memory_length})
        return [Run(Path(folder), config, {}) for folder in folders]

    assert folder_labels([group(1, "a/rate-4-s0", "a/rate-4-s1"), group(2, "a/lstm_seed_12")]) == ["rate-4", "lstm"]
    with pytest.raises(UsageError, match="called here, there do not tell the agents apart"):
        folder_labels([group(1, "here-s0", "there-s1")])
    with pytest.raises(UsageError, match="called here do not tell the agents apart"):
        folder_labels([group(1, "a/here"), group(2, "b/here")])


def test_labels_are_distinct() -> None:
    kwargs: list[dict[str, Any]] = [
        dict(memory_kwargs={"judger": {}}),
        dict(memory_kwargs={"judger": "{}"}),
        dict(policy_kwargs={"judger": {}}),
    ]
    groups = [[Run(Path(), TrainingConfig("E", **each), {})] for each in kwargs]
    assert labels(groups) == [
        "judger={} (memory_kwargs.judger={})",
        'judger={} (memory_kwargs.judger="{}")',
        "judger={} (policy_kwargs.judger={})",
    ]


def test_agents_of_a_sweep_are_called_by_its_folders() -> None:
    def group(agent: str, *environments: str, **arguments: Any) -> list[Run]:
        configs = {
            name: TrainingConfig(f"MemoryAgents/{name.partition('-')[0]}-v0", **arguments) for name in environments
        }
        return [Run(Path(folder_name(name, agent, config)), config, {}) for name, config in configs.items()]

    mlp: dict[str, Any] = dict(policy="MlpPolicy")
    # By the environment's own name, and by names that a suite gave.
    assert folder_labels([group("lstm", "TMaze", "Copy"), group("a/lstm", "TMaze", "Copy", **mlp)]) == [
        "lstm",
        "a-lstm",
    ]
    assert folder_labels([group("lstm", "TMaze-long", "TMaze", "Copy-b"), group("gru", "Copy", **mlp)]) == [
        "lstm",
        "gru",
    ]
    # What looks like a sweep's folder but is not of these arguments is somebody's name.
    config = TrainingConfig("MemoryAgents/TMaze-v0")
    assert folder_labels([[Run(Path("TMaze-lstm-20240101-s0"), config, {})]]) == ["TMaze-lstm-20240101"]
    with pytest.raises(UsageError, match="called lstm do not tell the agents apart"):
        folder_labels([group("lstm", "TMaze"), group("lstm", "TMaze", **mlp)])
