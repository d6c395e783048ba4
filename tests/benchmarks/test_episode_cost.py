from __future__ import annotations

from typing import Any

import pytest

from memory_agents.benchmarks import episode_cost as module
from memory_agents.benchmarks.episode_cost import episode_cost
from memory_agents.benchmarks.process_memory import most_memory

MIB = 2**20


def measured() -> dict[str, Any]:
    return episode_cost("lstm", {"hidden_size": 4}, n_envs=1, early=2, late=4, repeats=1, block=1)


def test_the_peak_is_asked_for_at_both_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([100.04 * MIB, 150.0 * MIB])
    monkeypatch.setattr(module, "most_memory", lambda: next(told))
    assert measured()["peak_process_mib"] == {"2": 100.0, "4": 150.0}


def test_the_peak_is_that_of_the_process() -> None:
    early, late = measured()["peak_process_mib"].values()
    assert 50 < early <= late <= most_memory() / MIB + 0.1


def test_the_peak_is_left_open_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def untold() -> float:
        raise OSError

    monkeypatch.setattr(module, "most_memory", untold)
    figures = measured()
    assert figures["peak_process_mib"] == {"2": None, "4": None}
    assert figures["ratio"] > 0
