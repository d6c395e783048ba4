"""Killed runs that could go on wrongly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.sequence.algorithmic import run_algorithmic
from memory_agents.benchmarks.sequence.characters_run import run_characters
from memory_agents.benchmarks.sequence.checkpoint import CHECKPOINT_FILE, Checkpoint
from memory_agents.benchmarks.sequence.runs import begin_run, is_finished
from tests.benchmarks.sequence.characters import tiny, write_text
from tests.benchmarks.sequence.killing import kill_at
from tests.benchmarks.sequence.test_algorithmic import TINY

CPU = th.device("cpu")


def test_half_a_checkpoint_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path, CPU).save(part=th.zeros(100))
    path = tmp_path / CHECKPOINT_FILE
    whole = path.read_bytes()
    for half in (whole[:700], whole[:3], b""):
        path.write_bytes(half)
        with pytest.raises(UsageError, match=r"checkpoint\.pt cannot be read \(it is not whole\); delete it to begin"):
            Checkpoint(tmp_path, CPU).load()


def test_another_kind_of_device_does_not_go_on(tmp_path: Path) -> None:
    Checkpoint(tmp_path, CPU).save(part=1)
    with pytest.raises(UsageError, match=r"--device is cuda here, but .* was made with cpu"):
        Checkpoint(tmp_path, th.device("cuda")).load()


def test_nobody_goes_on_from_what_went_on_from_something_else(tmp_path: Path) -> None:
    Checkpoint(tmp_path, CPU, origin="one").save(part=1)
    before = th.get_rng_state()
    assert Checkpoint(tmp_path, CPU, origin="other").load() is None
    assert th.equal(before, th.get_rng_state())
    assert Checkpoint(tmp_path, CPU, origin="one").load() == {"part": 1}


def test_checkpoints_of_before_still_go_on(tmp_path: Path) -> None:
    """They told neither device nor origin."""
    Checkpoint(tmp_path, CPU).save(part=1)
    path = tmp_path / CHECKPOINT_FILE
    parts = th.load(path, weights_only=True)
    th.save({name: part for name, part in parts.items() if name not in ("device", "origin")}, path)
    assert Checkpoint(tmp_path, CPU, origin="one").load() == {"part": 1}


def test_a_score_of_unknown_arguments_is_not_taken_for_the_runs_own(tmp_path: Path) -> None:
    run_algorithmic([TINY], tmp_path)
    folder, other = tmp_path / TINY.name, replace(TINY, updates=3)
    (folder / "config.json").unlink()
    with pytest.raises(UsageError, match="is not the configuration of a run"):
        run_algorithmic([other], tmp_path)
    # Killed when there is a configuration again, and no other score yet.
    begin_run(folder, other)
    assert not is_finished(folder, other)
    # Beside its configuration, it is the run's own.
    (folder / "score.json").touch()
    begin_run(folder, other)
    assert is_finished(folder, other)


def test_what_was_half_written_is_cleared_away(tmp_path: Path) -> None:
    begin_run(tmp_path, TINY)
    (tmp_path / ".checkpoint.pt.0123.tmp").touch()
    begin_run(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_another_pretraining_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second part was killed, and the first one done again, with other weights."""
    config = tiny("keep", data=str(write_text(tmp_path)))
    out, before = tmp_path / "runs", tmp_path / "runs" / config.pretraining.name
    # Four updates, five more, a checkpoint.
    begun = kill_at({9}, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_characters([config], out)
    assert (out / config.name / CHECKPOINT_FILE).is_file()
    saved = th.load(before / "weights.pt", weights_only=True)
    for part in saved["weights"].values():
        part += 0.5
    th.save(saved, before / "weights.pt")
    begun.clear()
    run_characters([config], out)
    assert begun == [0, 1, 2, 3, 4, 5]


def test_weights_of_unknown_arguments_are_no_pretraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("xl", data=str(write_text(tmp_path)), cotrain_updates=2)
    run_characters([config], tmp_path / "runs")
    folder = tmp_path / "runs" / config.pretraining.name
    (folder / "config.json").unlink()
    (tmp_path / "runs" / config.name / "score.json").unlink()
    begun = kill_at((), monkeypatch)
    run_characters([config], tmp_path / "runs")
    assert begun == [0, 1, 2, 3, 0, 1]


def test_half_the_weights_of_a_pretraining_are_refused(tmp_path: Path) -> None:
    config = tiny("xl", data=str(write_text(tmp_path)), cotrain_updates=2)
    run_characters([config], tmp_path / "runs")
    (tmp_path / "runs" / config.name / "score.json").unlink()
    path = tmp_path / "runs" / config.pretraining.name / "weights.pt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UsageError, match=r"weights\.pt cannot be read \(it is not whole\); delete it and run again"):
        run_characters([config], tmp_path / "runs")
