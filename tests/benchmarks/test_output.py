from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.demo import check_folder
from memory_agents.benchmarks.output import check_free, prepare_run


def earlier_run(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "progress.csv", "events.out.tfevents.1.host.2"):
        (folder / name).touch()
    return folder


def test_missing_folders_are_made(tmp_path: Path) -> None:
    prepare_run(tmp_path / "a" / "b", overwrite=False)

    assert (tmp_path / "a" / "b").is_dir()


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    for overwrite in (False, True):
        with pytest.raises(UsageError, match="other files"):
            prepare_run(tmp_path, overwrite)
    assert (tmp_path / "thesis.tex").exists()


def test_an_earlier_run_is_replaced_only_when_told(tmp_path: Path) -> None:
    earlier_run(tmp_path)
    (tmp_path / "notes.txt").touch()

    with pytest.raises(UsageError, match="--overwrite"):
        prepare_run(tmp_path, overwrite=False)
    assert (tmp_path / "progress.csv").exists()

    prepare_run(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    with pytest.raises(UsageError, match="cannot be made"):
        prepare_run(path, overwrite=True)


def test_demo_takes_an_earlier_demo_only(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    check_folder(folder)

    earlier_run(folder / "compressive")
    (folder / "episode.gif").touch()
    check_folder(folder)

    # Killed before it had written its configuration.
    (folder / "memoryless").mkdir()
    (folder / "memoryless" / "run.lock").touch()
    check_folder(folder)

    (folder / "memoryless" / "notes.txt").touch()
    with pytest.raises(UsageError, match="memoryless' has other files"):
        check_folder(folder)
    (folder / "memoryless" / "notes.txt").unlink()

    (folder / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        check_folder(folder)


def test_what_a_killed_run_leaves_is_cleared(tmp_path: Path) -> None:
    # Before it had written its configuration.
    for name in ("run.lock", "run.owner", ".config.json.abc.tmp"):
        (tmp_path / name).touch()
    prepare_run(tmp_path, overwrite=False)
    assert {path.name for path in tmp_path.iterdir()} == {"run.lock", "run.owner"}

    earlier_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in ("pretraining-monitor.csv", "failure.txt", "checkpoints/5.zip", ".evaluation.json.abc.tmp"):
        (tmp_path / name).touch()
    prepare_run(tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run.lock", "run.owner"}


def test_files_of_a_run_are_not_written_over(tmp_path: Path) -> None:
    for name in ("evaluation.json", "config.json", "agent.zip", "events.out.tfevents.1.host.2"):
        check_free(tmp_path / name)
        with pytest.raises(UsageError, match=r"--out .* is a file of the run itself, .* choose another name"):
            check_free(earlier_run(tmp_path / "run") / name)
    check_free(tmp_path / "run" / "later.json")
    check_free(tmp_path / "missing" / "evaluation.json")
    with pytest.raises(UsageError, match=r"--out .*run' is a folder; name a file"):
        check_free(tmp_path / "run")


@pytest.mark.parametrize("n_deleted", range(8))
def test_a_deletion_that_is_interrupted_can_be_taken_up(
    n_deleted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    files = ("evaluation.json", "evaluation.csv", "agent.zip", "checkpoints/5.zip", "episode.gif", "inspector.html")
    for name in files:
        (tmp_path / name).touch()
    deleted: list[str] = []
    unlink, rmtree = Path.unlink, shutil.rmtree

    def until(path: Path, delete: Callable[[Path], None]) -> None:
        if len(deleted) == n_deleted:
            raise KeyboardInterrupt
        deleted.append(path.name)
        delete(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda path: until(path, unlink))
        patched.setattr(shutil, "rmtree", lambda path: until(path, rmtree))
        with pytest.raises(KeyboardInterrupt):
            prepare_run(tmp_path, overwrite=True)
    # It passes for no finished run, and reports can tell of which arguments it was.
    assert deleted[:1] == ["evaluation.json"][:n_deleted]
    assert (tmp_path / "config.json").exists()
    prepare_run(tmp_path, overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_what_an_older_deletion_left_is_a_runs(tmp_path: Path) -> None:
    (tmp_path / "evaluation.csv").touch()
    (tmp_path / "events.out.tfevents.1.host.2").touch()
    with pytest.raises(UsageError, match=r"holds an earlier run; .*--overwrite"):
        prepare_run(tmp_path, overwrite=False)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="other files"):
        prepare_run(tmp_path, overwrite=True)
    (tmp_path / "thesis.tex").unlink()
    prepare_run(tmp_path, overwrite=True)
    assert list(tmp_path.iterdir()) == []
