"""Rows of batched tensors, by a different index in each batch entry."""

from __future__ import annotations

import torch as th

from memory_agents.memory.state import per_entry
from memory_agents.nn.tracing import is_traced


def take(rows: th.Tensor, index: th.Tensor) -> th.Tensor:
    """
    :param rows: (batch, length, width)
    :param index: which of them, (batch, ...) int64
    :return: (batch, ..., width)
    """
    flat = index.flatten(1)[:, :, None].expand(-1, -1, rows.shape[2])
    return rows.gather(1, flat).view(*index.shape, rows.shape[2])


def take_written(rows: th.Tensor, index: th.Tensor, written: th.Tensor) -> th.Tensor:
    """
    :param rows: (batch, length, width)
    :param index: which of them, (batch, ...) int64
    :param written: whether there is such a row, (batch, ...) bool
    :return: (batch, ..., width), zeros where there is none
    """
    return take(rows, index).masked_fill(~written[..., None], 0)


def take_numbers(numbers: th.Tensor, index: th.Tensor) -> th.Tensor:
    """
    :param numbers: (batch, length)
    :param index: which of them, (batch, ...) int64
    :return: (batch, ...)
    """
    return numbers.gather(1, index.flatten(1)).view(index.shape)


def put_(rows: th.Tensor, index: tuple[th.Tensor, th.Tensor], values: th.Tensor, where: th.Tensor) -> None:
    """
    Write rows of some batch entries.

    :param rows: (batch, length, ...), changed
    :param index: batch entries, (n, 1), and which of their rows, (n, k)
    :param values: what they shall be, (n, k, ...)
    :param where: whether a batch entry is to be written, (batch,) bool; looked at only in a graph, where the entries
        are all there are
    """
    if is_traced():
        values = th.where(per_entry(where, values), values, rows[index])
    rows[index] = values
