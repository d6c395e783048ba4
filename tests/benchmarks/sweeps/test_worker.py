from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import stable_baselines3

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import load_config, save_config
from memory_agents.benchmarks.run_lock import hold
from memory_agents.benchmarks.sweeps.plan import PlannedRun
from memory_agents.benchmarks.sweeps.worker import BUSY, DONE, FAILED, KEPT, Outcome, Task, is_finished, run_one
from tests.benchmarks.sweeps.small import small_runs


@pytest.fixture
def planned(tmp_path: Path) -> PlannedRun:
    return small_runs(tmp_path)[1]


def go(run: PlannedRun) -> Outcome:
    return run_one(Task(run.config, run.folder))


def test_a_run_is_done_once(planned: PlannedRun) -> None:
    assert not is_finished(planned.folder, planned.config)
    assert go(planned) == Outcome(planned.folder, DONE)
    assert is_finished(planned.folder, planned.config)
    written = (planned.folder / "agent.zip").stat().st_mtime_ns
    assert go(planned) == Outcome(planned.folder, KEPT)
    assert (planned.folder / "agent.zip").stat().st_mtime_ns == written


@pytest.mark.parametrize("left", [None, "", '{"episodes": 4, "mean_ret', '{"episodes": 4}', "[]"])
def test_a_run_that_was_not_finished_starts_anew(left: str | None, planned: PlannedRun) -> None:
    go(planned)
    whole = (planned.folder / "evaluation.csv").read_text()
    (planned.folder / "evaluation.json").unlink()
    if left is not None:
        (planned.folder / "evaluation.json").write_text(left)
    with (planned.folder / "monitor.csv").open("a") as file:
        file.write("1,2")
    assert not is_finished(planned.folder, planned.config)
    assert go(planned).status == DONE
    assert (planned.folder / "evaluation.csv").read_text() == whole
    assert not (planned.folder / "monitor.csv").read_text().endswith("1,2")


def test_a_run_in_other_hands_is_left_to_them(planned: PlannedRun) -> None:
    with hold(planned.folder):
        outcome = go(planned)
        assert outcome.status == BUSY
        assert "in use by process" in outcome.message
    assert go(planned).status == DONE


def test_a_failure_is_an_outcome_and_tried_again(planned: PlannedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(stable_baselines3.PPO, "learn", learn)
        outcome = go(planned)
    assert outcome.status == FAILED
    assert outcome.message.startswith("Traceback")
    assert outcome.message.endswith("RuntimeError: a bug\n")
    assert "RuntimeError: a bug" in (planned.folder / "failure.txt").read_text()
    assert go(planned).status == DONE
    assert not (planned.folder / "failure.txt").exists()


def test_arguments_that_do_not_fit_are_a_failure_that_is_written_down(planned: PlannedRun) -> None:
    asked = replace(planned.config, policy="MlpPolicy", memory_class="gru")
    outcome = run_one(Task(asked, planned.folder))
    assert outcome.status == FAILED
    assert "UsageError" in outcome.message
    assert "UsageError" in (planned.folder / "failure.txt").read_text()
    assert load_config(planned.folder) == asked


def test_foreign_folders_are_left_alone(planned: PlannedRun) -> None:
    planned.folder.mkdir(parents=True)
    (planned.folder / "thesis.tex").touch()
    assert go(planned).status == FAILED
    assert [path.name for path in planned.folder.iterdir()] == ["thesis.tex"]


def test_a_folder_with_another_run_is_no_match(planned: PlannedRun) -> None:
    go(planned)
    path = planned.folder / "config.json"
    written = json.loads(path.read_text())
    written["arguments"]["n_envs"] = 7
    path.write_text(json.dumps(written))
    with pytest.raises(UsageError, match=r"holds a run of other arguments \(n_envs=7, not 2\); choose another --out"):
        is_finished(planned.folder, planned.config)


@pytest.mark.parametrize("left", ["", '{"arguments": {"env": "Mem', "[]", "{}"])
def test_a_run_whose_arguments_are_torn_starts_anew(left: str, planned: PlannedRun) -> None:
    go(planned)
    whole = (planned.folder / "config.json").read_text()
    (planned.folder / "config.json").write_text(left)
    assert not is_finished(planned.folder, planned.config)
    assert go(planned).status == DONE
    assert json.loads((planned.folder / "config.json").read_text())["arguments"] == json.loads(whole)["arguments"]


def test_a_run_of_another_version_is_not_replaced(planned: PlannedRun) -> None:
    go(planned)
    path = planned.folder / "config.json"
    written = json.loads(path.read_text())
    written["arguments"]["from_the_future"] = 1
    path.write_text(json.dumps(written))
    with pytest.raises(
        UsageError, match=f"from_the_future.*remove {planned.folder} to have the run done anew, or choose"
    ):
        is_finished(planned.folder, planned.config)


def test_arguments_that_are_no_number_are_themselves(planned: PlannedRun) -> None:
    go(planned)
    config = replace(planned.config, algorithm_kwargs={"target_kl": float("nan")})
    save_config(config, planned.folder)
    assert is_finished(planned.folder, replace(config, algorithm_kwargs={"target_kl": float("nan")}))
    with pytest.raises(UsageError, match=r'algorithm_kwargs={"target_kl": NaN}, not {"target_kl": 1.0}'):
        is_finished(planned.folder, replace(config, algorithm_kwargs={"target_kl": 1.0}))


def test_modules_of_ones_own_are_found(planned: PlannedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path])
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "worker_agents.py").write_text(
        "from stable_baselines3.common.policies import ActorCriticPolicy\nclass Mine(ActorCriticPolicy): pass\n"
    )
    asked = replace(planned.config, policy="worker_agents:Mine")
    assert run_one(Task(asked, planned.folder)).status == FAILED
    assert run_one(Task(asked, planned.folder, search=(str(tmp_path / "here"),))).status == DONE


def test_checkpoints_are_made_where_they_are_asked_for(planned: PlannedRun) -> None:
    run_one(Task(planned.config, planned.folder, 64))
    assert {path.name for path in (planned.folder / "checkpoints").iterdir()} == {"64.zip", "128.zip"}
