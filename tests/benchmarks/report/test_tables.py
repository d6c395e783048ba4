"""Every number of a table, and where it comes from."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path
from typing import Any

import pytest

from memory_agents.benchmarks.progress import MEAN_RETURN, STEPS
from memory_agents.benchmarks.report import measures, tables
from memory_agents.benchmarks.report.measures import ELAPSED
from memory_agents.benchmarks.report.study import Comparison, read_study
from memory_agents.benchmarks.runs import read_runs
from tests.benchmarks.report.runs import TMAZE, finished, sweep


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    sweep(tmp_path)
    return read_study([tmp_path]).comparisons[0]


def test_aggregates(comparison: Comparison) -> None:
    ours, theirs = tables.aggregate_table(comparison, "a").rows
    # 0.96, 0.97, 0.98 twice: the lowest and the highest of six are left out.
    assert ours.values["iqm"] == pytest.approx(0.97)
    assert ours.values["mean"] == pytest.approx(0.97)
    assert ours.values["optimality_gap"] == pytest.approx(0.03)
    assert ours.values["iqm_low"] < 0.97 < ours.values["iqm_high"]
    assert (ours.values["tasks"], ours.values["n_runs"], len(ours.runs)) == (2, 6, 6)
    assert ours.cells[0] == "CompressiveMemoryPolicy"
    assert ours.cells[1].startswith("0.97 [0.96")
    assert theirs.values["mean"] == pytest.approx(-0.02)


def test_aggregates_count_what_they_are_of(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.5)
    finished(tmp_path / "broke-off", None, 1)
    finished(tmp_path / "unknown", 0.5, env="MemoryAgents/Copy-v0", anchors=None)
    for name, env in (("b", TMAZE), ("c", "MemoryAgents/Copy-v0")):
        finished(tmp_path / name, 0.25, env=env, policy="MlpPolicy")
    (comparison,) = read_study([tmp_path]).comparisons
    ours, theirs = tables.aggregate_table(comparison, "a").rows
    assert (ours.values["tasks"], ours.values["n_runs"]) == (1, 1)
    assert [run.folder.name for row in (ours, theirs) for run in row.runs] == ["a", "b"]
    (row,) = tables.improvement_table(comparison, "a").rows
    assert [run.folder.name for run in row.runs] == ["a", "b"]


def test_improvement(comparison: Comparison) -> None:
    (row,) = tables.improvement_table(comparison, "a").rows
    assert row.cells == ("CompressiveMemoryPolicy", "MlpPolicy", "1.00 [1.00, 1.00]")
    assert len(row.runs) == 12


def test_scores_task_by_task(comparison: Comparison) -> None:
    rows = tables.score_table(comparison, "a").rows
    assert [row.cells[:2] for row in rows] == [
        (task, agent) for task in ("RepeatFirst-v0", "TMaze-v0") for agent in ("CompressiveMemoryPolicy", "MlpPolicy")
    ]
    assert rows[0].cells[3] == "0.96, 0.97, 0.98"
    assert rows[0].values["mean_return"] == pytest.approx(0.985)
    assert rows[0].values["success_rate"] == pytest.approx(0.97)
    assert [run.config.seed for run in rows[0].runs] == [0, 1, 2]


def test_runs_that_broke_off_are_told(tmp_path: Path) -> None:
    finished(tmp_path / "a", None)
    finished(tmp_path / "b", 0.5, 1)
    (row,) = tables.score_table(read_study([tmp_path]).comparisons[0], "a").rows
    assert row.cells[1] == "CompressiveMemoryPolicy (1 of 2 broke off, not scored)"
    assert row.values["normalized_return"] == 0.5
    assert row.values["broken_off"] == 1
    # A mean over those that are left would look like one over all.
    assert row.values["mean_return"] is None


def test_steps_and_seconds_to_a_threshold(comparison: Comparison) -> None:
    row, never, *_ = tables.speed_table(comparison, "a", 0.9).rows
    # 0.9 stands for a return of 0.95, which 0.5 + 0.05 * 9 reaches after 1 + 10 rollouts of 2,000 steps and 4 seconds.
    assert row.values["steps_by_seed"] == "22000 22000 22000"
    assert row.values["median_seconds"] == 44
    assert row.cells[2:] == ("3 of 3", "22,000", "22k, 22k, 22k", "44", "44, 44, 44")
    assert never.values["reached"] == 0
    assert never.values["median_steps"] is None
    (lower, *_) = tables.speed_table(comparison, "a", 0.5).rows
    assert lower.values["median_steps"] == 14_000


def test_the_note_tells_the_threshold(comparison: Comparison) -> None:
    assert "first had a normalised return of 0.75, looked at" in tables.speed_table(comparison, "a", 0.75).note


def test_who_learns_nothing_has_no_steps_to_a_threshold(tmp_path: Path) -> None:
    script: dict[str, Any] = dict(policy="Oracle", algorithm="Scripted", total_timesteps=0)
    finished(tmp_path / "learner", 0.5, curve=[0.5, 1.0])
    finished(tmp_path / "oracle", 1.0, **script)
    (comparison,) = read_study([tmp_path]).comparisons
    assert comparison.agents == ("Oracle", "CompressiveMemoryPolicy")
    assert [row.values["agent"] for row in tables.speed_table(comparison, "a", 0.9).rows] == ["CompressiveMemoryPolicy"]
    assert len(tables.score_table(comparison, "a").rows) == 2


def test_medians_need_half_of_the_runs(tmp_path: Path) -> None:
    for seed, curve in enumerate([[1.0], [0.5, 1.0], [0.5, 0.5]]):
        finished(tmp_path / str(seed), 0.5, seed, curve=curve)
    (row,) = tables.speed_table(read_study([tmp_path]).comparisons[0], "a", 0.9).rows
    assert row.values["median_steps"] == 4_000
    assert row.cells[2] == "2 of 3"
    finished(tmp_path / "3", 0.5, 3, curve=[0.5, 0.5])
    (row,) = tables.speed_table(read_study([tmp_path]).comparisons[0], "a", 0.9).rows
    assert row.values["median_steps"] is None


def test_clocks_that_start_anew(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", 1.0)
    rows = ["1000,0.5,7", "2000,0.5,9", "3000,0.5,2", "4000,1.0,5"]
    (folder / "progress.csv").write_text("\n".join([f"{STEPS},{MEAN_RETURN},{ELAPSED}", *rows]))
    (run,) = read_runs([folder])
    assert measures.reached(run, 0.9) == (4_000, 14.0)
    (folder / "progress.csv").write_text(f"{STEPS},{MEAN_RETURN}\n1000,1.0")
    assert measures.reached(run, 0.9) == (1_000, None)
    (folder / "progress.csv").unlink()
    assert measures.reached(run, 0.9) is None
    assert measures.curve(run) is None


def test_costs(comparison: Comparison) -> None:
    row, *_ = tables.cost_table(comparison, "a").rows
    assert row.values["train_steps"] == 24_000
    assert row.values["steps_per_second"] == 500
    assert row.values["train_cpu_seconds"] == 36
    assert row.values["parameters"] == 1_234
    assert row.values["state_bytes_per_transition"] == 512.5
    assert row.cells[2:] == ("24,000", "500", "48", "36", "1,234", "512")


def test_what_is_not_known_is_a_dash(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.5, anchors=None, evaluation={"train_seconds": None, "parameters": None})
    (comparison,) = read_study([tmp_path]).comparisons
    assert tables.aggregate_table(comparison, "a").rows == ()
    assert tables.improvement_table(comparison, "a").rows == ()
    assert tables.speed_table(comparison, "a", 0.9).rows == ()
    (row,) = tables.cost_table(comparison, "a").rows
    assert row.cells[3] == row.cells[6] == tables.NONE
    (row,) = tables.score_table(comparison, "a").rows
    assert row.cells[2:4] == (tables.NONE, "0.75")


def test_files_have_full_precision_and_the_runs(comparison: Comparison, tmp_path: Path) -> None:
    table = tables.score_table(comparison, "a")
    table.save(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        first, *_ = csv.DictReader(file)
    assert float(first["normalized_return"]) == table.rows[0].values["normalized_return"]
    assert [Path(folder).name for folder in shlex.split(first["runs"])] == [f"compressive-s{seed}" for seed in range(3)]


def test_bars_in_names_do_not_break_markdown(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.5, env=TMAZE, env_kwargs={"sign": "a|b"})
    text = tables.score_table(read_study([tmp_path]).comparisons[0], "a").markdown()
    assert "sign=a\\|b" in text
