"""An easier environment first: what is trained there, what is written of it, and what is left of it afterwards."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.progress import MEAN_RETURN, STEPS, read_curve, read_learning, read_progress, steps_to
from memory_agents.benchmarks.report import measures
from memory_agents.benchmarks.report.measures import ELAPSED
from memory_agents.benchmarks.runs import read_runs
from memory_agents.benchmarks.training import train
from tests.benchmarks.report.runs import finished

SHORT_FIRST = TrainingConfig(
    "MemoryAgents/TMaze-v0",
    {"corridor": (8, 12), "cue_bits": 2},
    policy="MlpPolicy",
    n_envs=2,
    eval_episodes=2,
    device="cpu",
    total_timesteps=256,
    pretrain_timesteps=128,
    pretrain_env_kwargs={"corridor": 2},
    algorithm_kwargs={"n_steps": 32, "batch_size": 64},
)


def episodes(path: Path) -> list[tuple[float, int]]:
    """Returns and lengths."""
    return [(float(row["r"]), int(row["l"])) for row in csv.DictReader(path.read_text().splitlines()[1:])]


def test_it_comes_first_and_leaves_no_trace_in_what_is_told_of_the_other(tmp_path: Path) -> None:
    result = train(SHORT_FIRST, tmp_path / "a", progress=False)
    assert result.steps == 256
    # Its arguments go before those of the environment, the others of which it shares.
    assert {length for _, length in episodes(tmp_path / "a" / "pretraining-monitor.csv")} == {3}
    assert {length for _, length in episodes(tmp_path / "a" / "monitor.csv")} <= set(range(9, 14))
    rows = read_progress(tmp_path / "a")
    assert [int(row[STEPS]) for row in rows] == [64, 128, 192, 256]
    lengths = [float(row["rollout/ep_len_mean"]) for row in rows]
    assert lengths[:2] == [3, 3]
    assert all(9 <= length <= 13 for length in lengths[2:])
    assert read_learning(tmp_path / "a", 128)[0] == [192, 256]
    assert all(episode.length > 8 for episode in result.evaluation.episodes)

    train(SHORT_FIRST, tmp_path / "b", progress=False)
    for name in ("pretraining-monitor.csv", "monitor.csv"):
        assert episodes(tmp_path / "a" / name) == episodes(tmp_path / "b" / name)


def test_off_policy_its_last_mean_is_not_told_of_the_other(tmp_path: Path) -> None:
    """Both end where there is a line in any case."""
    config = replace(
        SHORT_FIRST,
        algorithm="DQN",
        algorithm_kwargs={"learning_starts": 5000},
        total_timesteps=4096,
        pretrain_timesteps=2048,
    )
    train(config, tmp_path, progress=False)
    assert read_curve(tmp_path)[0] == [2048, 4096]
    assert read_learning(tmp_path, 2048)[0] == [4096]


@pytest.mark.parametrize(
    ("pretrain_timesteps", "level", "steps", "seconds"),
    [(0, 0.9, 512, 1.0), (1000, 0.85, 2048, 4.0), (1024, 0.05, 1536, 3.0), (1025, 0.05, 2048, 4.0), (9999, 0.05, 0, 0)],
)
@pytest.mark.parametrize("doubled", [True, False])
def test_when_a_level_was_reached(
    pretrain_timesteps: int, level: float, steps: int, seconds: float, doubled: bool, tmp_path: Path
) -> None:
    """All tables say the same, of logs, too, whose pretraining has two last lines."""
    easier = {"corridor": 3} if pretrain_timesteps else {}
    folder = finished(
        tmp_path / "a", 1.0, pretrain_timesteps=pretrain_timesteps, pretrain_env_kwargs=easier, total_timesteps=10_000
    )
    rows = ["512,0.9,1", "1024,1.0,2", *(["1024,1.0,2"] if doubled else []), "1536,0.1,3", "2048,0.9,4"]
    (folder / "progress.csv").write_text("\n".join([f"{STEPS},{MEAN_RETURN},{ELAPSED}", *rows]))
    (run,) = read_runs([folder])
    assert measures.reached(run, level) == ((steps, seconds) if steps else None)
    assert (steps_to(level, folder, pretrain_timesteps) or 0) == steps


def test_pretraining_of_which_no_episode_ended_takes_no_line_of_the_others(tmp_path: Path) -> None:
    rows = ["512,", "1024,", "1536,0.95", "2048,0.96"]
    (tmp_path / "progress.csv").write_text("\n".join([f"{STEPS},{MEAN_RETURN}", *rows]))
    assert read_learning(tmp_path, 1024) == ([1536, 2048], [0.95, 0.96])
