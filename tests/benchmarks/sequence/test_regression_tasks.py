"""What is read and asked in regressions."""

from __future__ import annotations

from collections import Counter

import pytest
import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.sequence.regression_tasks import TASKS, CopyFirst, Denoising, RegressionTask

EVERY_TASK = [CopyFirst(10), Denoising(10), Denoising(20, 10)]


def generator(seed: int = 0) -> th.Generator:
    return th.Generator().manual_seed(seed)


@pytest.mark.parametrize("task", EVERY_TASK, ids=repr)
def test_widths_are_as_announced_and_sequences_follow_from_the_seed(task: RegressionTask) -> None:
    assert type(task) in TASKS.values()
    inputs, targets = task.draw(3, generator())
    assert len(inputs) == len(targets) == 3
    assert inputs.shape[2] == task.input_width
    assert targets.shape[1:] == (task.output_width,)
    again, other = task.draw(3, generator()), task.draw(3, generator(1))
    assert th.equal(inputs, again.inputs)
    assert th.equal(targets, again.targets)
    assert not th.equal(inputs, other.inputs)
    # One source of randomness: a second batch is another.
    source = generator()
    assert not th.equal(task.draw(3, source).inputs, task.draw(3, source).inputs)


@pytest.mark.parametrize("task", EVERY_TASK, ids=repr)
def test_numbers_are_standard_normal_and_guessing_earns_what_is_said(task: RegressionTask) -> None:
    inputs, targets = task.draw(4000, generator())
    numbers = inputs[:, : task.length, 0]
    assert numbers.mean().abs() < 0.03
    assert numbers.std() == pytest.approx(1, abs=0.02)
    assert targets.square().mean() == pytest.approx(task.guessing_mse, abs=0.05)


def test_the_first_number_is_to_be_copied() -> None:
    inputs, targets = CopyFirst(4).draw(5, generator())
    assert inputs.shape == (5, 4, 1)
    assert th.equal(targets, inputs[:, 0])
    assert CopyFirst(4).sizes == {"T": 4}


@pytest.mark.parametrize(("length", "blanks"), [(5, 0), (9, 0), (30, 25), (40, 20)])
def test_flagged_numbers_are_to_be_told_in_order(length: int, blanks: int) -> None:
    task = Denoising(length, blanks)
    assert task.sizes == {"T": length, "N": blanks}
    inputs, targets = task.draw(200, generator())
    assert inputs.shape == (200, length + 1, 2)
    # The last step is a prompt, and nothing else is one.
    assert (inputs[:, -1] == th.tensor([0.0, 1.0])).all()
    for numbers, flags, told in zip(inputs[:, :-1, 0], inputs[:, :-1, 1], targets, strict=True):
        places = [place for place in range(length) if flags[place] == 0]
        assert len(places) == 5
        assert max(places) < length - blanks
        assert (flags == -1).sum() == length - 5
        assert told.tolist() == [numbers[place].item() for place in places]


def test_every_set_of_places_is_as_likely_as_another() -> None:
    flags = Denoising(9, 3).draw(6000, generator()).inputs[:, :6, 1]
    # Five of six places: one is left out.
    left_out = Counter((flags == -1).int().argmax(dim=1).tolist())
    assert sorted(left_out) == list(range(6))
    assert all(abs(count - 1000) < 120 for count in left_out.values())


@pytest.mark.parametrize(
    ("length", "blanks", "words"),
    [
        (0, 0, ["--length 0", "use 1 or more"]),
        (4, 0, ["--length 4", "use --length 5 or more"]),
        (400, 396, ["--length 400", "--blanks 396", "use --length 401 or more"]),
        (400, -1, ["--blanks -1", "use 0 or more"]),
    ],
)
def test_bad_sizes_are_refused(length: int, blanks: int, words: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        Denoising(length, blanks)
    for word in words:
        assert word in str(refusal.value)
