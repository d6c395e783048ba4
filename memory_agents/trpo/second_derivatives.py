"""Kernels of PyTorch that can be differentiated twice, which Hessian-vector products need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch as th
from torch.nn.attention import SDPBackend, sdpa_kernel

#: Libraries whose recurrent layers have gradients, but no gradients of these.
LIBRARIES: tuple[Any, ...] = (th.backends.mkldnn, th.backends.cudnn)


@contextmanager
def second_derivatives() -> Iterator[None]:
    """
    While it lasts attention and recurrent layers avoid the kernels whose gradients have no gradient: fused attention,
    and the recurrent layers of oneDNN and cuDNN.
    """
    before = [library.enabled for library in LIBRARIES]
    try:
        for library in LIBRARIES:
            library.enabled = False
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for library, enabled in zip(LIBRARIES, before, strict=True):
            library.enabled = enabled
