"""Randomness that follows from a seed alone, and leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch as th


def random_state(device: th.device | str = "cpu") -> list[th.Tensor]:
    """
    :param device: where else than on the CPU there is drawing
    :return: from where on PyTorch draws, for :func:`set_random_state`
    """
    device = th.device(device)
    return [th.get_rng_state(), *([th.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(states: Sequence[th.Tensor], device: th.device | str = "cpu") -> None:
    """
    :param states: what :func:`random_state` returned, on the CPU
    :param device: the same kind of device
    """
    th.set_rng_state(states[0])
    for state in states[1:]:
        th.cuda.set_rng_state(state, device)


@contextmanager
def seeded(seed: int, device: th.device | str = "cpu") -> Iterator[None]:
    """
    While it lasts PyTorch draws from a seed, on the CPU and on one device; afterwards from where it was. No other
    device is touched.

    :param seed: where to begin
    :param device: where else there is drawing
    """
    device = th.device(device)
    with th.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Unlike torch.manual_seed, which seeds all devices.
        th.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with th.cuda.device(device):
                th.cuda.manual_seed(seed)
        yield
