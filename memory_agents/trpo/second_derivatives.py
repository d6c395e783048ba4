"""Kernels of PyTorch that can be differentiated twice, which Hessian-vector products need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch as th
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def second_derivatives() -> Iterator[None]:
    """
    While it lasts attention and recurrent layers avoid the kernels whose gradients have no gradient: fused attention,
    and the recurrent layers of oneDNN and cuDNN.
    """
    with (
        sdpa_kernel(SDPBackend.MATH),
        th.backends.mkldnn.flags(enabled=False),
        th.backends.cudnn.flags(enabled=False),
    ):
        yield
