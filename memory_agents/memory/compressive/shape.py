"""Sizes of the memories of every layer, and whether they fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch as th

from memory_agents.nn import compression_registry
from memory_agents.nn.arguments import check_integers

#: Integers: a tensor, or an array of NumPy.
Numbers = TypeVar("Numbers", bound=Any)


@dataclass(frozen=True)
class MemoryShape:
    """
    Sizes of the two memories.

    :param memory_length: M, tokens of recent memory; 0 for none: a token then sees itself and nothing else
    :param compressed_length: N, slots of compressed memory; 0 for none
    :param compression_rate: c, tokens per slot
    :param block_length: B, tokens that leave the recent memory together
    :param interleaved: whether slot i of the k of a block stands for its tokens i, i + k, i + 2 k, ..., in place of c
        tokens in a row
    :raises ValueError: when the sizes do not fit together
    """

    memory_length: int
    compressed_length: int
    compression_rate: int
    block_length: int
    interleaved: bool = False

    def __post_init__(self) -> None:
        m, n, c, b = self.memory_length, self.compressed_length, self.compression_rate, self.block_length
        check_integers(least=0, memory_length=m, compressed_length=n)
        check_integers(compression_rate=c, block_length=b)
        if n > 0 and b % c:
            fitting = c * max(1, min(b, m) // c)
            more = f" and memory_length={fitting}" if fitting > m else ""
            raise ValueError(
                f"block_length={b} must be a multiple of compression_rate={c}; use block_length={fitting}{more}"
            )
        if n > 0 and m == 0:
            raise ValueError(
                f"compressed_length={n} has no recent memory to be filled from where memory_length=0; use "
                f"memory_length={b} or more there, or compressed_length=0 (both may be lists, a number for each layer)"
            )
        if b > max(m, 1):
            raise ValueError(
                f"block_length={b} must not exceed memory_length={m}: a block leaves the recent memory whole (it has "
                f"compression_rate steps where block_length is not given); use memory_length={b} or more"
            )
        if n > 0 and n < self.slots_per_block:
            raise ValueError(
                f"compressed_length={n} cannot hold the {self.slots_per_block} slots of one block "
                f"(block_length={b} / compression_rate={c}); "
                f"use compressed_length={self.slots_per_block} or more, or 0 for none"
            )

    @property
    def slots_per_block(self) -> int:
        """Slots that one block becomes; 0 without a compressed memory."""
        return self.block_length // self.compression_rate if self.compressed_length else 0

    @property
    def ring_length(self) -> int:
        """Rows of the recent ring: the newest token and the M before it."""
        return self.memory_length + 1

    @property
    def n_positions(self) -> int:
        """Relative positions: distances 0 to M, then slot ranks 0 (the newest) to N - 1."""
        return self.ring_length + self.compressed_length

    def blocks_left(self, tokens: th.Tensor) -> th.Tensor:
        """
        :param tokens: token numbers e, any shape
        :return: E(e) = max(0, ceil((e - M) / B)), blocks that have left the recent memory before token e is processed
        """
        return (tokens - (self.memory_length - self.block_length + 1)).clamp_min(0) // self.block_length

    @property
    def slot_stride(self) -> int:
        """Tokens from one that a slot stands for to the next."""
        return self.slots_per_block if self.interleaved else 1

    def first_tokens(self, numbers: Numbers) -> Numbers:
        """
        :param numbers: numbers of slots, any shape
        :return: the number of the first token that each stands for
        """
        first: Numbers = numbers * self.compression_rate
        if self.interleaved:
            first = numbers // self.slots_per_block * self.block_length + numbers % self.slots_per_block
        return first

    def slot_times(self, numbers: th.Tensor) -> th.Tensor:
        """
        :param numbers: numbers of slots, any shape
        :return: the mean number of the tokens that each stands for, float64
        """
        return self.first_tokens(numbers).double() + self.slot_stride * (self.compression_rate - 1) / 2

    def block_leaves(self, tokens: th.Tensor) -> th.Tensor:
        """
        :param tokens: token numbers e, any shape
        :return: whether a block leaves at the end of step e
        """
        past = tokens - self.memory_length
        return (past >= 0) & (past % self.block_length == 0)


def memory_shapes(
    memory_length: int | Sequence[int],
    compressed_length: int | Sequence[int],
    n_layers: int,
    compression_rate: int,
    block_length: int | None,
    compression: str,
    recurrence_delay: int | None,
) -> tuple[MemoryShape, ...]:
    """
    :param memory_length: recent memory, one number, or one for each layer
    :param compressed_length: slots, one number, or one for each layer
    :param n_layers: number of layers
    :param compression_rate: tokens per slot
    :param block_length: tokens that leave together; None for as few as possible
    :param compression: name of the compression function
    :param recurrence_delay: steps after which memories become outputs; None for never
    :return: sizes of the memories of every layer
    :raises ValueError: when they do not fit together
    """
    function = compression_registry[compression]
    least_block = compression_rate * getattr(function, "least_slots", 1)
    interleaved = getattr(function, "interleaved", False)
    pairs = zip(
        _per_layer("memory_length", memory_length, n_layers),
        _per_layer("compressed_length", compressed_length, n_layers),
        strict=True,
    )
    shapes = tuple(
        MemoryShape(m, n, compression_rate, _block_length(block_length, m, n, least_block), interleaved and n > 0)
        for m, n in pairs
    )
    for shape in shapes:
        if shape.compressed_length and shape.block_length < least_block:
            raise ValueError(
                f"compression={compression!r} on blocks of {shape.slots_per_block} slots would be another "
                f"compression function; use block_length={least_block} or more, got {shape.block_length}"
            )
        _check_delay(recurrence_delay, shape)
    return shapes


def _per_layer(name: str, value: Any, n_layers: int) -> tuple[Any, ...]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        return n_layers * (value,)
    if len(value) != n_layers:
        raise ValueError(
            f"{name}={value!r} holds {len(value)} numbers for n_layers={n_layers}; "
            "give one for each layer, or one for all"
        )
    return tuple(value)


def _block_length(block_length: int | None, memory_length: int, compressed_length: int, rate: int) -> int:
    if memory_length == 0 and compressed_length == 0:
        return 1
    if block_length is None:
        return rate if compressed_length else 1
    return block_length


def _check_delay(delay: int | None, shape: MemoryShape) -> None:
    longest = shape.memory_length - shape.block_length + 1
    if delay is not None and shape.memory_length and delay > longest:
        raise ValueError(
            f"recurrence_delay={delay} must not exceed {longest} where memory_length={shape.memory_length} and "
            f"block_length={shape.block_length}, because what leaves the recent memory has the layer's outputs; "
            f"use recurrence_delay={longest}"
        )
