from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memory_agents.benchmarks import demo
from memory_agents.benchmarks.animation import Recording, save_gif
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import load_config


def test_demo_writes_pictures_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["demo", "--out", str(tmp_path), "--total-timesteps", "2048", "--no-progress"]
    assert run(args) == 0

    shown = capsys.readouterr().out
    for name in ("learning_curve.png", "episode.gif", "summary.csv", "compressive", "memoryless"):
        assert str(tmp_path / name) in shown
    assert "normalised" in shown
    with Image.open(tmp_path / "learning_curve.png") as picture:
        assert picture.width > 600
    with Image.open(tmp_path / "episode.gif") as animation:
        assert getattr(animation, "n_frames", 1) > 10
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["agent"] for row in rows] == list(demo.AGENTS)
    assert {row["steps"] for row in rows} == {"2048"}
    first = load_config(tmp_path / "compressive")
    assert first.env == demo.ENV

    # A second run in the same folder replaces the first one.
    assert run([*args, "--seed", "1"]) == 0
    assert load_config(tmp_path / "compressive").seed == 1
    assert len(list((tmp_path / "compressive").glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize("solved", [True, False])
def test_demo_claims_no_success_that_was_not(
    solved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Recording([np.zeros((8, 8, 3), dtype=np.uint8)] * 2, solved, fps=4.0)
    monkeypatch.setattr(demo, "record_solved_episode", lambda agent, config: recording)
    assert run(["demo", "--out", str(tmp_path), "--total-timesteps", "2048", "--no-progress"]) == 0

    shown = capsys.readouterr().out
    assert ("One solved episode" in shown) == solved
    assert ("not solved" in shown) != solved


def test_demo_refuses_a_foreign_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").touch()

    assert run(["demo", "--out", str(tmp_path)]) == 2
    assert "thesis.tex" in capsys.readouterr().err


def test_animation_shows_every_frame(tmp_path: Path) -> None:
    frames = [np.full((8, 8, 3), 40 * i, dtype=np.uint8) for i in range(5)]
    save_gif([Recording(frames, True, fps=4.0)], tmp_path / "a.gif")

    with Image.open(tmp_path / "a.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 5
        assert animation.info["duration"] == 250
