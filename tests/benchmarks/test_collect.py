"""One table from many runs."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.collect import collect
from memory_agents.benchmarks.config import TrainingConfig, save_config
from memory_agents.benchmarks.curves import plot_curves, plot_seeds
from memory_agents.benchmarks.labels import labels
from memory_agents.benchmarks.progress import MEAN_RETURN, STEPS, has_collapsed, read_curve, read_learning, steps_to
from memory_agents.benchmarks.runs import find_runs, read_runs


def finished(folder: Path, seed: int, success: float | None, corridor: int = 20) -> None:
    """What a run leaves; without a success rate nothing but its return is known."""
    folder.mkdir(parents=True)
    save_config(TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": corridor}, seed=seed), folder)
    figures = dict(
        success_rate=success,
        mean_return=-7.0 if success is None else success,
        normalized_return=None if success is None else 2 * success - 1,
        train_steps=1000 + seed,
        train_cpu_seconds=3.0,
    )
    (folder / "evaluation.json").write_text(json.dumps(figures))


def test_seeds_stand_side_by_side_and_arguments_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "a" / "late", 1, 0.5)
    finished(tmp_path / "a" / "early", 0, 1.0)
    finished(tmp_path / "b", 0, 0.75, corridor=50)
    for seed in (0, 1):
        finished(tmp_path / "c" / str(seed), seed, None, corridor=60)
    (tmp_path / "unfinished").mkdir()
    assert run(["collect", str(tmp_path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    agent = "CompressiveMemoryPolicy"
    assert f"(corridor=20) | {agent} | 0, 1 | 1.00, 0.50 | 1.00, 0.50 | 1.00, 0.00 | 1,001 | 3 |" in lines[2]
    assert f"(corridor=50) | {agent} | 0 | 0.75 | 0.75 | 0.50 | 1,000 | 3 |" in lines[3]
    assert f"(corridor=60) | {agent} | 0, 1 | - | -7.00, -7.00 | - | 1,001 | 3 |" in lines[4]


def test_algorithms_are_named_but_for_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("PPO", "A2C"):
        finished(tmp_path / name, 0, 1.0)
        save_config(TrainingConfig("MemoryAgents/TMaze-v0", algorithm=name), tmp_path / name)
    assert run(["collect", str(tmp_path)]) == 0
    _, _, a2c, ppo = capsys.readouterr().out.splitlines()
    assert "| CompressiveMemoryPolicy, A2C |" in a2c
    assert "| CompressiveMemoryPolicy |" in ppo
    groups = [[each] for each in read_runs(find_runs([tmp_path]))]
    assert labels(groups) == ["algorithm=A2C", "algorithm=PPO"]


def test_runs_that_differ_in_more_than_the_seed_are_not_mixed(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0, 1.0)
    finished(tmp_path / "b", 1, 0.5)
    save_config(TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 20}, seed=1, n_envs=4), tmp_path / "b")
    assert [row[2] for row in collect(read_runs(find_runs([tmp_path])))] == ["seeds", "0", "1"]


def test_evaluations_after_the_run_tell_where_they_took_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path / "a", 0, 1.0)
    elsewhere = TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 900}, seed=0)
    figures = dict(arguments=asdict(elsewhere), success_rate=0.25, mean_return=0.25, normalized_return=-0.5)
    (tmp_path / "a" / "long.json").write_text(json.dumps(figures))
    (tmp_path / "a" / "odd.json").write_text("{}")

    assert run(["collect", str(tmp_path), "--evaluation", "long.json"]) == 0
    agent = "CompressiveMemoryPolicy"
    assert f"(corridor=900) | {agent} | 0 | 0.25 | 0.25 | -0.50 | 1,000 | 3 |" in capsys.readouterr().out
    assert run(["collect", str(tmp_path), "--evaluation", "longer.json"]) == 2
    assert "memory-bench evaluate RUN --out RUN/longer.json" in capsys.readouterr().err
    assert run(["collect", str(tmp_path), "--evaluation", "odd.json"]) == 2
    assert "odd.json is not of memory-bench evaluate" in capsys.readouterr().err


def learned(folder: Path, seed: int, returns: list[float | None], parameters: int | None = 1234) -> None:
    """A finished run with a learning curve, one point per 4,000 steps; None before the first episode's end."""
    finished(folder, seed, 1.0)
    figures = json.loads((folder / "evaluation.json").read_text())
    figures["anchors"] = {"optimal": 1.0, "memoryless": 0.5, "random": 0.5}
    if parameters is not None:
        figures["parameters"] = parameters
    (folder / "evaluation.json").write_text(json.dumps(figures))
    lines = [f"{4000 * (i + 1)},{'' if value is None else value}" for i, value in enumerate(returns)]
    (folder / "progress.csv").write_text("\n".join((f"{STEPS},{MEAN_RETURN}", *lines)))


def test_how_soon_and_at_what_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "a", 0, [None, 0.94, 0.95, 0.5, 1.0])
    learned(tmp_path / "b", 1, [0.9, 0.94, 0.94])
    learned(tmp_path / "c", 2, [None])
    assert run(["collect", str(tmp_path), "--table", "learning"]) == 0
    headings, _, row = capsys.readouterr().out.splitlines()
    assert " steps to 0.9, by seed | steps | CPU seconds | parameters |" in headings
    # Anchors 0.5 and 1: a normalised return of 0.9 is a return of 0.95.
    assert row.endswith("| 0, 1, 2 | 1.00, 1.00, 1.00 | 1.00, 1.00, 1.00 | 12k, -, - | 1,002 | 3 | 1,234 |")

    assert run(["collect", str(tmp_path), "--table", "learning", "--threshold", "0.8"]) == 0
    headings, _, row = capsys.readouterr().out.splitlines()
    assert " steps to 0.8, by seed " in headings
    assert "| 8k, 4k, - |" in row


def test_learning_of_earlier_versions_and_without_anchors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "a", 0, [1.0], parameters=None)
    finished(tmp_path / "b", 0, None, corridor=50)
    assert run(["collect", str(tmp_path), "--table", "learning"]) == 0
    _, _, earlier, unknown = capsys.readouterr().out.splitlines()
    assert earlier.endswith("| 4k | 1,000 | 3 | - |")
    assert unknown.endswith("| 0 | - | - | - | 1,000 | 3 | - |")


def test_training_is_measured_by_its_own_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "a", 0, [0.4, 0.96, 0.95, 0.45])
    figures = dict(arguments=asdict(TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 900})), mean_return=2.0)
    anchors = {"optimal": 10.0, "memoryless": 0.0, "random": 0.0}
    (tmp_path / "a" / "far.json").write_text(json.dumps({**figures, "normalized_return": 0.2, "anchors": anchors}))
    # Anchors of training are 0.5 and 1.
    for table, told in (
        ("learning", "| 0.20 | 8k | 1,000 | 3 | 1,234 |"),
        ("masking", "| 0.20 | 8k | - | 1,000 | 3 |"),
        ("stability", "| 0.20 | 0.38 | 8k | 1 of 1 | 1,000 | 3 |"),
    ):
        assert run(["collect", str(tmp_path), "--evaluation", "far.json", "--table", table]) == 0
        row = capsys.readouterr().out.splitlines()[2]
        assert "(corridor=900)" in row
        assert row.endswith(told)


def test_agents_evaluated_alike_that_were_trained_otherwise_are_rows_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for corridor in (20, 900):
        finished(tmp_path / str(corridor), 0, 1.0, corridor)
        figures = dict(arguments=asdict(TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 900})), mean_return=0.5)
        (tmp_path / str(corridor) / "far.json").write_text(json.dumps(figures))
    assert run(["collect", str(tmp_path), "--evaluation", "far.json"]) == 0
    _, _, near, far = capsys.readouterr().out.splitlines()
    assert '(corridor=900) | CompressiveMemoryPolicy (trained.env_kwargs={"corridor": 20}) | 0 |' in near
    assert "(corridor=900) | CompressiveMemoryPolicy | 0 |" in far


def test_rows_that_would_look_alike_tell_what_tells_them_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maze = "MemoryAgents/TMaze-v0"
    configs = {
        "a": TrainingConfig(maze, n_envs=8),
        "b": TrainingConfig(maze, memory_kwargs={"n_layers": 1}),
        "c": TrainingConfig(maze, policy_kwargs={"n_layers": 1}),
        "d": TrainingConfig(maze, pretrain_timesteps=100, pretrain_env_kwargs={"corridor": 3}),
        "e": TrainingConfig(maze, policy="MlpPolicy", n_envs=8),
    }
    for name, config in configs.items():
        finished(tmp_path / name, 0, 1.0)
        save_config(config, tmp_path / name)
    assert run(["collect", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == [
        "CompressiveMemoryPolicy (pretrain_timesteps=0, n_envs=8)",
        "CompressiveMemoryPolicy (n_layers=1, memory_kwargs.n_layers=1)",
        "CompressiveMemoryPolicy (n_layers=1, policy_kwargs.n_layers=1)",
        "CompressiveMemoryPolicy (pretrain_timesteps=100, n_envs=16, pretrain_env_kwargs.corridor=3)",
        # What differs from rows that have another name goes without saying.
        "MlpPolicy",
    ]


def test_diverged_runs_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Anchors 0.5 and 1: what was above 0.75 has learned something, what ends below 0.5 has forgotten it.
    curves: dict[str, list[float | None]] = {
        "steady": [0.5, 0.7, 0.9],
        "never learned": [0.74, 0.6, 0.4],
        "collapsed": [None, 0.8, 0.9, 0.4],
        "shaken": [0.5, 0.9, 0.6],
        "no number": [0.5, float("nan")],
    }
    for seed, (name, returns) in enumerate(curves.items()):
        learned(tmp_path / name, seed, returns)
    assert run(["collect", str(tmp_path), "--table", "stability"]) == 0
    headings, _, row = capsys.readouterr().out.splitlines()
    assert headings.endswith(
        "| mean while training, by seed | steps to 0.9, by seed | diverged | steps | CPU seconds |"
    )
    assert row.endswith("| 0.40, 0.16, 0.40, 0.33, nan | -, -, -, -, - | 2 of 5 | 1,004 | 3 |")

    evaluation = tmp_path / "steady" / "evaluation.json"
    figures = {**json.loads(evaluation.read_text()), "train_broken_off": True, "normalized_return": None}
    evaluation.write_text(json.dumps(figures))
    assert run(["collect", str(tmp_path), "--table", "stability"]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert "| 0, 1, 2, 3, 4 | -, 1.00, 1.00, 1.00, 1.00 |" in row
    assert "| 3 of 5 |" in row


def test_tables_leave_out_what_was_learned_in_an_easier_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned(tmp_path / "a", 0, [1.0, 0.4, 0.45, 0.45])
    learned(tmp_path / "b", 1, [1.0, 0.5, 0.5, 1.0])
    for seed, name in enumerate("ab"):
        config = TrainingConfig(
            "MemoryAgents/TMaze-v0", pretrain_timesteps=4000, pretrain_env_kwargs={"corridor": 3}, seed=seed
        )
        save_config(config, tmp_path / name)
    # What was learned there is not forgotten here.
    assert run(["collect", str(tmp_path), "--table", "stability"]) == 0
    assert capsys.readouterr().out.splitlines()[2].endswith("| -0.13, 0.33 | -, 16k | 0 of 2 | 1,001 | 3 |")


def test_steps_to_a_return_are_rounded_to_thousands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "a", 0, [1.0])
    (tmp_path / "a" / "progress.csv").write_text(f"{STEPS},{MEAN_RETURN}\n5632,1.0")
    assert run(["collect", str(tmp_path), "--table", "learning"]) == 0
    assert "| 6k | 1,000 |" in capsys.readouterr().out


def test_tables_need_a_known_name_and_a_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "a", 0, [1.0])
    assert run(["collect", str(tmp_path), "--table", "learned"]) == 2
    assert "--table 'learned' is unknown; did you mean learning?" in capsys.readouterr().err
    (tmp_path / "a" / "progress.csv").unlink()
    assert run(["collect", str(tmp_path)]) == 0
    assert run(["collect", str(tmp_path), "--table", "learning"]) == 2
    assert f"{tmp_path / 'a' / 'progress.csv'} cannot be read" in capsys.readouterr().err


def test_judgers_have_their_figures_under_their_headings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "a", 0, 1.0)
    finished(tmp_path / "b", 1, 0.75)
    file = tmp_path / "a" / "evaluation.json"

    def judged(first: float) -> dict[str, float]:
        names = ("keep_rate", "keep_rate_important", "keep_rate_other", "mean_reading_distance", "max_reading_distance")
        return {name: first + number for number, name in enumerate(names)}

    sampled = {"normalized_return": 0.25, "judger": judged(11.0)}
    file.write_text(json.dumps({**json.loads(file.read_text()), "judger": judged(1.0), "sampled": sampled}))
    assert run(["collect", str(tmp_path), "--table", "judger"]) == 0
    headings, _, row = ([cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines())
    assert dict(zip(headings[4:-1], row[4:-1], strict=True)) == {
        "normalised return, by seed": "1.00, 0.50",
        "keeps what matters": "2.00, -",
        "keeps the rest": "3.00, -",
        "mean reading distance": "4.00, -",
        "sampled: normalised return": "0.25, -",
        "sampled: keeps what matters": "12.00, -",
        "sampled: keeps the rest": "13.00, -",
        "sampled: mean reading distance": "14.00, -",
    }


def test_what_an_agent_sees_and_is_paid_is_in_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "a", 0, 1.0)
    config = TrainingConfig("MemoryAgents/TMaze-v0", policy="MlpPolicy", n_stack=4, normalize_reward=True)
    save_config(config, tmp_path / "a")
    assert run(["collect", str(tmp_path)]) == 0
    assert "| MlpPolicy (n_stack=4, normalize_reward=true) |" in capsys.readouterr().out


def test_invalid_actions_stand_by_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, invalid in ((0, 1200), (1, 0), (2, None)):
        learned(tmp_path / str(seed), seed, [0.5, 1.0])
        if invalid is not None:
            file = tmp_path / str(seed) / "evaluation.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "invalid_actions": invalid}))
    assert run(["collect", str(tmp_path), "--table", "masking"]) == 0
    assert "| 1,200, 0, - |" in capsys.readouterr().out


def test_one_line_of_csv_per_run(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0, 1.0, corridor=5)
    finished(tmp_path / "b", 3, 0.25)
    learned(tmp_path / "c", 4, [1.0])
    assert run(["collect", str(tmp_path), "--csv", str(tmp_path / "made" / "runs.csv")]) == 0
    with (tmp_path / "made" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = [(row["env"], row["env_kwargs"], row["seed"], row["success_rate"], row["train_steps"]) for row in rows]
    maze = "MemoryAgents/TMaze-v0"
    assert told == [
        (maze, '{"corridor": 5}', "0", "1.0", "1000"),
        (maze, '{"corridor": 20}', "3", "0.25", "1003"),
        (maze, '{"corridor": 20}', "4", "1.0", "1004"),
    ]
    # What only some runs tell is empty for the others.
    assert [(row["optimal"], row["memoryless"]) for row in rows] == [("", ""), ("", ""), ("1.0", "0.5")]


def test_long_names_stay_in_the_picture(tmp_path: Path) -> None:
    learned(tmp_path / "a", 0, [0.0, 0.5, 1.0])
    for name in ("short", "long " * 60):
        plot_curves({name: [tmp_path / "a"]}, None, "title", tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            row = np.asarray(picture.convert("L"))[300]
        # The left edge of the axes stands where it belongs, however long the legend.
        assert np.flatnonzero(row < 128)[0] < 200


def test_long_names_leave_the_curves_their_height(tmp_path: Path) -> None:
    learned(tmp_path / "a", 0, [0.0, 0.5, 1.0])
    heights = []
    for n_names in (1, 5):
        runs = {f"{number} " + "long " * 30: [tmp_path / "a"] for number in range(n_names)}
        plot_curves(runs, None, "title", tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            dark = np.asarray(picture.convert("L")) < 128
        # The left edge of the axes is the longest dark column.
        heights.append(int(dark.sum(axis=0).max()))
    assert heights[1] >= heights[0] > 450


def test_curves_need_one_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "a", 0, 1.0, corridor=5)
    finished(tmp_path / "b", 0, 1.0)
    assert run(["curves", str(tmp_path), "--out", str(tmp_path / "curves.png")]) == 2
    assert "the runs are of 2 environments" in capsys.readouterr().err
    assert not (tmp_path / "curves.png").exists()


def test_curves_of_several_seeds_are_one_band(tmp_path: Path) -> None:
    for seed, returns in ((0, [0.0, 0.5, 1.0]), (1, [0.5, 1.0])):
        finished(tmp_path / str(seed), seed, 1.0)
        lines = [f"{100 * (i + 1 + seed)},{value}" for i, value in enumerate(returns)]
        (tmp_path / str(seed) / "progress.csv").write_text("\n".join((f"{STEPS},{MEAN_RETURN}", *lines)))
    assert run(["curves", str(tmp_path), "--out", str(tmp_path / "curves.png")]) == 0

    axes = Figure().subplots()
    plot_seeds(axes, "both", [read_curve(tmp_path / str(seed)) for seed in (0, 1)], None)
    assert np.array(axes.lines[0].get_data()).tolist() == [[200, 300], [0.5, 1.0]]
    assert len(axes.collections) == 1
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1200, 720)


def test_every_agent_has_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, memory in (("a", {}), ("b", {"judger": {}}), ("c", {"judger": "{}"})):
        learned(tmp_path / name, 0, [0.5, 1.0])
        save_config(TrainingConfig("MemoryAgents/TMaze-v0", memory_kwargs=memory), tmp_path / name)
    drawn: list[dict[str, list[Path]]] = []
    monkeypatch.setattr("memory_agents.benchmarks.cli.plot_curves", lambda lines, *rest: drawn.append(lines))
    folders = [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "b" / ".." / "b")]
    assert run(["curves", *folders, "--out", str(tmp_path / "curves.png")]) == 0
    assert drawn == [
        {
            "default": [tmp_path / "a"],
            "judger={} (memory_kwargs.judger={})": [tmp_path / "b"],
            'judger={} (memory_kwargs.judger="{}")': [tmp_path / "c"],
        }
    ]


def test_a_run_in_which_no_episode_ended_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "a", 0, 1.0)
    (tmp_path / "a" / "progress.csv").write_text(f"{STEPS}\n128\n")
    assert run(["curves", str(tmp_path), "--out", str(tmp_path / "curves.png")]) == 2
    (complaint,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'a'} has no learning curve" in complaint


def test_runs_of_earlier_versions_have_no_cpu_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "a", 0, 1.0)
    finished(tmp_path / "b", 1, 0.5)
    evaluation = tmp_path / "b" / "evaluation.json"
    figures = json.loads(evaluation.read_text())
    del figures["train_cpu_seconds"]
    evaluation.write_text(json.dumps(figures))
    assert run(["collect", str(tmp_path)]) == 0
    assert "| 0, 1 | 1.00, 0.50 |" in (row := capsys.readouterr().out.splitlines()[2])
    assert row.endswith("| 1,001 | - |")

    evaluation.write_text('{"mean_return": ')
    assert run(["collect", str(tmp_path)]) == 2
    assert f"{evaluation} is not the evaluation of a training run" in capsys.readouterr().err


def test_no_runs_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["collect", str(tmp_path)]) == 2
    complaint = capsys.readouterr().err.splitlines()
    assert len(complaint) == 1
    assert "no finished run" in complaint[0]


def test_scripted_players_have_no_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "a", 0, [0.5, 1.0])
    finished(tmp_path / "oracle", 0, 1.0)
    oracle = TrainingConfig(
        "MemoryAgents/TMaze-v0", {"corridor": 20}, policy="Oracle", algorithm="Scripted", total_timesteps=0
    )
    save_config(oracle, tmp_path / "oracle")
    assert run(["curves", str(tmp_path), "--out", str(tmp_path / "curves.png")]) == 0
    assert run(["curves", str(tmp_path / "oracle"), "--out", str(tmp_path / "curves.png")]) == 2
    assert "learn nothing" in capsys.readouterr().err


def test_what_memoryless_play_has_is_not_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, last in (("a", 0.45), ("b", 0.35)):
        learned(tmp_path / name, ord(name), [0.96, last])
        figures = json.loads((tmp_path / name / "evaluation.json").read_text())
        figures["anchors"] = {"optimal": 1.0, "memoryless": 0.4, "random": 0.1}
        (tmp_path / name / "evaluation.json").write_text(json.dumps(figures))
    assert run(["collect", str(tmp_path), "--table", "stability"]) == 0
    assert "| 1 of 2 |" in capsys.readouterr().out


def test_scores_say_nothing_of_the_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "a", 0, [1.0])
    assert run(["collect", str(tmp_path), "--table", "scores"]) == 0
    headings, _, row = capsys.readouterr().out.splitlines()
    assert headings.endswith("| normalised return, by seed | steps |")
    assert row.endswith("| 1.00 | 1.00 | 1.00 | 1,000 |")


def test_what_was_learned_in_an_easier_environment_first_does_not_count(tmp_path: Path) -> None:
    rows = [(2048, 0.9), (4096, 1.0), (6144, 0.1), (8192, 0.2), (10240, 0.6)]
    text = "\n".join([f"{STEPS},{MEAN_RETURN}", *(f"{steps},{value}" for steps, value in rows)])
    (tmp_path / "progress.csv").write_text(text)
    assert steps_to(0.5, tmp_path) == 2048
    assert steps_to(0.5, tmp_path, pretrain_timesteps=3000) == 10240
    assert steps_to(0.9, tmp_path, pretrain_timesteps=4096) is None
    assert has_collapsed(0.8, 0.7, tmp_path)
    assert not has_collapsed(0.8, 0.7, tmp_path, pretrain_timesteps=4000)
    assert read_learning(tmp_path, 4096)[1] == [0.1, 0.2, 0.6]
    assert read_learning(tmp_path, 0)[0] == [steps for steps, _ in rows]
    # Broken off before it came to the other.
    assert read_learning(tmp_path, 20_000) == ([], [])
