"""Folders of finished runs, and what is no such thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.runs import find_runs, group_by_seed, read_runs
from tests.benchmarks.report.runs import finished


def test_a_run_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        finished(tmp_path / "runs" / name, 0.5, seed=ord(name))
    monkeypatch.chdir(tmp_path)
    roots = [Path("runs"), Path("runs", "b"), tmp_path / "runs", Path("runs", "a", "..", "b")]
    found = find_runs(roots)
    assert [folder.resolve() for folder in found] == [tmp_path / "runs" / name for name in ("a", "b")]
    (group,) = group_by_seed(read_runs(found))
    assert [run.config.seed for run in group] == [ord("a"), ord("b")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[]", "holds no JSON object"),
        ('{"mean_return": 1.0}', "no train_steps.*leave this run out"),
        ("{", "Expecting"),
    ],
)
def test_what_is_no_evaluation_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    (finished(tmp_path / "a", 0.5) / "evaluation.json").write_text(content)
    with pytest.raises(UsageError, match=f"evaluation.json is not the evaluation of a training run .*{complaint}"):
        read_runs([tmp_path / "a"])


def test_a_later_evaluation_that_is_none_is_named(tmp_path: Path) -> None:
    (finished(tmp_path / "a", 0.5) / "later.json").write_text("[]")
    with pytest.raises(UsageError, match=r"later.json .* holds no JSON object"):
        read_runs([tmp_path / "a"], "later.json")
