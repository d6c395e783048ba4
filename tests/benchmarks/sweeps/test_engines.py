"""Processes of this machine, and Ray: the same results."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.sweeps import ray_engine
from memory_agents.benchmarks.sweeps.local_engine import LocalEngine, _Worker
from memory_agents.benchmarks.sweeps.plan import Choice, plan
from memory_agents.benchmarks.sweeps.ray_engine import RayEngine
from memory_agents.benchmarks.sweeps.suite_file import load_suite
from memory_agents.benchmarks.sweeps.worker import FAILED, Task
from tests.benchmarks.sweeps.small import SMALL

ROOT = Path(__file__).resolve().parents[3]

#: A stranger's agents; two of them come to grief, but only in a worker.
OWN = """
import multiprocessing, os, signal
from stable_baselines3.common.policies import ActorCriticPolicy

class Good(ActorCriticPolicy):
    pass

class Dies(ActorCriticPolicy):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)

class Broken(ActorCriticPolicy):
    def __init__(self, *args, **kwargs):
        raise RuntimeError("broken from the start")

class Fails(ActorCriticPolicy):
    def forward(self, *args, **kwargs):
        raise LookupError("a bug of mine")
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a stranger's, in which one stands."""
    (tmp_path / "my_agents.py").write_text(OWN)
    (tmp_path / "mine.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    sys.modules.pop("my_agents", None)


def results(out: Path) -> dict[str, str]:
    """Episodes of the finished runs."""
    finished = sorted(path.parent for path in out.glob("*/evaluation.json"))
    return {folder.name: (folder / "evaluation.csv").read_text() for folder in finished}


def test_smoke_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With fewer steps than the whole suite has, and two processes."""
    out = tmp_path / "runs"
    assert run(["run", "smoke", "--out", str(out), "--budget", "1", "--jobs", "2"]) == 0
    shown = capsys.readouterr().out
    assert "[14/14]" in shown
    assert len(results(out)) == 14
    assert run(["collect", str(out), "--table", "learning"]) == 0
    maze = [str(path) for path in out.glob("TMaze-*")]
    assert run(["curves", *maze, "--out", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_a_strangers_agents_from_another_folder(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agents = "my_agents:Fails,my_agents:Dies,my_agents:Broken,my_agents:Good"
    args = ["run", "mine.toml", "--out", "runs", "--seeds", "0", "--jobs", "1", "--policies", agents]
    assert run(args) == 1
    captured = capsys.readouterr()
    assert [name.split("-")[1] for name in results(elsewhere / "runs")] == ["Good"]
    assert "TMaze Dies s0: FAILED" in captured.out
    assert "ended by signal SIGKILL" in captured.err
    assert "LookupError: a bug of mine" in captured.err
    assert "RuntimeError: broken from the start" in captured.err
    assert "3 of 4 runs failed" in captured.err


class Dying:
    """A process that has closed its end of the pipe, and looks alive when one asks for the first time after that."""

    exitcode = -9

    def __init__(self) -> None:
        self.asked = 0
        self.sentinel, self.other_end = os.pipe()

    def is_alive(self) -> bool:
        self.asked += 1
        if self.asked == 1:
            return True
        os.close(self.other_end)
        self.is_alive = lambda: False  # type: ignore[method-assign]
        return False

    def join(self, timeout: float | None = None) -> None:
        pass

    def kill(self) -> None:
        pass


@pytest.mark.parametrize("closed", [True, False])
def test_who_dies_while_one_looks_loses_no_run(closed: bool, tmp_path: Path) -> None:
    engine = LocalEngine(1)
    worker = object.__new__(_Worker)
    ours, theirs = multiprocessing.Pipe()
    if closed:
        theirs.close()
    worker.channel, worker.process = ours, Dying()  # type: ignore[assignment]
    worker.task = Task(TrainingConfig("MemoryAgents/TMaze-v0"), tmp_path)
    engine._workers = [worker]
    outcomes = [outcome for _ in range(4) for outcome in (engine.wait(0.01) if engine._workers else [])]
    assert [(outcome.folder, outcome.status) for outcome in outcomes] == [(tmp_path, FAILED)]
    assert "SIGKILL" in outcomes[0].message
    assert (tmp_path / "failure.txt").read_text() == outcomes[0].message
    assert engine._workers == []
    theirs.close()
    ours.close()


@pytest.mark.slow
def test_ray_gives_the_same_results(elsewhere: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    agents = ["--policies", "lstm,memoryless,random,my_agents:Good"]
    for name in ("local", "ray"):
        out = tmp_path / name
        assert run(["run", "mine.toml", "--out", str(out), "--jobs", "2", "--engine", name, *agents]) == 0
    assert len(results(tmp_path / "ray")) == 8
    assert results(tmp_path / "ray") == results(tmp_path / "local")
    assert tables(tmp_path / "ray") == tables(tmp_path / "local")


@pytest.mark.slow
def test_ray_survives_what_kills_a_worker(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    # Ray's workers are no children of this process by Python's reckoning.
    fatal = OWN.replace("multiprocessing.parent_process() is not None", f"os.getpid() != {os.getpid()}")
    (elsewhere / "my_agents.py").write_text(fatal)
    agents = ["--policies", "my_agents:Fails,my_agents:Dies,my_agents:Good", "--seeds", "0"]
    assert run(["run", "mine.toml", "--out", "runs", "--jobs", "2", "--engine", "ray", *agents]) == 1
    captured = capsys.readouterr()
    assert [name.split("-")[1] for name in results(elsewhere / "runs")] == ["Good"]
    assert "LookupError: a bug of mine" in captured.err
    assert "2 of 3 runs failed" in captured.err


def test_without_ray_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'memory_agents\[ray\]'"):
        RayEngine(2)
    assert run(["run", "smoke", "--out", str(tmp_path / "runs"), "--engine", "ray"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def tables(out: Path) -> list[str]:
    return [path.read_text() for path in (out / "sweeps").glob("*.md")]


def sweep_of_eight(folder: Path, out: str) -> subprocess.Popen[bytes]:
    args = ["-m", "memory_agents.benchmarks", "run", "mine.toml", "--out", out, "--seeds", "0-3", "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / f"{out}.err").open("wb") as complaints:
        return subprocess.Popen(
            [sys.executable, *args, "--budget", "2000"],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            # Ctrl-C goes to the whole group, as on a terminal.
            start_new_session=True,
            # What is started in the background of a script ignores it, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_sweep_ends_like_an_undisturbed_one(how: signal.Signals, elsewhere: Path) -> None:
    assert sweep_of_eight(elsewhere, "whole").wait() == 0

    killed = sweep_of_eight(elsewhere, "killed")
    out = elsewhere / "killed"
    while len(results(out)) < 3:
        time.sleep(0.05)
        assert killed.poll() is None
    if how == signal.SIGINT:
        os.killpg(killed.pid, how)
    else:
        killed.send_signal(how)
    code = killed.wait()
    assert code == (-9 if how == signal.SIGKILL else 130)
    if how != signal.SIGKILL:
        lines = (elsewhere / "killed.err").read_text().splitlines()
        assert lines[-1].startswith("Stopped. The same command goes on")
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*/evaluation.json")}
    assert 3 <= len(kept) < 8
    begun = {path.parent for path in out.glob("*/config.json")} - {path.parent for path in kept}
    # The workers of the killed one are gone, or the runs would be busy for as long as they take.
    time.sleep(2)
    for folder in begun:
        before = (folder / "progress.csv").read_bytes() if (folder / "progress.csv").exists() else b""
        time.sleep(0.5)
        after = (folder / "progress.csv").read_bytes() if (folder / "progress.csv").exists() else b""
        assert before == after

    assert sweep_of_eight(elsewhere, "killed").wait() == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert results(out) == results(elsewhere / "whole")
    assert tables(out) == tables(elsewhere / "whole")
    assert len(results(out)) == 8


@pytest.mark.slow
def test_two_sweeps_on_one_folder_share_the_runs(elsewhere: Path) -> None:
    assert sweep_of_eight(elsewhere, "whole").wait() == 0
    both = [sweep_of_eight(elsewhere, "shared") for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]
    assert results(elsewhere / "shared") == results(elsewhere / "whole")
    assert tables(elsewhere / "shared") == tables(elsewhere / "whole")
    logs = list((elsewhere / "shared").glob("*/events.out.tfevents.*"))
    assert len(logs) == 8


@pytest.mark.slow
def test_the_whole_smoke_suite(tmp_path: Path) -> None:
    assert run(["run", "smoke", "--out", str(tmp_path)]) == 0
    runs = plan(load_suite("smoke"), tmp_path, Choice())
    assert len(results(tmp_path)) == len(runs)
