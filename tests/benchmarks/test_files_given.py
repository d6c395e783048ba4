"""Options that are refused before any work is done for them, each by a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory_agents.benchmarks.cli import run
from tests.benchmarks.inspection.agents import JUDGED, SMALL, make_run
from tests.benchmarks.report.runs import finished


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, an agent, and another folder."""
    root = tmp_path_factory.mktemp("runs")
    finished(root / "run", 1.0)
    make_run(root / "agent", memory_kwargs=SMALL)
    (root / "there").mkdir()
    return root


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["collect", "run", "--csv", "there"], ["--csv 'there' is a folder; name a file"]),
        (["env-speed", "--out", "there"], ["--out 'there' is a folder"]),
        (["episode-cost", "--out", "there"], ["--out 'there' is a folder"]),
        (["gallery", "--out", "there"], ["--out 'there' is a folder"]),
        (["gallery", "--out", "a.foo"], ["--out 'a.foo' is no picture", ".png"]),
        (["inspect", "agent", "--out", "there"], ["--out 'there' is a folder"]),
        (["play", "agent", "--out", "there"], ["--out 'there' is a folder"]),
        (["curves", "run", "--out", "x.foo"], ["--out 'x.foo' is no picture", ".png"]),
        (["curves", "run", "--out", "there"], ["--out 'there'"]),
        (["curves", "run", "--out", "named"], ["--out 'named' is no picture"]),
        (["collect", "run", "--evaluation", "/abs/x.json"], ["--evaluation '/abs/x.json' is no file's name"]),
        (["collect", "run", "--evaluation", ""], ["--evaluation '' is no file's name"]),
        (["evaluate", "agent", "--threads", "0"], ["--threads 0 is too small; use 1 or more"]),
        (["episode-cost", "--threads", "0"], ["--threads 0 is too small; use 1 or more"]),
        (["sequence", "denoising", "--out", "seq", "--threads", "0"], ["--threads 0 is too small; use 1 or more"]),
        (["evaluate", "agent", "--eval-episodes", "0"], ["--eval-episodes 0 is too small; use 1 or more"]),
        (["evaluate", "agent", "--timeline", "lines"], ["--timeline 'lines'", "is not judged", "leave it out"]),
    ],
)
def test_what_is_given_is_refused(
    args: list[str], words: list[str], runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs)
    assert run(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert all(word in line for word in words)
    assert {path.name for path in runs.iterdir()} == {"run", "agent", "there"}
    assert not list((runs / "there").iterdir())


def test_what_is_given_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "agent", memory_kwargs=JUDGED, eval_episodes=3)
    lines = tmp_path / "lines"
    assert run(["evaluate", str(tmp_path / "agent"), "--eval-episodes", "2", "--timeline", str(lines)]) == 0
    assert '"episodes": 2' in capsys.readouterr().out
    assert {path.name for path in lines.iterdir()} == {"judger.npz", "judger.png"}


@pytest.mark.parametrize("name", ["index.html", "report.md", "figures/comparison-1-x"])
def test_a_report_does_not_delete_folders(
    name: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    (out / name).mkdir(parents=True)
    (out / "tables").mkdir()
    (out / "tables" / "comparison-1-scores.csv").touch()
    assert run(["report", str(runs / "run"), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{out / name} is a folder, where a report has a file; choose another folder" in line
    assert (out / "tables" / "comparison-1-scores.csv").exists()
