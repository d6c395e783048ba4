"""One table from many runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.collect import collect, find_runs
from memory_agents.benchmarks.config import TrainingConfig, save_config


def finished(folder: Path, seed: int, success: float, corridor: int = 20) -> None:
    folder.mkdir(parents=True)
    save_config(TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": corridor}, seed=seed), folder)
    figures = dict(success_rate=success, normalized_return=2 * success - 1, train_steps=1000 + seed, train_seconds=3.0)
    (folder / "evaluation.json").write_text(json.dumps(figures))


def test_seeds_stand_side_by_side_and_arguments_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "a" / "late", 1, 0.5)
    finished(tmp_path / "a" / "early", 0, 1.0)
    finished(tmp_path / "b", 0, 0.75, corridor=50)
    (tmp_path / "unfinished").mkdir()
    assert run(["collect", str(tmp_path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "(corridor=20) | CompressiveMemoryPolicy | 0, 1 | 1.00, 0.50 | 1.00, 0.00 | 1,001 | 3 |" in lines[2]
    assert "(corridor=50) | CompressiveMemoryPolicy | 0 | 0.75 | 0.50 | 1,000 | 3 |" in lines[3]


def test_runs_that_differ_in_more_than_the_seed_are_not_mixed(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0, 1.0)
    finished(tmp_path / "b", 1, 0.5)
    save_config(TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 20}, seed=1, n_envs=4), tmp_path / "b")
    assert [row[2] for row in collect(find_runs([tmp_path]))] == ["0", "1"]


def test_no_runs_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["collect", str(tmp_path)]) == 2
    complaint = capsys.readouterr().err.splitlines()
    assert len(complaint) == 1
    assert "no finished run" in complaint[0]
