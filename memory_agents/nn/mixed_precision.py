"""Number formats of learning, and operations that take numbers of several formats, as autocast makes them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch as th

#: Number formats that learning can be asked for, beside single precision.
FORMATS: dict[str, th.dtype] = {"bfloat16": th.bfloat16}


def widened(x: th.Tensor) -> th.Tensor:
    """
    :param x: numbers of any format
    :return: in single precision if their format is narrower, as losses are computed
    """
    return x.float() if x.dtype in FORMATS.values() else x


def exact(device: th.device) -> AbstractContextManager[Any]:
    """
    :param device: where is computed
    :return: while it lasts, products are in the format of what is multiplied, whatever autocast says around it
    """
    available = th.amp.is_autocast_available(device.type)
    return th.autocast(device.type, enabled=False) if available else nullcontext()


def lerp(start: th.Tensor, end: th.Tensor, weight: th.Tensor) -> th.Tensor:
    """
    :param start: (...)
    :param end: (...)
    :param weight: (...)
    :return: ``(1 - weight) * start + weight * end``, in the widest of their formats
    """
    dtype = th.promote_types(th.promote_types(start.dtype, end.dtype), weight.dtype)
    return th.lerp(start.to(dtype), end.to(dtype), weight.to(dtype))
