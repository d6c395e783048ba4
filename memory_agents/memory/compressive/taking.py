"""Rows of batched tensors, by a different index in each batch entry."""

from __future__ import annotations

import torch as th


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
