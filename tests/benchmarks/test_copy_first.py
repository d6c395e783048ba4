"""Copy-first-input regression."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch as th
from PIL import Image
from torch import nn

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.copy_first import (
    TEST_SEED,
    TEST_SEQUENCES,
    RegressionConfig,
    draw,
    make_regressor,
    regress,
)
from memory_agents.memory import MemoryCore, memory_registry

TINY = RegressionConfig("nbrc", {"hidden_size": 8}, length=3, gradient_steps=4, batch_size=5, validate_every=2)


class Oracle(MemoryCore[tuple[th.Tensor]]):
    """Puts out the first number of a window, or what was before it."""

    def __init__(self, input_dim: int) -> None:
        super().__init__(input_dim, 1)

    def initial_state(self, batch_size: int) -> tuple[th.Tensor]:
        return (th.zeros(batch_size, 1),)

    def step_(
        self, x: th.Tensor, state: tuple[th.Tensor], episode_starts: th.Tensor
    ) -> tuple[th.Tensor, tuple[th.Tensor]]:
        raise NotImplementedError

    def unroll(
        self, x: th.Tensor, state: tuple[th.Tensor], episode_starts: th.Tensor
    ) -> tuple[th.Tensor, tuple[th.Tensor]]:
        assert not episode_starts.any()
        return x[:, :1].expand_as(x), state


def test_the_target_is_the_first_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memory_registry._entries, "oracle", Oracle)
    network = make_regressor(RegressionConfig("oracle"))
    with th.no_grad():
        network.readout.weight.fill_(2.0)
        network.readout.bias.fill_(1.0)
    sequences = th.tensor([[3.0, -1.0, 7.0], [0.0, 2.0, 5.0]])
    assert network(sequences).tolist() == [7.0, 1.0]
    # Mean of (7 - 3)^2 and (1 - 0)^2.
    assert network.error(sequences).item() == pytest.approx(8.5)
    th.autograd.backward(network.error(sequences))
    assert network.readout.weight.grad is not None


def test_numbers_are_standard_normal_and_follow_from_the_seed() -> None:
    one, other = (draw(2000, 10, th.Generator().manual_seed(seed)) for seed in (0, 1))
    assert one.mean().abs() < 0.03
    assert one.std() == pytest.approx(1, abs=0.02)
    assert not th.equal(one, other)
    assert th.equal(one, draw(2000, 10, th.Generator().manual_seed(0)))


def test_runs_repeat_bit_by_bit_whatever_was_drawn_before() -> None:
    before = th.random.get_rng_state()
    first = regress(TINY)
    assert th.equal(before, th.random.get_rng_state())
    th.rand(7)
    again = regress(TINY)
    assert first.curve == again.curve
    assert first.figures["test_mse"] == again.figures["test_mse"]
    assert regress(replace(TINY, seed=1)).curve != first.curve


def test_what_is_reported() -> None:
    result = regress(replace(TINY, gradient_steps=5))
    steps, training, validation = zip(*result.curve, strict=True)
    assert steps == (0, 2, 4, 5)
    assert training[0] is None
    assert None not in training[1:]

    figures = result.figures
    assert figures["best_validation_mse"] == min(validation)
    assert figures["best_step"] == steps[validation.index(min(validation))]
    assert figures["final_validation_mse"] == validation[-1]
    assert (figures["gradient_steps"], figures["train_sequences"]) == (5, 25)
    # Input and state weights of 8 neurons, their biases of two gates, the readout.
    assert figures["parameters"] == 3 * 8 + 2 * 8 * 8 + 2 * 8 + 8 + 1
    test = draw(TEST_SEQUENCES, 3, th.Generator().manual_seed(TEST_SEED))
    assert figures["guessing_mse"] == pytest.approx(test[:, 0].square().mean().item())
    with th.no_grad():
        assert figures["test_mse"] == result.network.error(test).item()


def test_the_best_weights_are_tested_and_not_the_last() -> None:
    # One huge step, looked at before and after it: the untrained weights were better.
    spoilt = regress(replace(TINY, gradient_steps=1, learning_rate=100.0))
    assert spoilt.figures["best_step"] == 0
    assert spoilt.figures["test_mse"] < 2 < spoilt.figures["final_validation_mse"]


def test_gradients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = []
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda parameters, bound: bounds.append(bound))
    regress(TINY)
    assert bounds == [1.0] * 4


@pytest.mark.parametrize("name", ["brc", "nbrc", "gru", "lstm"])
def test_short_sequences_are_learned(name: str) -> None:
    config = RegressionConfig(name, {"hidden_size": 16}, length=2, gradient_steps=120, learning_rate=1e-2)
    figures = regress(config).figures
    assert figures["guessing_mse"] > 0.9
    assert figures["test_mse"] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["brc", "nbrc", "gru", "lstm"])
def test_five_numbers_are_no_trouble(name: str) -> None:
    config = RegressionConfig(name, {"hidden_size": 32, "n_layers": 2}, length=5, gradient_steps=1000)
    assert regress(config).figures["test_mse"] < 0.1


ARGS = ["copy-first", "--memory-kwargs", "hidden_size=4", "--gradient-steps", "2", "--batch-size", "3"]


def test_sweep_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [*ARGS, "--memory-class", "nbrc", "--length", "2", "--length", "4", "--out", str(tmp_path)]
    assert run([*args, "--seed", "0"]) == 0
    folders = [tmp_path / "nbrc-t2-s0", tmp_path / "nbrc-t4-s0"]
    assert sorted(path for path in tmp_path.iterdir() if path.is_dir()) == folders
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*/*")}
    assert {path.name for path in written} == {"config.json", "curve.csv", "regression.json"}
    # An interrupted run is done anew; finished ones are left alone.
    (folders[0] / "regression.json").unlink()
    capsys.readouterr()

    assert run([*args, "--seed", "0", "--seed", "1", "--memory-class", "gru"]) == 0
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


def test_the_command_of_a_run_repeats_it(tmp_path: Path) -> None:
    assert run([*ARGS, "--memory-class", "lstm", "--length", "3", "--seed", "7", "--out", str(tmp_path / "a")]) == 0
    folder = Path("lstm-t3-s7")
    config = json.loads((tmp_path / "a" / folder / "config.json").read_text())
    assert config["command"] == RegressionConfig(**config["arguments"]).command()
    program, *words = config["command"].replace("'", "").replace('{"hidden_size": 4}', "hidden_size=4").split()
    assert program == "memory-bench"
    assert run([*words, "--out", str(tmp_path / "b")]) == 0
    curves = [(tmp_path / name / folder / "curve.csv").read_text() for name in "ab"]
    assert curves[0] == curves[1]
    rows = list(csv.DictReader(curves[0].splitlines()))
    assert [row["gradient_step"] for row in rows] == ["0", "2"]
    assert all(math.isfinite(float(row["validation_mse"])) for row in rows)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--memory-class", "ltsm"], ["--memory-class 'ltsm'", "lstm"]),
        (["--memory-class", "gru", "--memory-kwargs", "width=4"], ["width", "hidden_size"]),
        (["--memory-class", "gru", "--memory-kwargs", "hidden_size=0"], ["hidden_size", "0"]),
        (["--memory-class", "gru", "--length", "0"], ["--length 0"]),
        (["--memory-class", "gru", "--gradient-steps", "0"], ["--gradient-steps 0"]),
        (["--memory-class", "gru", "--batch-size", "-1"], ["--batch-size -1"]),
        (["--memory-class", "gru", "--validate-every", "0"], ["--validate-every 0"]),
        (["--memory-class", "gru", "--learning-rate", "nan"], ["--learning-rate nan"]),
        (["--memory-class", "gru", "--seed", "-3"], ["--seed -3"]),
        ([], ["--memory-class"]),
    ],
)
def test_bad_arguments_exit_2_with_one_line(
    args: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["copy-first", "--out", str(tmp_path / "runs"), *args]) == 2
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
    assert "is not the configuration of a copy-first run" in capsys.readouterr().err
