"""How many threads a step of acting is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch as th
from torch import nn

#: Parameters times environments up to which a step on the CPU is taken by one thread: each of its operations is over
#: before a second one has been woken, which takes long where other work is on its core.
SMALL_STEP = 2**22


def step_threads(policy: nn.Module, n_envs: int) -> Callable[[], AbstractContextManager[None]]:
    """
    :param policy: who acts
    :param n_envs: in how many environments
    :return: what makes a context for a step: of one thread where the step is small, otherwise of as many as PyTorch has
    """
    parameters = list(policy.parameters())
    work = n_envs * sum(parameter.numel() for parameter in parameters)
    on_cpu = all(parameter.device.type == "cpu" for parameter in parameters)
    return _one_thread if on_cpu and work <= SMALL_STEP else nullcontext


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = th.get_num_threads()
    th.set_num_threads(1)
    try:
        yield
    finally:
        th.set_num_threads(threads)
