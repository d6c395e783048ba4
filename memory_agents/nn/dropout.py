"""Dropout that costs nothing where nothing is dropped."""

from __future__ import annotations

from torch import nn

from memory_agents.nn.arguments import check_dropout


def dropout_layer(probability: float) -> nn.Module:
    """
    :param probability: with which training drops a number
    :return: what drops it; where that is never, something that hands on what it gets
    :raises ValueError: when that is no probability below 1
    """
    check_dropout(probability)
    return nn.Dropout(probability) if probability else nn.Identity()
