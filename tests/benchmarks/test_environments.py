"""The speed and the picture of environments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.gallery import draw_gallery, environments_with_oracle, oracle_frames
from memory_agents.envs import ENVIRONMENTS

MAZE = "MemoryAgents/TMaze-v0"


def test_speed_of_chosen_environments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "speed.json"
    assert run(["env-speed", "--env", MAZE, "--env", "CartPole-v1", "--steps", "300", "--out", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == figures
    assert list(figures["steps_per_second"]) == [MAZE, "CartPole-v1"]
    assert min(figures["steps_per_second"].values()) > 100


def test_speed_of_copies(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    assert run(["env-speed", "--env", MAZE, "--steps", "2000", "--n-envs", "100", "--out", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert figures["n_envs"] == 100
    assert list(figures["steps_per_second"]) == [MAZE]
    speeds = figures["steps_per_second"][MAZE]
    assert speeds["ratio"] == pytest.approx(speeds["batched"] / speeds["dummy"], abs=0.06)
    # It is well above ten; a machine may be busy with other things meanwhile.
    assert speeds["ratio"] > 3.0


def test_speed_of_copies_needs_an_environment_that_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["env-speed", "--env", "FrozenLake-v1", "--n-envs", "4"]) == 2
    assert "has no form in which copies are played all at once" in capsys.readouterr().err


def test_speed_of_an_unknown_environment_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["env-speed", "--env", "MemoryAgents/TMaz-v0"]) == 2
    assert "did you mean MemoryAgents/TMaze-v0" in capsys.readouterr().err


def test_gallery(tmp_path: Path) -> None:
    assert MAZE in environments_with_oracle()
    assert set(environments_with_oracle()) <= set(ENVIRONMENTS)
    frames = oracle_frames(MAZE)
    assert len(frames) == 22
    draw_gallery([MAZE, MAZE, MAZE], tmp_path / "gallery.png")
    draw_gallery([MAZE], tmp_path / "one.png")
    with Image.open(tmp_path / "gallery.png") as two_rows, Image.open(tmp_path / "one.png") as one_row:
        assert two_rows.size[1] > 1.9 * one_row.size[1]
