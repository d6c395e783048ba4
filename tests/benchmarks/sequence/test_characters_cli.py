"""``memory-bench sequence characters``, ``characters-table`` and ``generate``."""

from __future__ import annotations

import csv
import hashlib
import json
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest
import torch as th
from PIL import Image

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.output import LOCK_FILE
from memory_agents.benchmarks.sequence.characters import PUBLISHED, CharacterConfig
from memory_agents.benchmarks.sequence.characters_files import load_model
from memory_agents.sequence.text import read_corpus
from tests.benchmarks.sequence.characters import ARGS, tiny, write_text

RUN_FILES = {"config.json", "curve.csv", "weights.pt", "score.json", LOCK_FILE}


def characters(out: Path, data: Path, *more: str) -> int:
    return run(["sequence", "characters", *ARGS, "--data", str(data), "--out", str(out), *more])


def test_sweep_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = write_text(tmp_path), tmp_path / "runs"
    assert characters(out, data, "--agents", "xl,keep", "--agents", "dct") == 0
    said = capsys.readouterr().out
    corpus = read_corpus(data)
    assert f"periodic: 2,000 bytes, SHA-256 {corpus.sha256}" in said
    folders = {path.name: {file.name for file in path.iterdir()} for path in out.iterdir() if path.is_dir()}
    assert folders == {
        "xl-s0": RUN_FILES,
        "keep-s0": {*RUN_FILES, "reading.csv"},
        "dct-s0": {*RUN_FILES, "reading.csv"},
        "pretraining-xl-s0": RUN_FILES - {"score.json"},
        "pretraining-compressive-s0": RUN_FILES - {"score.json"},
    }
    for picture in ("curves.png", "reading.png"):
        with Image.open(out / picture) as image:
            assert image.width > image.height
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*/*")}

    # An interrupted run is done anew; what it goes on from, and finished ones, are left alone.
    before = json.loads((out / "dct-s0" / "score.json").read_text())
    (out / "dct-s0" / "score.json").unlink()
    assert characters(out, data, "--agents", "xl,keep,dct,compressive") == 0
    changed = {path.parent.name for path, at in written.items() if path.stat().st_mtime_ns != at}
    assert changed == {"dct-s0"}
    after = json.loads((out / "dct-s0" / "score.json").read_text())
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in after if not name.endswith("seconds"))

    table = (out / "table.md").read_text()
    assert table in capsys.readouterr().out
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0] for row in rows] == ["| xl", "| compressive", "| keep", "| dct"]
    bits = f"{after['test_bits']:.4f}"
    assert f"| 0 | {bits} | {bits} | 0.963 | {after['test_bits_drawn']:.4f} |" in rows[-1]
    times = [f"{after[name]:.0f}" for name in ("train_cpu_seconds", "train_seconds")]
    assert rows[-1].endswith(f"| 3 | {times[0]} | {times[1]} |")
    assert rows[-1].count("|") == table.splitlines()[2].count("|")
    assert "| test lanes | CPU seconds | seconds |" in table
    assert corpus.sha256 in table


def test_what_a_run_writes(tmp_path: Path) -> None:
    data = write_text(tmp_path)
    assert characters(tmp_path, data, "--agents", "dct", "--seeds", "3") == 0
    folder = tmp_path / "dct-s3"
    config = json.loads((folder / "config.json").read_text())
    assert CharacterConfig(**config["arguments"]) == tiny("dct", seed=3, data=str(data))
    corpus = read_corpus(data)
    assert config["corpus"] == {"name": "periodic", "size": 2000, "sha256": corpus.sha256}
    assert {"commit", "versions", "hardware"} <= config.keys()

    rows = list(csv.DictReader((folder / "curve.csv").read_text().splitlines()))
    assert [(int(row["update"]), row["part"]) for row in rows] == [
        (4, "pre-training"), (9, "co-training"), (10, "co-training"),
    ]  # fmt: skip
    assert not any("second" in name for name in rows[0])
    assert rows[0]["keep_rate"] == ""
    assert 0 <= float(rows[1]["keep_rate"]) <= 1

    score = json.loads((folder / "score.json").read_text())
    assert (score["updates"], score["characters_read"], score["test_lanes"]) == (10, 10 * 3 * 8, 3)
    assert score["judger_parameters"] > 0
    for suffix in ("", "_drawn"):
        assert 0 < score[f"test_bits{suffix}"] < 12
        assert 0 <= score[f"keep_rate{suffix}"] <= 1
        assert score[f"reading_distance{suffix}"] > 0
    # 100 characters in 3 lanes of 5 segments.
    readings = list(csv.DictReader((folder / "reading.csv").read_text().splitlines()))
    assert [int(row["token"]) for row in readings] == [8, 16, 24, 32, 40]

    weights = th.load(folder / "weights.pt", weights_only=True)["weights"]
    model = load_model(folder)[1]
    assert all(th.equal(weights[name], part) for name, part in model.state_dict().items())


def test_the_command_of_a_run_repeats_it(tmp_path: Path) -> None:
    data = write_text(tmp_path)
    options = ["--agents", "dct", "--seeds", "7", "--max-bytes", "1500", "--dct-kwargs", "a=0.9"]
    assert characters(tmp_path / "a", data, *options, "--judger-kwargs", "hidden_size=4") == 0
    config = json.loads((tmp_path / "a" / "dct-s7" / "config.json").read_text())
    program, *words = shlex.split(config["command"])
    assert program == "memory-bench"
    assert run([*words, "--out", str(tmp_path / "b")]) == 0
    for file in ("curve.csv", "reading.csv"):
        assert (tmp_path / "a" / "dct-s7" / file).read_text() == (tmp_path / "b" / "dct-s7" / file).read_text()


def test_the_text_decides_and_not_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "elsewhere").mkdir()
    data, same = write_text(tmp_path), write_text(tmp_path / "elsewhere")
    assert characters(tmp_path / "a", data, "--agents", "xl") == 0
    before = (tmp_path / "a" / "xl-s0" / "config.json").stat().st_mtime_ns
    for path in (tmp_path / "elsewhere" / ".." / data.name, same):
        assert characters(tmp_path / "a", path, "--agents", "xl") == 0
    assert (tmp_path / "a" / "xl-s0" / "config.json").stat().st_mtime_ns == before
    # Other seeds on a text from elsewhere are of the same group, whatever the file's name.
    renamed = same.rename(tmp_path / "elsewhere" / "renamed")
    assert characters(tmp_path / "b", renamed, "--agents", "xl", "--seeds", "1") == 0
    capsys.readouterr()
    assert run(["sequence", "characters-table", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "| xl | 0, 1 |" in capsys.readouterr().out


def test_the_evaluators_weights_decide_and_not_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = write_text(tmp_path), tmp_path / "runs"
    assert characters(tmp_path / "others", data, "--agents", "xl", "--seeds", "0,1") == 0
    (tmp_path / "same").symlink_to(tmp_path / "others" / "xl-s0")
    assert characters(out, data, "--agents", "dct", "--evaluator", str(tmp_path / "others" / "xl-s0")) == 0
    before = (out / "dct-s0" / "score.json").stat().st_mtime_ns
    assert characters(out, data, "--agents", "dct", "--evaluator", str(tmp_path / "same")) == 0
    assert (out / "dct-s0" / "score.json").stat().st_mtime_ns == before
    capsys.readouterr()
    for more in ([], ["--evaluator", str(tmp_path / "others" / "xl-s1")]):
        assert characters(out, data, "--agents", "dct", *more) == 2
        assert "'dct-s0' with another evaluator" in capsys.readouterr().err
    # Runs with different evaluators are not of one group.
    assert characters(tmp_path / "own", data, "--agents", "dct", "--seeds", "1") == 0
    capsys.readouterr()
    assert run(["sequence", "characters-table", str(out), str(tmp_path / "own")]) == 0
    table = capsys.readouterr().out
    digest = hashlib.sha256((tmp_path / "same" / "weights.pt").read_bytes()).hexdigest()
    assert f'| dct (evaluator="{digest[:8]}") | 0 |' in table
    assert '| dct (evaluator="its own") | 1 |' in table


def test_rows_say_in_which_settings_they_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_text(tmp_path)
    assert characters(tmp_path / "one", data, "--agents", "xl,random") == 0
    assert characters(tmp_path / "other", data, "--agents", "xl", "--learning-rate", "0.01") == 0
    capsys.readouterr()
    assert run(["sequence", "characters-table", str(tmp_path / "one"), str(tmp_path / "other")]) == 0
    table = capsys.readouterr().out
    for label in ("xl (learning_rate=0.003)", "xl (learning_rate=0.01)", "random-p0.5 (learning_rate=0.003)"):
        assert f"| {label} | 0 |" in table


def test_compression_functions_beside_what_was_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_text(tmp_path)
    assert characters(tmp_path, data, "--agents", "xl,compressive", "--compression", "published") == 0
    names = {path.name for path in tmp_path.glob("*-s0") if not path.name.startswith("pretraining")}
    others = {f"compressive-{name}-s0" for name in PUBLISHED if name != "convolution"}
    assert names == {"xl-s0", "compressive-s0", *others}
    memories, functions = (tmp_path / "table.md").read_text().split("\n\n")[1:]
    assert [row.split(" | ")[0] for row in memories.splitlines()[2:]] == ["| xl", "| compressive"]
    rows = [row.strip("| ").split(" | ") for row in functions.splitlines()[2:]]
    assert {(row[0] if row[1] == "-" else f"{row[0]}+{row[1]}"): float(row[5]) for row in rows} == PUBLISHED
    # The best first.
    means = [float(row[4]) for row in rows]
    assert means == sorted(means)
    # The losses train the compression functions and change nothing else at once, so these differ.
    assert len({row[3] for row in rows}) == len(PUBLISHED)


def test_judged_memories_with_other_compression_functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_text(tmp_path)
    assert characters(tmp_path, data, "--agents", "dct,random", "--compression", "max,convolution+attention") == 0
    (memories,) = (tmp_path / "table.md").read_text().split("\n\n")[1:]
    names = ["random-convolution+attention-p0.5", "random-max-p0.5", "dct-convolution+attention", "dct-max"]
    assert sorted(row.split(" | ")[0][2:] for row in memories.splitlines()[2:]) == sorted(names)
    assert {path.name for path in tmp_path.glob("*-s0")} == {
        *(f"{name}-s0" for name in names),
        "pretraining-compressive-max-s0",
        "pretraining-compressive-convolution+attention-s0",
    }
    # One of the compressive transformer alone has a table, too.
    assert characters(tmp_path / "one", data, "--agents", "compressive", "--compression", "mean") == 0
    assert "| mean | - | 0 |" in (tmp_path / "one" / "table.md").read_text()


def test_tables_need_no_text_but_compare_only_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_text(tmp_path)
    assert characters(tmp_path / "a", data, "--agents", "xl", "--seeds", "0,1") == 0
    data.unlink()
    capsys.readouterr()
    assert run(["sequence", "characters-table", str(tmp_path / "a"), "--out", str(tmp_path / "there")]) == 0
    assert "| xl | 0, 1 |" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"table.md", "curves.png"}

    assert characters(tmp_path / "b", write_text(tmp_path, 2001), "--agents", "none") == 0
    assert run(["sequence", "characters-table", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "the runs are on 2 texts" in capsys.readouterr().err
    assert run(["sequence", "characters-table", str(tmp_path / "there")]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_other_runs_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = write_text(tmp_path), tmp_path / "runs"
    assert characters(out, data, "--agents", "compressive") == 0
    assert characters(out, data, "--agents", "compressive", "--dropout", "0.1") == 2
    assert "'compressive-s0' with other arguments; choose another folder" in capsys.readouterr().err
    # What others would go on from is of other arguments, too.
    assert characters(out, data, "--agents", "keep", "--learning-rate", "0.1") == 2
    assert "'pretraining-compressive-s0' with other arguments" in capsys.readouterr().err
    write_text(tmp_path, 2001)
    assert characters(out, data, "--agents", "compressive") == 2
    assert "'compressive-s0' on another text" in capsys.readouterr().err
    # A run of another name, which the table would have beside it.
    assert characters(out, data, "--agents", "xl") == 2
    assert "'compressive-s0' on another text (periodic, SHA-256" in capsys.readouterr().err
    assert not (out / "xl-s0").exists()
    (out / "compressive-s0" / "config.json").write_text("{}")
    assert characters(out, data, "--agents", "compressive") == 2
    assert "is not the configuration of a character-model run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--agents", "xll"], ["--agents 'xll'", "xl"]),
        (["--agents", "xl", "--seeds", "-1"], ["--seeds"]),
        (["--agents", "xl", "--data", "nowhere"], ["--data 'nowhere'", "cannot be read", "enwik8"]),
        (["--agents", "xl", "--max-bytes", "5"], ["--max-bytes 5", "20"]),
        (["--agents", "xl", "--max-bytes", "20", "--batch-size", "4"], ["batch_size", "longer text"]),
        (["--agents", "dct", "--dct-kwargs", "m=0"], ["--dct-kwargs", "m is 0"]),
        (["--agents", "dct", "--dct-kwargs", "m"], ["--dct-kwargs 'm'", "m=VALUE"]),
        (["--agents", "dct", "--judger-kwargs", "kind=random"], ["kind=random", "--agents random,keep,discard"]),
        (["--agents", "dct", "--judger-kwargs", "warming_up=true"], ["warming_up=true has no effect", "leave it out"]),
        (["--agents", "xl", "--max-bytes", "140"], ["--data", "--max-bytes 140", "7 bytes long", "--segment 8"]),
        (["--agents", "xl", "--compression", ""], ["--compression ''", "convolution", "published"]),
        (["--agents", ","], ["--agents ','", "xl"]),
        (["--agents", "xl", "--seeds", ""], ["--seeds ''", "whole numbers from 0 up"]),
        (["--agents", "dct", "--evaluator", "nowhere"], ["--evaluator 'nowhere'", "folder of a finished run"]),
        (["--agents", "xl", "--warmup", "4"], ["--warmup 4", "--pretrain-updates 4"]),
    ],
)
def test_bad_arguments_exit_2_with_one_line(
    args: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert characters(tmp_path / "runs", write_text(tmp_path), *args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in line
    assert not (tmp_path / "runs").exists()


def test_paper_size_gives_other_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[CharacterConfig] = []
    module = "memory_agents.benchmarks.sequence.characters_cli"
    monkeypatch.setattr(f"{module}.run_characters", lambda configs, out, say: made.extend(configs))
    monkeypatch.setattr(f"{module}.characters_table", lambda folders, out: None)
    args = ["sequence", "characters", "--out", str(tmp_path), "--agents", "dct,none"]
    assert run([*args, "--paper-size", "--n-layers", "3", "--dct-kwargs", "a=0.5"]) == 0
    assert run(args) == 0
    big, _, small, _ = made
    assert (big.n_layers, big.segment, big.compressed_length, big.batch_size) == (3, 128, 64, 32)
    assert (big.learning_rate, big.cotrain_learning_rate, big.max_grad_norm) == (1e-4, 1e-5, 0.1)
    # Given ones are added to the others.
    assert big.dct_kwargs == {"learning_rate": 1e-5, "normalize": False, "a": 0.5}
    assert small == CharacterConfig("dct")

    # What a command is recorded as gives the same arguments, whatever size they are of.
    others = [*args, "--data", "some file", "--evaluator", "a run", "--judger-kwargs", "hidden_size=4"]
    assert run([*others, "--paper-size", "--seeds", "3"]) == 0
    for config in (big, small, *made[-2:]):
        program, *words = shlex.split(config.command())
        assert program == "memory-bench"
        assert run([*words, "--out", str(tmp_path)]) == 0
        assert asdict(made[-1]) == asdict(config)


def test_text_is_generated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_text(tmp_path)
    assert characters(tmp_path, data, "--agents", "xl,random,dct,none") == 0

    def said(name: str, *more: str) -> str:
        capsys.readouterr()
        assert run(["sequence", "generate", str(tmp_path / name), "--prompt", "abc", "--length", "60", *more]) == 0
        return capsys.readouterr().out

    for name in ("xl-s0", "random-p0.5-s0", "dct-s0"):
        assert said(name).startswith("abc")
        assert said(name) == said(name)
        assert said(name) != said(name, "--seed", "1")
    assert said("xl-s0", "--temperature", "0") == said("xl-s0", "--temperature", "0", "--seed", "1")

    assert run(["sequence", "generate", str(tmp_path / "pretraining-xl-s0")]) == 2
    assert "give the folder of a finished run" in capsys.readouterr().err
    assert run(["sequence", "generate", str(tmp_path / "none-s0")]) == 2
    assert "trained and tested to forget at every segment, and would not here; choose" in capsys.readouterr().err
    assert run(["sequence", "generate", str(tmp_path / "nothing")]) == 2
    assert "is not the configuration" in capsys.readouterr().err
