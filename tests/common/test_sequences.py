"""Window sizes: defaults that fit, errors that mend."""

import re
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from memory_agents.common.sequences import (
    check_sequence_length,
    default_batch_size,
    default_sequence_length,
    rollout_sizes,
)


@pytest.mark.parametrize(
    ("n_steps", "batch_size", "length"),
    [
        (8, None, 8),
        (128, None, 128),
        (131, None, 131),
        (256, None, 256),
        (300, None, 100),
        (384, None, 128),
        (2048, None, 128),
        (128, 64, 64),
        (2048, 512, 128),
        (16 * 131, None, 16),
    ],
)
def test_default_windows(n_steps: int, batch_size: int | None, length: int) -> None:
    assert default_sequence_length(n_steps, batch_size) == length


def test_windows_of_fewer_than_16_steps_must_be_asked_for() -> None:
    with pytest.raises(ValueError, match="n_steps=1965 would give training windows of length 15 only"):
        default_sequence_length(15 * 131, None)
    sizes = dict(rollout_size=2048, shortest=128)
    assert rollout_sizes(1, 15 * 131, 15, None, **sizes).sequence_length == 15


@given(st.integers(1, 4096), st.none() | st.integers(1, 4096))
def test_default_windows_fit_or_the_error_names_sizes_that_do(n_steps: int, batch_size: int | None) -> None:
    try:
        length = default_sequence_length(n_steps, batch_size)
    except ValueError as error:
        mended = re.search(r"use n_steps=(\d+)(?: and batch_size=(\d+))?,", str(error))
        assert mended
        n_steps = int(mended[1])
        batch_size = None if mended[2] is None else int(mended[2])
        length = default_sequence_length(n_steps, batch_size)
    assert n_steps % length == 0
    assert batch_size is None or batch_size % length == 0


@given(st.integers(1, 256), st.integers(1, 64))
def test_default_minibatches_divide_the_rollout_into_whole_windows(length: int, n_windows: int) -> None:
    batch = default_batch_size(length * n_windows, length)
    assert batch % length == 0
    assert (length * n_windows) % batch == 0
    if n_windows % 4 == 0 and batch > 1:
        assert batch in (length * n_windows // 4, 2)
    assert batch > 1 or length * n_windows == 1


def test_minibatches_come_as_near_to_a_quarter_as_a_factor_can_tell() -> None:
    # Of 22 windows 5.5 would be a quarter; 11 are twice as many, 2 are fewer than half.
    assert default_batch_size(22 * 8, 8) == 11 * 8
    assert default_batch_size(6 * 8, 8) == 2 * 8


@example(n_envs=10, rollout_size=2048, shortest=128)
@given(n_envs=st.integers(1, 300), rollout_size=st.integers(1, 4096), shortest=st.integers(16, 256))
def test_a_rollout_is_by_default_as_long_as_its_size_allows(n_envs: int, rollout_size: int, shortest: int) -> None:
    sizes = rollout_sizes(n_envs, None, shortest, None, rollout_size=rollout_size, shortest=shortest)
    assert sizes.n_steps % shortest == 0
    assert sizes.n_steps == shortest or sizes.n_steps * n_envs <= rollout_size
    assert (sizes.n_steps + shortest) * n_envs > rollout_size


def test_rollouts_that_are_not_of_whole_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="n_steps=100 must be a multiple of sequence_length=32"):
        rollout_sizes(2, 100, 32, 32, rollout_size=2048, shortest=128)


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="n_steps must be a positive integer, got 0"):
        rollout_sizes(2, 0, None, None, rollout_size=2048, shortest=128)


@given(st.integers(1, 300), st.integers(1, 3000))
def test_a_mended_size_fits(length: int, value: int) -> None:
    assume(value % length)
    with pytest.raises(
        ValueError, match=f"batch_size={value} must be a multiple of sequence_length={length}"
    ) as caught:
        check_sequence_length(length, batch_size=value)
    mended = re.search(r"use batch_size=(\d+) or sequence_length=(\d+)", str(caught.value))
    assert mended
    check_sequence_length(length, batch_size=int(mended[1]))
    nearest = int(mended[2])
    check_sequence_length(nearest, batch_size=value)
    closer = range(length - abs(length - nearest) + 1, length + abs(length - nearest))
    assert not [other for other in closer if other > 0 and value % other == 0]


def test_a_mended_length_fits_all_sizes() -> None:
    with pytest.raises(ValueError, match=r"n_steps=2048 must be .*; use n_steps=2051 or sequence_length=8$"):
        check_sequence_length(7, n_steps=2048)
    with pytest.raises(ValueError, match=r"batch_size=36 must be .*; use batch_size=32 or sequence_length=4$"):
        check_sequence_length(8, n_steps=32, batch_size=36)


@pytest.mark.parametrize("value", [0, -3, 2.0, "8", True])
def test_sizes_are_positive_integers(value: Any) -> None:
    with pytest.raises(ValueError, match="batch_size must be a positive integer, got"):
        check_sequence_length(2, batch_size=value)


@pytest.mark.parametrize("length", [0, -1, 2.0, True])
def test_sequence_length_is_a_positive_integer(length: int) -> None:
    with pytest.raises(ValueError, match="sequence_length must be a positive integer"):
        check_sequence_length(length)
