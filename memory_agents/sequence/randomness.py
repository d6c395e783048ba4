"""Randomness that follows from a seed alone, and leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch as th


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
