"""Which runs may share a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.sequence.algorithmic import run_algorithmic
from memory_agents.benchmarks.sequence.characters_run import run_characters
from memory_agents.benchmarks.sequence.regression import RegressionConfig
from memory_agents.benchmarks.sequence.sharing import check_folder, task_of
from memory_agents.sequence import task_registry
from tests.benchmarks.sequence.characters import tiny, write_text
from tests.benchmarks.sequence.test_algorithmic import TINY

TASKS = [*task_registry, "characters", "copy-first", "denoising"]


def begun(folder: Path, command: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"command": command}))
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_only_what_one_table_can_have_shares_a_folder(task: str, tmp_path: Path) -> None:
    for other in TASKS:
        begun(tmp_path / other / "run", f"memory-bench sequence {other} --seeds 0")
        if task == other or {task, other} <= {*task_registry}:
            check_folder(tmp_path / other, task)
        else:
            with pytest.raises(UsageError, match=f"has runs of {other}, whose table is another; choose another folder"):
                check_folder(tmp_path / other, task)
    check_folder(tmp_path / "nowhere", task)


def test_tasks_are_known_by_the_command(tmp_path: Path) -> None:
    commands = {
        "memory-bench copy-first --length 5": "copy-first",
        "memory-bench sequence": None,
        "memory-bench": None,
        "memory-bench train --env copy": None,
        "memory-bench sequence 'copy": None,
        3: None,
    }
    found = {command: task_of(begun(tmp_path / str(n), command)) for n, command in enumerate(commands)}
    assert found == commands
    assert task_of(tmp_path) is None
    config = RegressionConfig("gru")
    assert task_of(begun(tmp_path / "own", config.command())) == "copy-first"


def test_folders_below_count_where_the_table_looks_there(tmp_path: Path) -> None:
    run_below = begun(tmp_path / "below" / "run", "memory-bench sequence characters")
    check_folder(tmp_path, "copy")
    (run_below / "score.json").touch()
    check_folder(tmp_path, "denoising")
    with pytest.raises(UsageError, match="has runs of characters"):
        check_folder(tmp_path, "copy")


def test_nothing_is_trained_where_no_table_could_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(write_text(tmp_path))
    run_characters([tiny("xl", data=data)], tmp_path / "characters")
    run_algorithmic([TINY], tmp_path / "copy")
    with pytest.raises(UsageError, match="has runs of characters"):
        run_algorithmic([TINY], tmp_path / "characters")
    with pytest.raises(UsageError, match="has runs of copy"):
        run_characters([tiny("xl", data=data)], tmp_path / "copy")
    args = ["--memory-class", "gru", "--length", "5", "--out", str(tmp_path / "copy")]
    assert run(["sequence", "denoising", "--blanks", "0", *args]) == 2
    assert "has runs of copy, whose table is another" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "copy").iterdir()] == [TINY.name]
