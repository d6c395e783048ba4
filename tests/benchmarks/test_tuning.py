"""A search for hyperparameters goes on where it was, and its best trial is a command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memory_agents.benchmarks import tuning
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import Anchors, Episode, Evaluation
from memory_agents.benchmarks.training import rehearse, train
from memory_agents.benchmarks.tuning import SPACES, STUDY_FILE, Pruning, draw, score
from tests.benchmarks.own_envs import write_modules

optuna = pytest.importorskip("optuna", reason="optuna is not installed")

SUITE = """
seeds = [0]
total_timesteps = 64
eval_episodes = 2
n_envs = 2
agents = ["compressive"]

[[environments]]
id = "MemoryAgents/TMaze-v0"
env_kwargs = { corridor = 2 }

[[environments]]
id = "MemoryAgents/RepeatFirst-v0"
"""


def arguments(folder: Path, *more: str) -> list[str]:
    suite = folder / "mine.toml"
    suite.write_text(SUITE)
    return ["tune", str(suite), "--env", "TMaze", "--out", str(folder / "search"), *more]


def study_of(folder: Path) -> Any:
    return optuna.load_study(study_name="tune", storage=f"sqlite:///{folder / 'search' / STUDY_FILE}")


def test_a_search_is_told_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments(tmp_path, "--trials", "2")) == 0
    first = capsys.readouterr().out
    assert "trial 0: score " in first
    assert "trial 1: score " in first
    study = study_of(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    best = load_config(tmp_path / "search" / "trials" / f"{study.best_trial.number:04d}")
    assert f"{best.command()} --out runs/tuned" in first
    assert best.algorithm_kwargs["n_steps"] % best.algorithm_kwargs["sequence_length"] == 0
    evaluation = json.loads((tmp_path / "search" / "trials" / "0000" / "evaluation.json").read_text())
    assert study.trials[0].value == evaluation["normalized_return"]

    # A trial in which the process ended.
    broken = study.ask()
    params = SPACES["PPO"](broken, 0, 2, {})
    assert run(arguments(tmp_path, "--trials", "3")) == 0
    again = study_of(tmp_path).trials
    assert [trial.state.name for trial in again] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert again[3].params == again[2].params
    assert load_config(tmp_path / "search" / "trials" / "0003").algorithm_kwargs["gamma"] == params["gamma"]
    # All are there: nothing is trained, the best is told again.
    assert run(arguments(tmp_path, "--trials", "3")) == 0
    assert len(study_of(tmp_path).trials) == 4
    assert run(arguments(tmp_path, "--trials", "3", "--budget", "128")) == 2
    assert "has a search with other arguments (total_timesteps); use another folder" in capsys.readouterr().err


def test_what_cannot_be_searched_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = arguments(tmp_path)
    assert run([*asked[:2], *asked[4:]]) == 2
    assert "has 2 environments; choose with --env TMaze or RepeatFirst" in capsys.readouterr().err
    assert run([*asked[:2], "--env", "TMase", *asked[4:]]) == 2
    assert "--env 'TMase' is unknown; did you mean TMaze?" in capsys.readouterr().err
    assert run([*asked, "--algorithm", "SAC"]) == 2
    assert "--algorithm 'SAC'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert run(asked) == 2
    assert "pip install 'memory_agents[tune]'" in capsys.readouterr().err


@pytest.mark.parametrize("algorithm", SPACES)
def test_what_is_drawn_can_be_trained(algorithm: str) -> None:
    kwargs = {"auto_advance": False} if algorithm == "MaskablePPO" else {}
    base = TrainingConfig(
        "MemoryAgents/TMaze-v0", kwargs, algorithm=algorithm, memory_kwargs={"compression": "mean"}, n_envs=2
    )
    config = draw(base, optuna.create_study().ask())
    rehearse(config)
    assert config.memory_kwargs["compression"] == "mean"
    assert {"n_layers", "gating"} <= set(config.memory_kwargs)
    assert "sequence_length" in config.algorithm_kwargs


def test_what_is_maximised() -> None:
    episodes = (Episode(3.0, 5, None),)
    assert score(Evaluation(episodes, None)) == 3.0
    assert score(Evaluation(episodes, Anchors(optimal=5.0, memoryless=1.0, random=0.0))) == 0.5
    assert score(Evaluation((), None)) != score(Evaluation((), None))


def test_a_training_below_the_median_ends() -> None:
    reports: list[tuple[float, int]] = []
    trial: Any = SimpleNamespace(
        report=lambda value, step: reports.append((value, step)), should_prune=lambda: reports[-1][0] < 1
    )
    pruning = Pruning(trial, interval=10)
    pruning.model = SimpleNamespace(ep_info_buffer=[])  # type: ignore[assignment]
    going_on = []
    for steps, returns in ((9, [5.0]), (10, []), (12, [5.0, 1.0]), (13, [5.0]), (20, [0.5])):
        pruning.num_timesteps = steps
        pruning.model.ep_info_buffer = [{"r": value} for value in returns]  # type: ignore[assignment]
        going_on.append(pruning._on_step())
    assert reports == [(3.0, 1), (0.5, 2)]
    assert going_on == [True, True, True, True, False]
    assert pruning.pruned


def test_a_trial_that_ends_early_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(pruning: Pruning) -> bool:
        pruning.pruned = True
        return False

    monkeypatch.setattr(Pruning, "_on_step", give_up)
    assert run(arguments(tmp_path, "--trials", "1")) == 2
    output = capsys.readouterr()
    assert "trial 0: worse than the median, ended early" in output.out
    assert "none of the trials" in output.err
    assert [trial.state.name for trial in study_of(tmp_path).trials] == ["PRUNED"]


@pytest.mark.parametrize("raised", [RuntimeError("a bug"), SystemExit(5)])
def test_a_trial_that_fails_does_not_stop_the_search(
    raised: BaseException, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_first(config: TrainingConfig, folder: Path, **kwargs: Any) -> Any:
        if folder.name == "0000":
            raise raised
        return train(config, folder, **kwargs)

    monkeypatch.setattr(tuning, "train", fail_first)
    assert run(arguments(tmp_path, "--trials", "2")) == 1
    captured = capsys.readouterr()
    failure = tmp_path / "search" / "trials" / "0000" / "failure.txt"
    assert f"trial 0: failed ({type(raised).__name__}: {raised}); see {failure}\ntrial 1: score " in captured.out
    assert "The best, as a command:" in captured.out
    assert captured.err.splitlines() == ["1 trials failed; the same command makes others for them."]
    assert f"{type(raised).__name__}: {raised}" in failure.read_text()
    assert (failure.parent / "config.json").is_file()
    assert [trial.state.name for trial in study_of(tmp_path).trials] == ["FAIL", "COMPLETE"]
    # What failed then is made up for, and is no failure of now.
    assert run(arguments(tmp_path, "--trials", "2")) == 0
    assert "trial 2: score " in capsys.readouterr().out


def test_a_trial_that_was_interrupted_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "train", interrupt)
    base = TrainingConfig("MemoryAgents/TMaze-v0", n_envs=2, total_timesteps=64, eval_episodes=2, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        tuning.tune(base, 1, tmp_path, print)
    monkeypatch.setattr(tuning, "train", lambda *args, **kwargs: SimpleNamespace(evaluation=None))
    monkeypatch.setattr(tuning, "score", lambda evaluation: 0.5)
    study, failed = tuning.tune(base, 1, tmp_path, print)
    assert not failed
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params


def test_a_search_without_any_success_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise LookupError("mine")

    monkeypatch.setattr(tuning, "train", fail)
    assert run(arguments(tmp_path, "--trials", "2")) == 1
    captured = capsys.readouterr()
    assert captured.err == "2 trials failed; the same command makes others for them.\n"
    assert captured.out.count("failed (LookupError: mine)") == 2


def test_an_environment_that_cannot_be_made_leaves_no_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_modules(tmp_path, monkeypatch)
    suite = 'agents = ["compressive"]\nenvironments = [{ id = "own_envs:Blind-v0", env_kwargs = { raised = "key" } }]'
    (tmp_path / "broken.toml").write_text(suite)
    assert run(["tune", "broken.toml", "--out", "search"]) == 2
    assert "--env 'own_envs:Blind-v0' cannot be made (KeyError: 'my goal')" in capsys.readouterr().err
    assert run(["tune", "smoke", "--env", "TMaze", "--out", "search", "--device", "gpu"]) == 2
    assert "--device 'gpu' is unknown" in capsys.readouterr().err
    assert not (tmp_path / "search").exists()


def test_what_no_trial_could_train_leaves_no_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "search"
    assert run(["tune", "smoke", "--env", "RepeatFirst", "--algorithm", "MaskablePPO", "--out", str(out)]) == 2
    assert "--algorithm 'MaskablePPO' asks which actions are valid" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("algorithm", ["PPO", "MaskablePPO", "TRPO"])
def test_minibatches_are_no_larger_than_rollouts(algorithm: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for n_envs in (1, 4):
        for _ in range(30):
            drawn = SPACES[algorithm](study.ask(), 0, n_envs, {})
            assert drawn["batch_size"] <= n_envs * drawn["n_steps"]


@pytest.mark.parametrize("name", ["tu ne?x", "a{b}%20#c"])
def test_a_search_stays_in_its_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pruning, "_on_step", lambda pruning: True)
    out = tmp_path / name
    assert run([*arguments(tmp_path, "--trials", "1"), "--out", str(out)]) == 0
    assert (out / STUDY_FILE).is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"mine.toml", name}
    assert run([*arguments(tmp_path, "--trials", "1"), "--out", str(out)]) == 0
    assert len(list((out / "trials").iterdir())) == 1
