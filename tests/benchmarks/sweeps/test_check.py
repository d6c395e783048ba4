from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.evaluation import Anchors
from memory_agents.benchmarks.sweeps.check import check_run, complaint
from memory_agents.benchmarks.sweeps.worker import Task, run_one
from memory_agents.envs import TMaze
from memory_agents.envs.batched.tmaze import BatchedTMaze
from tests.benchmarks.sweeps.small import SMALL, small_runs

ANCHORS = Anchors(optimal=1.0, memoryless=0.5, random=0.25)
SCRIPTED = SMALL.replace('["lstm", "memoryless"]', '["oracle", "random", "memoryless"]').replace("[0, 1]", "[0]")


@pytest.mark.parametrize(
    ("policy", "returns", "varies", "wrong"),
    [
        ("Oracle", [1.0] * 9, False, None),
        ("Oracle", [1.0] * 8 + [0.9], False, "its oracle has a return of 0.9 where the optimum is 1 in every episode"),
        ("Oracle", [1.0] * 8 + [1.1], False, "its oracle has a return of 1.1"),
        ("Oracle", [0.8, 1.2] * 20, True, None),
        ("Oracle", [0.5, 0.7] * 20, True, "its oracle has a mean return of 0.6 over 40 episodes, and 1 is claimed"),
        ("Random", [0.0, 0.5] * 20, True, None),
        ("Random", [0.6, 0.7] * 20, False, "its random play has a mean return of 0.65 over 40 episodes, and 0.25"),
        # What happens in one episode of four may not have happened in three, but in more than forty it will have.
        ("Random", [0.0] * 3, False, None),
        ("Random", [0.0] * 40, False, "its random play has a mean return of 0 over 40"),
    ],
)
def test_returns_are_compared_with_what_is_claimed(
    policy: str, returns: list[float], varies: bool, wrong: str | None
) -> None:
    found = complaint(policy, returns, ANCHORS, varies)
    assert (found is None) == (wrong is None)
    if wrong is not None:
        assert found is not None
        assert found.startswith(wrong)


def test_single_precision_is_no_error() -> None:
    known = Anchors(32.951, 5.927, 1.376)
    assert complaint("Oracle", [float(np.float32(32.951))] * 5, known, False) is None


def test_every_environment_with_anchors_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "standard", "--episodes", "30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    oracles = [line for line in lines if " oracle: " in line]
    assert len(oracles) == 15
    assert "TMaze oracle: score 1.000" in lines
    assert "CartPoleNoVelocity random: score -" in lines


def test_a_wrong_anchor_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(TMaze, "random_return", property(lambda self: 0.9))
    assert run(["check", "smoke", "--envs", "TMaze", "--episodes", "200"]) == 1
    captured = capsys.readouterr()
    assert "TMaze oracle: score 1.000\n" in captured.out
    assert captured.out.endswith("  WRONG\n")
    assert captured.err.startswith("TMaze: its random play has a mean return of ")


def test_a_broken_environment_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(self: TMaze, action: object) -> None:
        raise RuntimeError("my goal")

    monkeypatch.setattr(TMaze, "step", step)
    monkeypatch.setattr(BatchedTMaze, "_play", step)
    assert run(["check", "smoke", "--episodes", "3"]) == 1
    captured = capsys.readouterr()
    assert "TMaze oracle: score -  WRONG\n" in captured.out
    assert "RepeatFirst oracle: score 1.000\n" in captured.out
    assert captured.err.startswith("TMaze: RuntimeError: my goal; mend the environment\n")


def test_runs_of_a_sweep_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = small_runs(tmp_path, SCRIPTED)
    for each in runs:
        run_one(Task(each.config, each.folder))
    assert [check_run(each) for each in runs] == [None] * 3
    monkeypatch.setattr(TMaze, "optimal_return", property(lambda self: 2.0))
    wrong = check_run(runs[0])
    assert wrong is not None
    assert wrong.endswith("; its scores cannot be trusted")
