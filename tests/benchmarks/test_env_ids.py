from __future__ import annotations

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.env_ids import check_env


@pytest.mark.parametrize("name", ["TMaze", "tmaze", "MemoryAgents/TMaze-v1", "MemoryAgent/TMaze-v0", "T-Maze"])
def test_misspelt_environments_are_recognised(name: str) -> None:
    with pytest.raises(UsageError, match="MemoryAgents/TMaze-v0"):
        check_env(name)


def test_known_environments_pass() -> None:
    for env_id in ("MemoryAgents/TMaze-v0", "CartPole-v1", "memory_agents:MemoryAgents/TMaze-v0"):
        assert check_env(env_id) == env_id


def test_environments_of_missing_modules_are_refused() -> None:
    with pytest.raises(UsageError, match="no_such_module"):
        check_env("no_such_module:Some-v0")


@pytest.mark.parametrize(
    ("package", "name", "meant"),
    [
        ("popgym", "popgm-RepeatFirstEasy-v0", "popgym-RepeatFirstEasy-v0"),
        ("popgym", "popgym-RepeatFrstEasy-v0", "popgym-RepeatFirstEasy-v0"),
        ("minigrid", "MiniGird-MemoryS11-v0", "MiniGrid-MemoryS11-v0"),
        ("bsuite", "bsuite-memory_len-10", "bsuite-memory_len-10-v0"),
    ],
)
def test_misspelt_environments_of_suites_are_recognised(package: str, name: str, meant: str) -> None:
    pytest.importorskip(package)

    with pytest.raises(UsageError, match=f"did you mean .*{meant}"):
        check_env(name)


def test_nothing_like_it_tells_how_to_name_ones_own() -> None:
    with pytest.raises(UsageError, match="see memory-bench list --envs; your own is module:ID"):
        check_env("Xyzzy-v9")
