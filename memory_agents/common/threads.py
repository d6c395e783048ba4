"""How many threads a step of acting is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from weakref import WeakKeyDictionary

import torch as th
from torch import nn

#: Parameters times environments up to which a step on the CPU is taken by one thread: each of its operations is over
#: before a second one has been woken, which takes long where other work is on its core.
SMALL_STEP = 2**22

#: Parameters of policies, which take long to count.
_sizes: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def step_threads(policy: nn.Module, n_envs: int) -> AbstractContextManager[None]:
    """
    :param policy: who acts
    :param n_envs: in how many environments
    :return: a context for a step: of one thread where the step is small, otherwise of as many as PyTorch has
    """
    return _one_thread() if n_envs * _size_on_cpu(policy) <= SMALL_STEP else nullcontext()


def _size_on_cpu(policy: nn.Module) -> float:
    """Number of parameters, endless elsewhere than on the CPU."""
    first = next(policy.parameters())
    if first.device.type != "cpu":
        return math.inf
    if policy not in _sizes:
        _sizes[policy] = sum(parameter.numel() for parameter in policy.parameters())
    return _sizes[policy]


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = th.get_num_threads()
    th.set_num_threads(1)
    try:
        yield
    finally:
        th.set_num_threads(threads)
