"""Judged agents on the command line: trained, evaluated, recorded, drawn, evaluated elsewhere."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from memory_agents.benchmarks.agents import make_agent, make_env, make_training_env
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig, load_config
from memory_agents.benchmarks.evaluation import evaluate
from memory_agents.benchmarks.judger_timeline import draw_timeline
from memory_agents.benchmarks.labels import labels
from memory_agents.benchmarks.runs import read_runs
from memory_agents.common import JudgerRecord
from memory_agents.envs import ShowImportance

SIZES = '{"n_layers": 1, "d_model": 16, "n_heads": 2, "memory_length": 8, "compressed_length": 2}'
STREAM = ["--env", "MemoryAgents/CueStream-v0", "--env-kwargs", "delay=[8,16]", "--env-kwargs", "length=40"]
BUDGET = ["--n-envs", "2", "--total-timesteps", "128", "--eval-episodes", "3", "--device", "cpu", "--no-progress"]
TINY = [*STREAM, *BUDGET, "--algorithm-kwargs", '{"n_steps": 64, "n_epochs": 1}']
RANDOM = ["--memory-kwargs", SIZES, "--memory-kwargs", 'judger={"kind": "random", "probability": 0.2}']
LEARNED = ["--memory-kwargs", SIZES, "--memory-kwargs", "judger=true", "--judger-kwargs", "warmup=64"]
ORACLE = ["--memory-kwargs", SIZES, "--memory-kwargs", "judger=oracle"]
AGENTS = {
    "random": RANDOM,
    "learned": LEARNED,
    "oracle": ORACLE,
    "lstm": ["--policy", "MemoryPolicy", "--memory-class", "lstm"],
    "memoryless": ["--policy", "MlpPolicy"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, args in AGENTS.items():
        assert run(["train", *TINY, *args, "--out", str(folder / name)]) == 0
    return folder


def evaluation(folder: Path) -> dict[str, Any]:
    text: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return text


@pytest.mark.parametrize("name", AGENTS)
def test_judged_runs_tell_of_their_judger(name: str, runs: Path) -> None:
    judged = name in ("random", "learned", "oracle")
    summary = evaluation(runs / name)
    for part in ("judger", "sampled"):
        assert (part in summary) == judged
    for file in ("judger.npz", "judger.png"):
        assert (runs / name / file).exists() == judged
    if not judged:
        return
    for figures in (summary["judger"], summary["sampled"]["judger"]):
        # 16 blocks of 4 tokens but for those of the recent memory, of which 2 fill the slots.
        assert figures["decisions"] == 3 * 6
        assert 8 <= figures["mean_reading_distance"] <= figures["max_reading_distance"] < 40
    assert summary["sampled"]["mean_length"] == 40
    record = JudgerRecord.load(runs / name / "judger.npz")
    assert (len(record), record.deterministic) == (40, False)
    assert record.slot_attention.shape == (40, 1, 2)


def test_the_oracle_is_told_and_keeps_what_matters(runs: Path) -> None:
    assert isinstance(make_env(load_config(runs / "oracle")), ShowImportance)
    assert not isinstance(make_env(load_config(runs / "random")), ShowImportance)
    by_name = TrainingConfig("MemoryAgents/CueStream-v0", memory_kwargs={"judger": {"kind": "oracle"}})
    assert isinstance(make_env(by_name), ShowImportance)
    judger = evaluation(runs / "oracle")["judger"]
    assert (judger["keep_rate_important"] or 1.0, judger["keep_rate_other"]) == (1.0, 0.0)


def test_arguments_of_the_judger_are_kept(runs: Path) -> None:
    config = load_config(runs / "learned")
    assert config.judger_kwargs == {"warmup": 64}
    assert config.memory_kwargs["judger"] is True
    assert load_config(runs / "random").memory_kwargs["judger"] == {"kind": "random", "probability": 0.2}


def test_tables_tell_judgers_apart(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["collect", str(runs), "--table", "judger", "--csv", str(tmp_path / "a.csv")]) == 0
    shown = capsys.readouterr().out
    for words in ('judger={"kind": "random", "probability": 0.2}', 'judger="oracle"', 'judger_kwargs={"warmup": 64}'):
        assert words in shown
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = {row["memory_kwargs"]: row for row in csv.DictReader(file)}
    (oracle,) = (row for kwargs, row in rows.items() if "oracle" in kwargs)
    summary = evaluation(runs / "oracle")
    assert float(oracle["judger_keep_rate"]) == summary["judger"]["keep_rate"]
    assert float(oracle["sampled_mean_return"]) == summary["sampled"]["mean_return"]
    groups = [[entry] for entry in read_runs([runs / "random", runs / "oracle"])]
    assert any("judger.kind=random" in label for label in labels(groups))


@pytest.mark.parametrize("name", AGENTS)
def test_agents_are_evaluated_where_delays_are_longer(name: str, runs: Path, tmp_path: Path) -> None:
    out, pictures = tmp_path / "long.json", tmp_path / "pictures"
    args = ["--env-kwargs", "delay=[50,60]", "--env-kwargs", "length=90", "--eval-episodes", "2"]
    judged = name in ("random", "learned", "oracle")
    timeline = ["--timeline", str(pictures)] if judged else []
    assert run(["evaluate", str(runs / name), *args, "--out", str(out), *timeline]) == 0
    figures = json.loads(out.read_text())
    assert (figures["episodes"], figures["mean_length"]) == (2, 90)
    assert figures["arguments"]["env_kwargs"] == {"delay": [50, 60], "length": 90}
    assert figures["run"] == str(runs / name)
    assert ("sampled" in figures) == (pictures / "judger.png").exists() == judged


def test_an_evaluation_is_repeated(runs: Path, tmp_path: Path) -> None:
    assert run(["evaluate", str(runs / "lstm"), "--out", str(tmp_path / "a.json")]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["mean_return"] == evaluation(runs / "lstm")["mean_return"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["evaluate", "RUNS/lstm", "--env-kwargs", "n_values=7"], ["n_values", "trained with", "MultiDiscrete"]),
        (["evaluate", "RUNS/none"], ["config.json", "not the configuration"]),
        (["train", *TINY, *AGENTS["memoryless"], "--judger-kwargs", "warmup=3"], ["--judger-kwargs", "no memory"]),
        (["train", *TINY, "--judger-kwargs", "warmup=3"], ["no judger learns", "judger=True"]),
        (["train", *TINY, "--memory-kwargs", "judger=true", "--judger-kwargs", "warm=3"], ["warm"]),
        (["train", "--env", "MemoryAgents/TMaze-v0", *BUDGET, *ORACLE], ["judger=oracle", "TMaze", "CueStream"]),
    ],
)
def test_what_does_not_fit_exits_2(
    args: list[str], words: list[str], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [arg.replace("RUNS", str(runs)) for arg in args]
    assert run([*args, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in line
    assert not (tmp_path / "out").exists()


def test_pictures_are_drawn_of_all_kinds_of_records(runs: Path, tmp_path: Path) -> None:
    record = JudgerRecord.load(runs / "random" / "judger.npz")
    nothing = np.zeros(len(record), np.bool_)
    silent = replace(record, tells_importance=False, important=nothing, asked=nothing)
    blind = replace(
        record, slot_attention=record.slot_attention[:, :0], recent_attention=record.recent_attention[:, :0]
    )
    sizes = []
    for number, one in enumerate((record, silent, blind)):
        draw_timeline(one, tmp_path / f"{number}.png", "a title")
        with Image.open(tmp_path / f"{number}.png") as image:
            sizes.append(image.size)
            assert len(image.convert("RGB").getcolors(10**6) or ()) > 20
    assert len(set(sizes)) == 1


def test_the_shortest_episode_is_drawn(runs: Path, tmp_path: Path) -> None:
    record = JudgerRecord.load(runs / "random" / "judger.npz")
    arrays: dict[str, Any] = {name: value[:3] for name, value in vars(record).items() if isinstance(value, np.ndarray)}
    draw_timeline(replace(record, **arrays), tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()


def test_records_of_agents_that_mask_take_valid_actions_only(tmp_path: Path) -> None:
    agent = ["--algorithm", "MaskablePPO", "--memory-kwargs", SIZES, "--memory-kwargs", "judger=true"]
    steps = ["--algorithm-kwargs", '{"n_steps": 64, "n_epochs": 1}']
    gym.register("Masked-v0", "tests.algorithms.agents:MaskedToy")
    try:
        # The environment complains about every invalid action.
        assert run(["train", "--env", "Masked-v0", *BUDGET, *agent, *steps, "--out", str(tmp_path / "run")]) == 0
    finally:
        gym.registry.pop("Masked-v0")
    assert len(JudgerRecord.load(tmp_path / "run" / "judger.npz")) > 2


def test_what_is_sampled_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """One evaluation of the likeliest actions, and, as the memory is judged, another of drawn ones."""
    config = TrainingConfig(
        "MemoryAgents/CueStream-v0",
        {"delay": 3, "length": 12},
        memory_kwargs={"judger": "discard", "n_layers": 1, "d_model": 8, "n_heads": 1, "memory_length": 4},
        n_envs=2,
        eval_episodes=2,
        device="cpu",
    )
    agent = make_agent(config, make_training_env(config))
    predict, asked = agent.predict, []

    def watched(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["deterministic"])
        return predict(*args, **kwargs)

    monkeypatch.setattr(agent, "predict", watched)
    evaluate(agent, config)
    assert asked == [True] * 12 + [False] * 12


def test_the_first_layer_may_be_without_memory(tmp_path: Path) -> None:
    """As in the benchmark of this repository."""
    sizes = '{"d_model": 16, "n_heads": 2, "memory_length": [0, 8], "compressed_length": [0, 2], "judger": true}'
    assert run(["train", *TINY, "--memory-kwargs", sizes, "--out", str(tmp_path)]) == 0
    record = JudgerRecord.load(tmp_path / "judger.npz")
    # Of the judged layers alone.
    assert record.slot_attention.shape == (40, 1, 2)
    assert record.slot_attention[-1].sum() > 0
    assert (tmp_path / "judger.png").exists()
