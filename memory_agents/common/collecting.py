"""How policies compute while they collect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch as th
from torch import nn

from memory_agents.common.threads import step_threads

#: Packages whose modules keep no tensor of a step for later.
KNOWN = ("torch", "stable_baselines3", "sb3_contrib", "memory_agents")


def collecting(policy: nn.Module, n_envs: int) -> Callable[[], AbstractContextManager[None]]:
    """
    Without gradients, and a fifth quicker than that where PyTorch need not keep books of views and versions. What is
    made so can be part of no gradient later, so that it will not do where modules of somebody else compute, which may
    keep, for example, a grid of positions that they make when it is first asked for. With as many threads as a step is
    worth.

    :param policy: who acts
    :param n_envs: in how many environments
    :return: what makes a context for a step; to be asked for once in a rollout
    """
    own = (type(module).__module__.partition(".")[0] not in KNOWN for module in policy.modules())
    gradless = th.no_grad if any(own) else th.inference_mode

    @contextmanager
    def context() -> Iterator[None]:
        with step_threads(policy, n_envs), gradless():
            yield

    return context
