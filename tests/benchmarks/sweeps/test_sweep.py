from __future__ import annotations

import io
import json
import re
import sys
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import stable_baselines3
from rich.console import Console

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import save_config
from memory_agents.benchmarks.run_lock import hold
from memory_agents.benchmarks.sweeps import cli as commands
from memory_agents.benchmarks.sweeps import sweep as sweeping
from memory_agents.benchmarks.sweeps.display import Display
from memory_agents.benchmarks.sweeps.engine import Engine
from memory_agents.benchmarks.sweeps.plan import PlannedRun
from memory_agents.benchmarks.sweeps.record import other_code
from memory_agents.benchmarks.sweeps.sweep import sweep, unfinished
from memory_agents.benchmarks.sweeps.worker import Outcome, Task
from tests.benchmarks.sweeps.small import SMALL, HereEngine, small_runs


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[HereEngine]:
    """Engines that the next commands use, in order; without one left, a new one."""
    given: list[HereEngine] = []
    used: list[HereEngine] = []

    def engine(name: str, jobs: int | None, runs: int) -> Engine:
        used.append(given.pop(0) if given else HereEngine())
        return used[-1]

    monkeypatch.setattr(commands, "_engine", engine)
    return given


def table(out: Path) -> str:
    (path,) = (out / "sweeps").glob("*.md")
    return path.read_text()


def stamps(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.glob("*/evaluation.json")}


def test_a_stopped_sweep_goes_on_where_it_stopped(
    small: str, engines: list[HereEngine], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", small, "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()

    out = tmp_path / "stopped"
    engines += [first := HereEngine(stop_before=2), second := HereEngine(), third := HereEngine()]
    assert run(["run", small, "--out", str(out)]) == 130
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == "Stopped. The same command goes on where this stopped."
    assert first.closed
    before = stamps(out)
    assert len(before) == 2
    # One that was killed in the middle of its training.
    broken = next(each for each in small_runs(out) if not each.folder.exists()).folder
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "progress.csv").write_text("time/total_timesteps,rollout/ep_re")
    (broken / "evaluation.csv").write_text("episode,ret")

    assert run(["run", small, "--out", str(out)]) == 0
    assert "4 runs, 2 of them finished before" in capsys.readouterr().out
    assert set(second.done).isdisjoint(path.parent for path in before)
    assert len(second.done) == 2
    assert {path: stamp for path, stamp in stamps(out).items() if path in before} == before
    assert table(out) == table(tmp_path / "whole")

    assert run(["run", small, "--out", str(out)]) == 0
    assert third.done == []
    assert table(out) == table(tmp_path / "whole")
    assert table(out) in capsys.readouterr().out


def test_one_failure_does_not_stop_the_others(
    small: str,
    engines: list[HereEngine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    learn = stable_baselines3.PPO.learn

    def fail(self: stable_baselines3.PPO, *args: object, **kwargs: object) -> object:
        if self.seed == 0 and type(self) is stable_baselines3.PPO:
            raise RuntimeError("a [bug]")
        return learn(self, *args, **kwargs)  # type: ignore[arg-type]

    out = tmp_path / "runs"
    with monkeypatch.context() as patched:
        patched.setattr(stable_baselines3.PPO, "learn", fail)
        assert run(["run", small, "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert re.search(r"TMaze memoryless s0: FAILED after \d+ s: RuntimeError: a \[bug\];", captured.out)
    assert "TMaze memoryless s0 failed (" in captured.err
    assert "Traceback (most recent call last)" in captured.err
    assert captured.err.splitlines()[-1] == "1 of 4 runs failed; the same command tries them again."
    assert len(stamps(out)) == 3
    assert "| 0, 1 |" in captured.out  # both seeds of the other agent

    assert run(["run", small, "--out", str(out)]) == 0
    assert len(stamps(out)) == 4


def test_what_cannot_be_used_is_found_before_anything_is_trained(
    engines: list[HereEngine], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(SMALL.replace('"lstm"', '"lstm", { agent = "gru", memory_kwargs = { hidden = 3 } }'))
    assert run(["run", str(path), "--out", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "TMaze with gru: " in line
    assert "hidden" in line
    assert not (tmp_path / "runs").exists()


def test_options_choose_what_runs(small: str, engines: list[HereEngine], tmp_path: Path) -> None:
    out = tmp_path / "runs"
    args = ["--policies", "gru,lstm", "--policies", "random", "--seeds", "1,3-4", "--envs", "TMaze", "--budget", "64"]
    assert run(["run", small, "--out", str(out), *args]) == 0
    written = [json.loads((path.parent / "config.json").read_text())["arguments"] for path in stamps(out)]
    assert {each["memory_class"] or each["policy"] for each in written} == {"gru", "lstm", "Random"}
    assert sorted({each["seed"] for each in written}) == [1, 3, 4]
    assert {each["total_timesteps"] for each in written} == {64, 0}
    (record,) = (json.loads(path.read_text()) for path in (out / "sweeps").glob("*.json"))
    assert record["suite"] == "small"
    assert record["text"] == SMALL
    assert sorted(record["runs"]) == sorted(path.parent.name for path in stamps(out))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--seeds", "one"], "--seeds 'one' is out of bounds; write whole numbers from 0 up"),
        (["--seeds", "4-0"], "--seeds '4-0' has no number in it"),
        (["--seeds", ","], "--seeds ',' has no number in it"),
        (["--seeds", "0-99999999999999"], "--seeds '0-99999999999999' is too many; name 10,000 at most"),
        (["--seeds", f"0-{'9' * 5000}"], "is out of bounds"),
        (["--envs", ""], "--envs '' names nothing; write names, as a,b, or leave it out"),
        (["--policies", ","], "--policies ',' names nothing"),
        (["--engine", "rey"], "--engine 'rey' is unknown; did you mean ray"),
        (["--jobs", "0"], "--jobs"),
        (["--budget", "0"], "--budget"),
    ],
)
def test_bad_options_are_refused(
    args: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "smoke", "--out", str(tmp_path / "runs"), *args]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


class BusyAtFirst(HereEngine):
    """Another sweep is at the first run, until this one has done all else."""

    def __init__(self, runs: list[PlannedRun]) -> None:
        super().__init__()
        self.others = ExitStack()
        self.others.enter_context(hold(runs[0].folder))
        self.rest = len(runs) - 1

    def wait(self, seconds: float) -> list[Outcome]:
        outcomes = super().wait(seconds)
        if len(set(self.done)) == self.rest + 1:
            self.others.close()
        return outcomes


def test_runs_of_another_sweep_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(sweeping, "RETRY_SECONDS", 0.02)
    runs = small_runs(tmp_path)
    engine = BusyAtFirst(runs)
    out = io.StringIO()
    with Display(Console(file=out, width=300), runs, 0) as display:
        result = sweep(runs, engine, display, None)
    assert not result.failed
    assert unfinished(runs) == []
    assert engine.done == [*(run.folder for run in runs), runs[0].folder]
    assert out.getvalue().count("its result will be taken from there") == 1
    assert "[4/4] TMaze lstm s0" in out.getvalue()


def test_two_sweeps_share_the_runs(tmp_path: Path) -> None:
    """The other one finishes what this one has planned, too."""
    runs = small_runs(tmp_path)

    class Other(HereEngine):
        def submit(self, task: Task) -> None:
            if not self.done:
                HereEngine.submit(self, task)
                HereEngine.wait(self, 0)
            super().submit(task)

    out = io.StringIO()
    with Display(Console(file=out, width=300), runs, 0) as display:
        result = sweep(runs, Other(), display, None)
    assert not result.failed
    assert out.getvalue().count("by another process") == 1


def test_other_code_is_told(
    small: str,
    engines: list[HereEngine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "runs"
    assert run(["run", small, "--out", str(out), "--seeds", "0"]) == 0
    assert "Note" not in capsys.readouterr().out
    monkeypatch.setattr("memory_agents.benchmarks.sweeps.record.commit", lambda: "abc")
    assert run(["run", small, "--out", str(out), "--seeds", "0"]) == 0
    assert "Note: 2 of the finished runs are of commit " in capsys.readouterr().out


def test_changed_agents_of_ones_own_are_told(
    small: str,
    engines: list[HereEngine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "changing_agents.py"
    own.write_text("from stable_baselines3.common.policies import ActorCriticPolicy as Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    args = ["run", small, "--out", str(tmp_path / "runs"), "--policies", "changing_agents:Mine"]
    for _ in range(2):
        assert run(args) == 0
        assert "Note" not in capsys.readouterr().out
    own.write_text(own.read_text() + "# improved\n")
    assert run(args) == 0
    for _ in range(2):
        assert run(args) == 0
        assert "Note: changing_agents was another one when 2 of the finished runs were made" in capsys.readouterr().out
        # As in a process that has nothing left to do.
        sys.modules.pop("changing_agents", None)
    sys.modules.pop("changing_agents", None)


def test_changed_memories_of_ones_own_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "changing_memory.py"
    own.write_text("from memory_agents.memory import GRUMemory as Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_module("changing_memory")
    run_ = replace(small_runs(tmp_path)[0], folder=tmp_path)
    config = replace(run_.config, policy="MemoryPolicy", memory_class="changing_memory:Mine")
    save_config(config, tmp_path)
    assert not other_code([replace(run_, config=config)])
    own.write_text(own.read_text() + "# improved\n")
    (note,) = other_code([replace(run_, config=config)])
    assert note.startswith("changing_memory was another one when 1 of the finished runs were made")
    sys.modules.pop("changing_memory", None)
