"""Training and testing of regressions, whatever the task."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch as th
from torch import nn

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.sequence import regression
from memory_agents.benchmarks.sequence.checkpoint import CHECKPOINT_FILE
from memory_agents.benchmarks.sequence.regression import (
    FIGURES_FILE,
    TEST_SEED,
    TEST_SEQUENCES,
    RegressionConfig,
    make_regressor,
    regress,
    run_regression,
)
from memory_agents.benchmarks.sequence.regression_tasks import TASKS, CopyFirst, Denoising, Sequences
from memory_agents.benchmarks.sequence.runs import load_config
from memory_agents.memory import MemoryCore, memory_registry

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "copy-first"
TINY = RegressionConfig("nbrc", {"hidden_size": 8}, length=3, gradient_steps=4, batch_size=5, validate_every=2)


class Oracle(MemoryCore[tuple[th.Tensor]]):
    """Puts out what it was given first in a window, or what was before it; what it wants minimised is 3."""

    def __init__(self, input_dim: int) -> None:
        super().__init__(input_dim, input_dim)

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

    def unroll_with_loss(
        self, x: th.Tensor, state: tuple[th.Tensor], episode_starts: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor]:
        return self.unroll_outputs(x, state, episode_starts), th.tensor(3.0)


def test_guesses_are_read_from_the_last_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memory_registry._entries, "oracle", Oracle)
    network = make_regressor(RegressionConfig("oracle"))
    with th.no_grad():
        network.readout.weight.fill_(2.0)
        network.readout.bias.fill_(1.0)
    inputs = th.tensor([[3.0, -1.0, 7.0], [0.0, 2.0, 5.0]])[..., None]
    guesses, core_loss = network(inputs)
    assert guesses.tolist() == [[7.0], [1.0]]
    assert core_loss == 3.0
    # Mean of (7 - 3)^2 and (1 - 0)^2.
    assert network.error(Sequences(inputs, inputs[:, 0])) == pytest.approx(8.5)
    th.autograd.backward(nn.functional.mse_loss(guesses, inputs[:, 0]))
    assert network.readout.weight.grad is not None


def test_the_error_of_many_sequences_is_that_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_regressor(replace(TINY, task="denoising", length=9))
    sequences = Denoising(9).draw(23, th.Generator().manual_seed(0))
    seen = []
    unroll = network.core.unroll_with_loss

    def note(x: th.Tensor, *rest: Any) -> tuple[th.Tensor, th.Tensor | None]:
        seen.append(len(x))
        return unroll(x, *rest)

    monkeypatch.setattr(network.core, "unroll_with_loss", note)
    monkeypatch.setattr(regression, "CHUNK", 10)
    error = network.error(sequences)
    assert seen == [10, 10, 3]
    guesses = network(sequences.inputs)[0]
    assert guesses.shape == (23, 5)
    assert error == pytest.approx((guesses - sequences.targets).square().mean().item())


def test_runs_repeat_bit_by_bit_whatever_was_drawn_before() -> None:
    before = th.random.get_rng_state()
    first = regress(TINY)
    assert th.equal(before, th.random.get_rng_state())
    th.rand(7)
    again = regress(TINY)
    assert first.curve == again.curve
    assert first.figures["test_mse"] == again.figures["test_mse"]
    assert regress(replace(TINY, seed=1)).curve != first.curve


def test_a_killed_run_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs = dict(memory_length=2, compressed_length=0, d_model=8, n_heads=2, n_layers=1, dropout=0.2)
    config = replace(TINY, memory_class="compressive", gradient_steps=7, memory_kwargs=kwargs)
    whole = regress(config)
    step, begun = th.optim.Adam.step, list[int]()

    def interrupted(optimiser: th.optim.Adam, *arguments: Any) -> Any:
        begun.append(len(begun))
        if len(begun) in (2, 6):
            raise KeyboardInterrupt
        return step(optimiser, *arguments)

    monkeypatch.setattr(th.optim.Adam, "step", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_regression(config, tmp_path)
    folder = tmp_path / config.folder_name()
    assert (folder / CHECKPOINT_FILE).is_file()
    assert run_regression(config, tmp_path)
    assert not (folder / CHECKPOINT_FILE).exists()
    figures = json.loads((folder / FIGURES_FILE).read_text())
    assert figures.pop("train_cpu_seconds") > 0
    assert figures == {name: value for name, value in whole.figures.items() if name != "train_cpu_seconds"}
    with (folder / "curve.csv").open(newline="") as file:
        rows = [tuple(float(value) if value else None for value in row.values()) for row in csv.DictReader(file)]
    assert rows == whole.curve
    # From the beginning on, twice, as the second step was never done; then from the checkpoint after it.
    assert len(begun) == 2 + 4 + 5


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
    test = CopyFirst(3).draw(TEST_SEQUENCES, th.Generator().manual_seed(TEST_SEED))
    assert figures["guessing_mse"] == pytest.approx(test.targets.square().mean().item())
    assert figures["test_mse"] == result.network.error(test)


def test_the_best_weights_are_tested_and_not_the_last() -> None:
    # One huge step, looked at before and after it: the untrained weights were better.
    spoilt = regress(replace(TINY, gradient_steps=1, learning_rate=100.0))
    assert spoilt.figures["best_step"] == 0
    assert spoilt.figures["test_mse"] < 2 < spoilt.figures["final_validation_mse"]


def test_gradients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds, clip = [], nn.utils.clip_grad_norm_

    def note(parameters: Any, bound: float) -> th.Tensor:
        bounds.append(bound)
        return clip(parameters, bound)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", note)
    regress(TINY)
    assert bounds == [1.0] * 4


def test_gradients_that_overflow_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mse, losses = nn.functional.mse_loss, list[th.Tensor]()

    def overflowing(guesses: th.Tensor, targets: th.Tensor) -> th.Tensor:
        loss = mse(guesses, targets)
        if not loss.requires_grad:
            return loss
        losses.append(loss)
        return loss * math.inf if len(losses) in (3, 4) else loss

    short = regress(replace(TINY, gradient_steps=2))
    monkeypatch.setattr(nn.functional, "mse_loss", overflowing)
    spoilt = regress(TINY)
    assert (short.figures["overflows"], spoilt.figures["overflows"]) == (0, 2)
    assert spoilt.curve[-1][2] == short.curve[-1][2]


@pytest.mark.parametrize("name", ["brc", "nbrc", "gru", "lstm"])
def test_checked_in_results_are_repeated(name: str) -> None:
    folder = RESULTS / f"{name}-t5-s0"
    config = load_config(folder, RegressionConfig)
    assert config.task == "copy-first"
    assert config.folder_name() == folder.name
    assert config.validate_every == 50
    with (folder / "curve.csv").open(newline="") as file:
        first, second, *_ = csv.reader(file.readlines()[1:])
    curve = regress(replace(config, gradient_steps=50)).curve
    assert [float(first[2]), *map(float, second[1:])] == pytest.approx([curve[0][2], *curve[1][1:]], rel=1e-3)


def test_what_the_core_wants_minimised_is_minimised(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = dict(n_layers=1, d_model=8, n_heads=1, memory_length=4, compressed_length=4)
    # Nothing but its own loss trains the compression function.
    kwargs = {**sizes, "compression_loss": "attention", "compression_gradient": "auxiliary"}
    config = RegressionConfig("compressive", kwargs, length=20, gradient_steps=1, batch_size=2)
    names = [name for name, _ in make_regressor(config).named_parameters()]
    steps: list[dict[str, th.Tensor | None]] = []

    def look(parameters: Iterable[nn.Parameter], bound: float) -> th.Tensor:
        steps.append({name: parameter.grad for name, parameter in zip(names, parameters, strict=True)})
        return th.zeros(())

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", look)
    regress(config)
    compressors = [gradient for name, gradient in steps[0].items() if "compress" in name]
    assert compressors
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in compressors)


def test_what_the_core_wants_minimised_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memory_registry._entries, "oracle", Oracle)
    training = regress(RegressionConfig("oracle", length=4, gradient_steps=1, batch_size=100)).curve[1][1]
    assert training is not None
    assert training < 3


def test_judges_that_draw_repeat() -> None:
    judger = {"kind": "random", "probability": 0.5}
    kwargs = dict(n_layers=1, d_model=8, n_heads=1, memory_length=2, compressed_length=1, compression_rate=1)
    config = RegressionConfig("compressive", {**kwargs, "judger": judger}, length=8, gradient_steps=2, batch_size=4)
    first = regress(config).curve
    th.rand(7)
    assert regress(config).curve == first
    assert regress(replace(config, memory_kwargs=kwargs)).curve != first


def test_dropout_is_for_training_alone_and_repeats() -> None:
    kwargs = dict(n_layers=1, d_model=8, n_heads=1, memory_length=4, compressed_length=0, dropout=0.5)
    config = RegressionConfig("compressive", kwargs, length=4, gradient_steps=3, batch_size=4)
    network, sequences = make_regressor(config), CopyFirst(4).draw(50, th.Generator().manual_seed(0))
    assert network.error(sequences) == network.error(sequences)
    assert network.training
    assert not th.equal(network(sequences.inputs)[0], network(sequences.inputs)[0])
    first = regress(config).curve
    th.rand(7)
    assert regress(config).curve == first
    without = replace(config, memory_kwargs={**kwargs, "dropout": 0.0})
    assert regress(without).curve != first


@pytest.mark.parametrize("judger", [True, "oracle"])
def test_judgers_that_would_have_to_learn_or_to_be_told_are_refused(judger: bool | str) -> None:
    config = RegressionConfig("compressive", {"judger": judger})
    with pytest.raises(UsageError, match=f"judger={judger!r}.*use keep, discard or random"):
        make_regressor(config)
    assert make_regressor(replace(config, memory_kwargs={"judger": "keep"})).core.input_dim == 1


def test_a_configuration_names_its_task_and_refuses_options_of_another() -> None:
    denoising = RegressionConfig("gru", length=30, task="denoising", blanks=10)
    assert denoising.make_task() == Denoising(30, 10)
    assert denoising.folder_name() == "gru-t30-n10-s0"
    assert "sequence denoising " in denoising.command()
    assert "--blanks 10" in denoising.command()
    copying = RegressionConfig("gru", length=30)
    assert copying.make_task() == CopyFirst(30)
    assert copying.folder_name() == "gru-t30-s0"
    assert "sequence copy-first " in copying.command()
    assert "--blanks" not in copying.command()
    with pytest.raises(UsageError, match="--blanks 10 is no option of copy-first; leave it out"):
        replace(copying, blanks=10)
    with pytest.raises(UsageError, match="task 'denoise' is unknown; did you mean denoising"):
        replace(copying, task="denoise")


@pytest.mark.parametrize("name", ["brc", "nbrc", "gru", "lstm"])
def test_short_sequences_are_learned(name: str) -> None:
    config = RegressionConfig(name, {"hidden_size": 16}, length=2, gradient_steps=120, learning_rate=1e-2)
    figures = regress(config).figures
    assert figures["guessing_mse"] > 0.9
    assert figures["test_mse"] < 0.3


@pytest.mark.parametrize("name", ["brc", "nbrc", "gru", "lstm"])
def test_five_of_six_numbers_are_learned(name: str) -> None:
    config = RegressionConfig(
        name, {"hidden_size": 32}, length=6, gradient_steps=150, learning_rate=1e-2, task="denoising"
    )
    figures = regress(config).figures
    assert figures["guessing_mse"] > 0.9
    assert figures["test_mse"] < 0.75


@pytest.mark.parametrize("task", TASKS)
def test_without_memory_there_is_only_guessing(task: str) -> None:
    kwargs = dict(n_layers=1, d_model=16, n_heads=1, memory_length=0, compressed_length=0)
    config = RegressionConfig("compressive", kwargs, length=6, gradient_steps=150, learning_rate=1e-2, task=task)
    figures = regress(config).figures
    assert figures["test_mse"] > 0.95 * figures["guessing_mse"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["brc", "nbrc", "gru", "lstm"])
def test_five_numbers_are_no_trouble(name: str) -> None:
    config = RegressionConfig(name, {"hidden_size": 32, "n_layers": 2}, length=5, gradient_steps=1000)
    assert regress(config).figures["test_mse"] < 0.1


def test_looks_at_the_validation_set_do_not_change_what_is_learned() -> None:
    kwargs = dict(memory_length=2, block_length=2, compression_rate=2, compressed_length=1, d_model=8, n_heads=2)
    drawing = RegressionConfig("compressive", {**kwargs, "judger": "random"}, length=9, gradient_steps=4, batch_size=3)
    last = [regress(replace(drawing, validate_every=every)).curve[-1] for every in (1, 4)]
    assert last[0][0] == last[1][0] == 4
    assert last[0][2] == last[1][2]


def test_devices() -> None:
    assert regress(replace(TINY, device="auto", gradient_steps=1)).network.readout.weight.device.type in ("cpu", "cuda")
    with pytest.raises(UsageError, match="--device 'abacus' is unknown"):
        replace(TINY, device="abacus")


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_learns_what_the_cpu_learns() -> None:
    found = [regress(replace(TINY, device=device)).figures["test_mse"] for device in ("cpu", "cuda")]
    assert found[0] == pytest.approx(found[1], abs=1e-3)
