"""What learning sees: a flat minibatch that knows its windows, and the sizes that make windows fit."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs

from memory_agents.nn.arguments import check_integers

#: Windows longer than this cost more in attention than gradients over that many steps have brought.
LONGEST_DEFAULT_WINDOW = 128
SHORTEST_DEFAULT_WINDOW = 16


class SequenceBatch(NamedTuple):
    """
    Windows of consecutive steps, flat as Stable-Baselines3's ``train()`` expects its minibatches. It travels where
    ``observations`` travel otherwise, so that ``train()`` need not know of memory.

    :param observations: windows * length transitions, window after window
    :param episode_starts: whether an episode starts at a step, (windows, length) bool
    :param states: policy states before the first step of each window, packed
    :param choices: what the memories themselves chose at each step, (windows, length) each; empty for those that make
        no choices
    """

    observations: PyTorchObs
    episode_starts: th.Tensor
    states: Any
    choices: Any


class RolloutSizes(NamedTuple):
    """
    :param n_steps: steps per environment and rollout
    :param sequence_length: steps per training window
    :param batch_size: transitions per minibatch
    """

    n_steps: int
    sequence_length: int
    batch_size: int


def rollout_sizes(
    n_envs: int,
    n_steps: int | None,
    sequence_length: int | None,
    batch_size: int | None,
    *,
    rollout_size: int,
    shortest: int,
) -> RolloutSizes:
    """
    Fill in the sizes that are left free.

    :param n_envs: number of environments
    :param n_steps: steps per environment and rollout (default: a multiple of ``shortest``)
    :param sequence_length: steps per training window (default: :func:`default_sequence_length`)
    :param batch_size: transitions per minibatch (default: :func:`default_batch_size`)
    :param rollout_size: transitions that a rollout has by default, over all environments
    :param shortest: the fewest steps per environment that it has by default
    :return: all three
    :raises ValueError: when ``n_steps`` is not a multiple of ``sequence_length``, or only very short windows would fit
    """
    given = {"n_steps": n_steps, "sequence_length": sequence_length, "batch_size": batch_size}
    check_integers(**{name: size for name, size in given.items() if size is not None})
    if n_steps is None:
        n_steps = shortest * max(1, rollout_size // n_envs // shortest)
    if sequence_length is None:
        sequence_length = default_sequence_length(n_steps, batch_size)
    check_sequence_length(sequence_length, n_steps=n_steps)
    if batch_size is None:
        batch_size = default_batch_size(n_steps * n_envs, sequence_length)
    return RolloutSizes(int(n_steps), int(sequence_length), int(batch_size))


def default_sequence_length(n_steps: int, batch_size: int | None) -> int:
    """
    The longest window that fits both: the whole rollout of one environment where that is short, so that gradients reach
    across it, else its largest divisor up to 128.

    :param n_steps: steps per environment and rollout
    :param batch_size: transitions per minibatch, ``None`` when still free
    :return: a divisor of both
    :raises ValueError: when only very short windows would fit
    """
    common = n_steps if batch_size is None else math.gcd(n_steps, batch_size)
    limit = n_steps if n_steps <= 2 * LONGEST_DEFAULT_WINDOW else LONGEST_DEFAULT_WINDOW
    length = max(divisor for divisor in range(1, limit + 1) if common % divisor == 0)
    if length < min(n_steps, SHORTEST_DEFAULT_WINDOW):
        given, mend = f"n_steps={n_steps}", f"n_steps={_nearest_multiple(n_steps, LONGEST_DEFAULT_WINDOW)}"
        if batch_size is not None:
            given += f" and batch_size={batch_size}"
            mend += f" and batch_size={_nearest_multiple(batch_size, LONGEST_DEFAULT_WINDOW)}"
        raise ValueError(
            f"{given} would give training windows of length {length} only; "
            f"use {mend}, or pass sequence_length to say that you want it"
        )
    return length


def default_batch_size(n_transitions: int, sequence_length: int) -> int:
    """
    :param n_transitions: transitions of a rollout
    :param sequence_length: steps of a training window
    :return: a quarter of the rollout, or what comes nearest to it, in proportion, of the sizes that divide the rollout
        into equal minibatches of whole windows
    """
    n_windows = n_transitions // sequence_length
    # A minibatch of one transition has no advantages to normalise.
    sizes = [n for n in range(1, n_windows + 1) if n_windows % n == 0 and (n * sequence_length > 1 or n == n_windows)]
    return sequence_length * min(sizes, key=lambda n: abs(math.log(4 * n / n_windows)))


def check_sequence_length(sequence_length: int, **sizes: int) -> None:
    """
    :param sequence_length: steps of a training window
    :param sizes: arguments that must be multiples of it
    :raises ValueError: naming both arguments and a value that works
    """
    check_integers(sequence_length=sequence_length, **sizes)
    for name, value in sizes.items():
        if value % sequence_length:
            common = math.gcd(*sizes.values())
            fitting = [length for length in range(1, common + 1) if common % length == 0]
            raise ValueError(
                f"{name}={value} must be a multiple of sequence_length={sequence_length}, because training windows are "
                f"whole; use {name}={_nearest_multiple(value, sequence_length)} "
                f"or sequence_length={min(fitting, key=lambda length: abs(length - sequence_length))}"
            )


def check_standardized(normalize_advantage: bool, smallest: int) -> None:
    """
    :param normalize_advantage: whether advantages are scaled to deviation 1 within every batch
    :param smallest: transitions of the smallest batch
    :raises ValueError: when that makes NaN of a batch, as one number has no deviation
    """
    if normalize_advantage and smallest == 1:
        raise ValueError(
            "normalize_advantage=True divides by the deviation of a batch's advantages, and here a batch of one "
            "transition is learned from; use normalize_advantage=False, a larger n_steps or batch_size, or a longer "
            "sequence_length"
        )


def _nearest_multiple(value: int, of: int) -> int:
    return max(1, round(value / of)) * of
