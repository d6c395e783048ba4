"""``memory-bench sequence copy-first`` and ``denoising``."""

from __future__ import annotations

import csv
import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch as th
from PIL import Image

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.output import LOCK_FILE
from memory_agents.benchmarks.sequence import regression_cli
from memory_agents.benchmarks.sequence.regression import RegressionConfig
from memory_agents.benchmarks.sequence.regression_report import regression_groups

ROOT = Path(__file__).resolve().parents[3]
ARGS = ["sequence", "copy-first", "--memory-kwargs", "hidden_size=4", "--gradient-steps", "2", "--batch-size", "3"]


def test_sweep_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*ARGS, "--memory-class", "nbrc", "--length", "2", "--length", "4", "--out", str(tmp_path)]
    assert run([*args, "--seed", "0"]) == 0
    folders = [tmp_path / "nbrc-t2-s0", tmp_path / "nbrc-t4-s0"]
    assert sorted(path for path in tmp_path.iterdir() if path.is_dir()) == folders
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*/*")}
    assert {path.name for path in written} == {"config.json", "curve.csv", "regression.json", LOCK_FILE}
    # An interrupted run is done anew; finished ones are left alone.
    (folders[0] / "regression.json").unlink()
    capsys.readouterr()

    assert run([*args, "--seeds", "0,1", "--memory-class", "gru"]) == 0
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 8
    changed = {path.parent for path, at in written.items() if path.stat().st_mtime_ns != at}
    assert changed == {folders[0]}

    heading, _, *rows, _ = capsys.readouterr().out.splitlines()
    assert heading.startswith("| T | core | seeds | test MSE, by seed |")
    assert [row.split(" | ")[:3] for row in rows] == [
        [f"| {length}", f"{core} (hidden_size=4)", "0, 1"] for length in (2, 4) for core in ("gru", "nbrc")
    ]
    figures = [json.loads((tmp_path / f"nbrc-t4-s{seed}" / "regression.json").read_text()) for seed in (0, 1)]
    tested, last = (", ".join(f"{each[name]:.3f}" for each in figures) for name in ("test_mse", "final_validation_mse"))
    assert f"| 0, 1 | {tested} | {figures[0]['guessing_mse']:.3f} | {last} |" in rows[3]
    assert "| 2 | 6 |" in rows[3]


def test_denoising_is_a_table_of_length_and_blanks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cores = ["--memory-class", "nbrc", "--memory-class", "lstm"]
    args = ["sequence", "denoising", *ARGS[2:], *cores, "--out", str(tmp_path)]
    assert run([*args, "--length", "7", "--length", "12", "--blanks", "0", "--blanks", "2"]) == 0
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {f"{core}-t{t}-n{n}-s0" for core in ("nbrc", "lstm") for t in (7, 12) for n in (0, 2)}
    heading, _, *rows, last = capsys.readouterr().out.splitlines()
    assert heading.startswith("| T | N | core | seeds | test MSE, by seed |")
    assert [row.split(" | ")[:3] for row in rows] == [
        [f"| {t}", str(n), f"{core} (hidden_size=4)"] for t in (7, 12) for n in (0, 2) for core in ("lstm", "nbrc")
    ]
    assert last == f"Learning curves: {tmp_path / 'curves.png'}"
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 3 * picture.height


@pytest.mark.parametrize(
    ("task", "sizes", "learning_rate"),
    [
        ("copy-first", [(length, 0) for length in (5, 100, 300, 600)], 0.005),
        ("denoising", [(400, 0), (400, 200)], 0.02),
    ],
)
def test_sizes_are_those_of_the_paper_unless_told_otherwise(
    task: str, sizes: list[tuple[int, int]], learning_rate: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs: list[RegressionConfig] = []
    monkeypatch.setattr(regression_cli, "_run", lambda given, out, threads: configs.extend(given))
    assert run(["sequence", task, "--memory-class", "gru", "--out", str(tmp_path)]) == 0
    assert [(config.length, config.blanks) for config in configs] == sizes
    assert {config.task for config in configs} == {task}
    # Nothing else differs from what a run is without options.
    assert [replace(config, task="copy-first", length=300, blanks=0) for config in configs] == [
        RegressionConfig("gru", learning_rate=learning_rate)
    ] * len(sizes)


def test_every_option_reaches_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[RegressionConfig] = []
    monkeypatch.setattr(regression_cli, "run_regression", lambda config, out: configs.append(config))
    threads: list[int] = []
    monkeypatch.setattr(th, "set_num_threads", threads.append)
    options = ["--seed", "5", "--gradient-steps", "7", "--batch-size", "8", "--learning-rate", "0.25"]
    options += ["--validate-every", "3", "--memory-kwargs", "hidden_size=9", "--memory-class", "gru", "--threads", "2"]
    given = RegressionConfig("gru", {"hidden_size": 9}, 30, 7, 8, 0.25, 3, 5)
    for task, blanks in (("copy-first", []), ("denoising", ["--blanks", "4"])):
        # There is no run to make a table of.
        assert run(["sequence", task, *options, *blanks, "--length", "30", "--out", str(tmp_path)]) == 2
    assert configs == [given, replace(given, task="denoising", blanks=4)]
    assert threads == [2, 2]


@pytest.mark.parametrize("task", [["copy-first"], ["denoising", "--blanks", "2"]], ids=lambda task: task[0])
def test_the_command_of_a_run_repeats_it(task: list[str], tmp_path: Path) -> None:
    args = ["sequence", *task, *ARGS[2:], "--memory-class", "lstm", "--length", "8", "--seed", "7"]
    assert run([*args, "--learning-rate", "0.01", "--validate-every", "1", "--out", str(tmp_path / "a")]) == 0
    (path,) = (tmp_path / "a").glob("lstm-t8-*s7/config.json")
    config = json.loads(path.read_text())
    assert config["command"] == RegressionConfig(**config["arguments"]).command()
    program, *words = shlex.split(config["command"])
    assert program == "memory-bench"
    assert run([*words, "--out", str(tmp_path / "b")]) == 0
    assert json.loads((tmp_path / "b" / path.parent.name / "config.json").read_text()) == config
    curves = [(tmp_path / name / path.parent.name / "curve.csv").read_text() for name in "ab"]
    assert curves[0] == curves[1]
    rows = list(csv.DictReader(curves[0].splitlines()))
    assert [row["gradient_step"] for row in rows] == ["0", "1", "2"]
    assert all(math.isfinite(float(row["validation_mse"])) for row in rows)


def test_commands_of_checked_in_results_still_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ROOT / "benchmarks" / "results" / "copy-first" / "nbrc-t5-s0"
    program, *words = shlex.split(json.loads((folder / "config.json").read_text())["command"])
    assert [program, words[0]] == ["memory-bench", "copy-first"]
    words[words.index("--gradient-steps") + 1] = "1"
    assert run([*words, "--out", str(tmp_path / "old")]) == 0
    assert run(["sequence", *words, "--out", str(tmp_path / "new")]) == 0
    curves = [(tmp_path / name / folder.name / "curve.csv").read_text() for name in ("old", "new")]
    assert curves[0] == curves[1]
    # Not in the list of commands, which has it under sequence.
    capsys.readouterr()
    assert run(["--help"]) == 0
    assert "copy-first" not in capsys.readouterr().out
    assert run(["sequence", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "copy-first" in shown
    assert "denoising" in shown


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--memory-class", "ltsm"], ["--memory-class 'ltsm'", "lstm"]),
        (["--memory-class", "gru", "--memory-kwargs", "width=4"], ["width", "hidden_size"]),
        (["--memory-class", "gru", "--memory-kwargs", "hidden_size=0"], ["hidden_size", "0"]),
        (
            ["--memory-class", "gru", "--memory-class", "compressive", "--memory-kwargs", "hidden_size=4"],
            ["hidden_size"],
        ),
        (["--memory-class", "gru", "--length", "0"], ["--length 0"]),
        (["--memory-class", "gru", "--gradient-steps", "0"], ["--gradient-steps 0"]),
        (["--memory-class", "gru", "--batch-size", "-1"], ["--batch-size -1"]),
        (["--memory-class", "gru", "--validate-every", "0"], ["--validate-every 0"]),
        (["--memory-class", "gru", "--learning-rate", "nan"], ["--learning-rate nan", "use 0.005"]),
        (["--memory-class", "gru", "--seed", "-3"], ["--seeds '-3'"]),
        (["--memory-class", "gru", "--blanks", "3"], ["--blanks"]),
        (["--memory-class", "compressive", "--memory-kwargs", "judger=true"], ["judger=True", "keep"]),
        ([], ["--memory-class"]),
    ],
)
def test_bad_arguments_exit_2_with_one_line(
    args: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sequence", "copy-first", "--out", str(tmp_path / "runs"), *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    for word in words:
        assert word in line
    assert not (tmp_path / "runs").exists()


def test_other_arguments_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*ARGS, "--memory-class", "gru", "--length", "2", "--out", str(tmp_path)]
    assert run(args) == 0
    assert run([*args, "--learning-rate", "0.1"]) == 2
    assert "'gru-t2-s0' with other arguments; choose another folder" in capsys.readouterr().err

    (tmp_path / "gru-t2-s0" / "config.json").write_text("{}")
    assert run(args) == 2
    assert "is not the configuration of a run of this kind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--length", "4"], ["--length 4", "flag 5", "use --length 5 or more"]),
        (["--blanks", "0", "--blanks", "399"], ["--blanks 399", "use --length 404 or more"]),
        (["--blanks", "-1"], ["--blanks -1"]),
        (["--learning-rate", "-1"], ["--learning-rate -1.0", "use 0.02"]),
    ],
)
def test_bad_sizes_of_denoising_exit_2_with_one_line(
    args: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The default of 200 blanks would be refused with a length of four first.
    args = args if "--blanks" in args else [*args, "--blanks", "0"]
    assert run(["sequence", "denoising", "--memory-class", "gru", "--out", str(tmp_path / "runs"), *args]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in line
    assert not (tmp_path / "runs").exists()


def test_tasks_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    core = ["--memory-class", "gru"]
    denoising = ["sequence", "denoising", *ARGS[2:], *core, "--length", "6", "--blanks", "0", "--out"]
    assert run([*ARGS, *core, "--length", "2", "--out", str(tmp_path)]) == 0
    assert run([*denoising, str(tmp_path)]) == 2
    assert "has runs of copy-first, whose table is another; choose another folder" in capsys.readouterr().err
    assert not (tmp_path / "gru-t6-n0-s0").exists()

    # One that has not been finished counts, too.
    figures = tmp_path / "gru-t2-s0" / "regression.json"
    text = figures.read_text()
    figures.unlink()
    assert run([*denoising, str(tmp_path)]) == 2
    assert "has runs of copy-first" in capsys.readouterr().err
    figures.write_text(text[:20])
    assert run([*ARGS, *core, "--length", "3", "--out", str(tmp_path)]) == 2
    assert f"{figures} is not whole" in capsys.readouterr().err
    assert not (tmp_path / "gru-t3-s0").exists()
    figures.write_text(text)

    # Moved there by hand.
    assert run([*denoising, str(tmp_path / "other")]) == 0
    (tmp_path / "other" / "gru-t6-n0-s0").rename(tmp_path / "gru-t6-n0-s0")
    with pytest.raises(UsageError, match="has runs of copy-first and denoising"):
        regression_groups(tmp_path)
