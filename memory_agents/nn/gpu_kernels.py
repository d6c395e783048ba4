"""Which kernels a GPU computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch as th


@contextmanager
def single_precision(device: th.device) -> Iterator[None]:
    """
    While it lasts the recurrent kernels of a GPU compute as acting does, which multiplies in float32: left to
    themselves they take TF32, and float16 where autocast asks for bfloat16.

    :param device: where they compute; for others than GPUs nothing changes
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = th.backends.cudnn
    # Since PyTorch 2.9 formats are set kernel by kernel; where they differ, the switch for all cannot be read.
    where, name, wanted = (
        (cudnn.rnn, "fp32_precision", "ieee") if hasattr(cudnn, "rnn") else (cudnn, "allow_tf32", False)
    )
    before = getattr(where, name)
    setattr(where, name, wanted)
    try:
        with th.autocast("cuda", enabled=False):
            yield
    finally:
        setattr(where, name, before)


@contextmanager
def unplanned_attention() -> Iterator[None]:
    """
    While it lasts PyTorch's fused attention goes without cuDNN, which it would prefer in bfloat16, and which makes a
    plan for every new shape, for about as long as some hundred windows take: here shapes differ from window to window.
    """
    cuda: Any = th.backends.cuda
    allowed = cuda.cudnn_sdp_enabled()
    cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        cuda.enable_cudnn_sdp(allowed)
