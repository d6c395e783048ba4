"""What fails in a sweep fails alone, and its folder tells why."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.arguments import BrokenCodeError, UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.env_ids import check_env
from memory_agents.benchmarks.report.study import read_study
from memory_agents.benchmarks.run_lock import hold
from memory_agents.benchmarks.sweeps import cli as commands
from memory_agents.benchmarks.sweeps.local_engine import LocalEngine
from memory_agents.benchmarks.sweeps.worker import DONE, FAILED, Outcome, Task, lost, run_one
from tests.benchmarks.own_envs import write_modules
from tests.benchmarks.sweeps.small import SMALL, HereEngine, small_runs

GOOD = SMALL.replace('"lstm", ', "").replace("[0, 1]", "[0]")


@pytest.fixture(autouse=True)
def standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_modules(tmp_path, monkeypatch)


def blind(raised: str) -> TrainingConfig:
    return TrainingConfig("own_envs:Blind-v0", {"raised": raised})


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ('{ id = "own_envs:Blind-v0", env_kwargs = { raised = "key" } }', "cannot be made (KeyError: 'my goal')"),
        ('{ id = "own_envs:Blind-v0", env_kwargs = { raised = "runtime" } }', "cannot be made (RuntimeError: my goal)"),
        ('{ id = "own_envs:Blind-v0", env_kwargs = { raised = "exit" } }', "cannot be made (SystemExit: my goal)"),
        ('"nameless:Blind-v0"', "'nameless' cannot be imported (SyntaxError: "),
        ('"misnamed:Blind-v0"', "'misnamed' cannot be imported (NameError: name 'undefined_name' is not defined)"),
        ('"leaving:Blind-v0"', "'leaving' cannot be imported (SystemExit: 5)"),
    ],
)
def test_a_broken_environment_fails_its_own_runs(
    env: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_engine", lambda *_: HereEngine())
    (tmp_path / "mine.toml").write_text(GOOD.replace("environments = [", f"environments = [\n    {env},"))
    assert run(["run", "mine.toml", "--out", "my runs", "--policies", "memoryless,oracle"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == "1 of 3 runs failed; the same command tries them again."
    assert f"Curves: memory-bench curves '{tmp_path}/my runs'/ENVIRONMENT-* --out curves.png" in captured.out
    study = read_study([tmp_path / "my runs"])
    assert len(study.numbers) == 2
    (problem,) = study.problems
    assert problem.reason.startswith("failed: ")
    assert reason in problem.reason
    assert "Traceback" in (problem.folder / "failure.txt").read_text()


def test_refused_arguments_stop_all_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for env, words in (
        ('{ id = "own_envs:Blind-v0", env_kwargs = { raised = "value" } }', "(ValueError: my goal)"),
        ('"no_such.module:Blind-v0"', "'no_such.module' cannot be imported (ModuleNotFoundError: "),
        ('"own_envs:Blnd-v0"', "did you mean Blind-v0?"),
    ):
        (tmp_path / "mine.toml").write_text(GOOD.replace("environments = [", f"environments = [\n    {env},"))
        assert run(["run", "mine.toml", "--out", "runs"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "mine.toml: environments[0]: --env " in line
        assert words in line
    (tmp_path / "mine.toml").write_text(GOOD)
    assert run(["run", "mine.toml", "--out", "runs", "--policies", "leaving:Mine"]) == 2
    assert "--policies 'leaving:Mine': 'leaving' cannot be imported (SystemExit: 5)" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_broken_code_is_told_from_what_the_user_typed() -> None:
    with pytest.raises(BrokenCodeError, match=r"--env 'own_envs:Blind-v0' cannot be made \(RuntimeError: my goal\)"):
        make_env(blind("runtime"))
    # It is there; what it wants is not.
    with pytest.raises(BrokenCodeError, match="No module named 'nowhere'"):
        check_env("wanting:Blind-v0")
    for refused in (
        lambda: make_env(blind("value")),
        lambda: check_env("no_such:Blind-v0"),
        lambda: check_env(":A-v0"),
    ):
        with pytest.raises(UsageError) as caught:
            refused()
        assert not isinstance(caught.value, BrokenCodeError)


def test_check_goes_on_with_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env = '{ id = "own_envs:Blind-v0", env_kwargs = { raised = "key" } }'
    (tmp_path / "mine.toml").write_text(GOOD.replace("environments = [", f"environments = [\n    {env},"))
    assert run(["check", "mine.toml", "--episodes", "2"]) == 1
    captured = capsys.readouterr()
    assert "Blind random: score -  WRONG" in captured.out
    assert "TMaze oracle: score 1" in captured.out
    assert captured.err.splitlines()[0].startswith("Blind: --env 'own_envs:Blind-v0' cannot be made (KeyError")


@pytest.mark.parametrize(
    ("policy", "reason"),
    [("Unmade", "failed: RuntimeError: broken from the start"), ("Leaves", "failed: SystemExit: 5")],
)
def test_what_an_agent_fails_by_lies_in_its_folder(policy: str, reason: str, tmp_path: Path) -> None:
    good, bad = small_runs(tmp_path / "runs")[1::2]
    asked = replace(bad.config, policy=f"own_policies:{policy}")
    assert run_one(Task(good.config, good.folder)).status == DONE
    outcome = run_one(Task(asked, bad.folder, search=(str(tmp_path),)))
    assert outcome.status == FAILED
    assert (bad.folder / "failure.txt").read_text().splitlines()[-1] == outcome.message.splitlines()[-1]
    (problem,) = read_study([tmp_path / "runs"]).problems
    assert (problem.config, problem.reason) == (asked, reason)
    assert run_one(Task(bad.config, bad.folder)).status == DONE
    assert not (bad.folder / "failure.txt").exists()


def test_the_parent_writes_for_a_process_that_is_gone(tmp_path: Path) -> None:
    (planned, other, finished, foreign) = small_runs(tmp_path)
    task = Task(planned.config, planned.folder)
    assert lost(task, "gone\n").message == "gone\n"
    assert (planned.folder / "failure.txt").read_text() == "gone\n"
    assert (planned.folder / "config.json").is_file()
    # Another process has begun the run anew.
    with hold(other.folder):
        assert lost(Task(other.config, other.folder), "gone\n").status == FAILED
    assert not (other.folder / "failure.txt").exists()
    # Another process has finished it.
    assert run_one(Task(finished.config, finished.folder)).status == DONE
    lost(Task(finished.config, finished.folder), "gone\n")
    assert not (finished.folder / "failure.txt").exists()
    foreign.folder.mkdir()
    (foreign.folder / "thesis.tex").touch()
    lost(Task(foreign.config, foreign.folder), "gone\n")
    assert [path.name for path in foreign.folder.iterdir()] == ["thesis.tex"]


def test_a_worker_that_dies_leaves_the_reason(tmp_path: Path) -> None:
    dying = (
        "import os\nfrom own_policies import Unmade\nclass Dies(Unmade):\n    def __init__(self, *_, **__): os._exit(3)"
    )
    (tmp_path / "own_death.py").write_text(dying)
    planned = small_runs(tmp_path)[1]
    engine = LocalEngine(1)
    engine.submit(Task(replace(planned.config, policy="own_death:Dies"), planned.folder, search=(os.getcwd(),)))
    outcomes, until = list[Outcome](), time.monotonic() + 100
    while not outcomes and time.monotonic() < until:
        outcomes += engine.wait(0.5)
    engine.close()
    assert [outcome.status for outcome in outcomes] == [FAILED]
    assert "ended by exit code 3" in (planned.folder / "failure.txt").read_text()
