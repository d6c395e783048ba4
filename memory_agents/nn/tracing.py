"""
Steps as graphs: in one that ``torch.export`` or ``torch.compile`` makes, or that a GPU replays, what is computed cannot
depend on how many episodes start or how many blocks are full. There it is computed for all, and masks pick what counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch as th

_static: ContextVar[bool] = ContextVar("static_shapes", default=False)


@contextmanager
def static_shapes() -> Iterator[None]:
    """While it lasts steps compute the same operations whatever the numbers are, and never wait for a device."""
    token = _static.set(True)
    try:
        yield
    finally:
        _static.reset(token)


def is_traced() -> bool:
    """
    :return: whether what runs is being made into a graph
    """
    return bool(th.compiler.is_compiling()) or _static.get()
