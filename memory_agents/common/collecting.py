"""How policies compute while they collect."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch as th
from torch import nn

#: Packages whose modules keep no tensor of a step for later.
KNOWN = ("torch", "stable_baselines3", "sb3_contrib", "memory_agents")


def collecting(policy: nn.Module) -> Callable[[], AbstractContextManager[None]]:
    """
    Without gradients, and a fifth quicker than that where PyTorch need not keep books of views and versions. What is
    made so can be part of no gradient later, so that it will not do where modules of somebody else compute, which may
    keep, for example, a grid of positions that they make when it is first asked for.

    :param policy: who acts
    :return: what makes a context for that; to be asked for once in a rollout
    """
    own = (type(module).__module__.partition(".")[0] not in KNOWN for module in policy.modules())
    return th.no_grad if any(own) else th.inference_mode
