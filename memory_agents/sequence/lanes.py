"""A text as streams that are read side by side."""

from __future__ import annotations

from collections.abc import Iterator

import torch as th

from memory_agents.nn.arguments import check_integers
from memory_agents.sequence.batch import SequenceBatch
from memory_agents.sequence.text import BEFORE


def training_batches(
    text: th.Tensor, batch_size: int, window: int, seed: int = 0, skip: int = 0
) -> Iterator[SequenceBatch]:
    """
    Read a text for ever, ``batch_size`` readers at a time, each a window further in every batch, and from the text's
    end on to its beginning. Memory is to be forgotten there, and before the first window of all. Each reader comes by
    every character once in as many batches as there are windows. All together do so in a round of windows /
    ``batch_size`` batches, where that is a whole number: they begin at equal distances. Where it is none, distances
    differ by a window, and in a round of so many batches, rounded up, they come by some windows twice, by fewer than
    there are readers.

    A text that is no multiple of the window long ends with tokens that are not scored, so that windows always begin a
    multiple of their length after memory did: segments remain segments.

    :param text: bytes, (length,) uint8
    :param batch_size: readers
    :param window: tokens of a batch
    :param seed: decides where they begin
    :param skip: batches that have been read; the first one after them forgets what was before
    :return: batches without end
    :raises ValueError: when a number is out of bounds, or there are fewer windows than readers
    """
    check_integers(batch_size=batch_size, window=window)
    check_integers(least=0, seed=seed, skip=skip)
    windows = _windows(text, window)
    if windows < batch_size:
        raise ValueError(
            f"batch_size={batch_size} readers begin at different windows, of which there are {windows}; "
            f"give a longer text, or a batch_size of at most {windows}"
        )
    begin = int(th.randint(windows, (), generator=th.Generator().manual_seed(seed)))
    first = begin + th.arange(batch_size) * windows // batch_size
    return _read_on(text, first, window, skip)


def _read_on(text: th.Tensor, first: th.Tensor, window: int, skip: int) -> Iterator[SequenceBatch]:
    windows = _windows(text, window)
    number = skip
    while True:
        batch = _window(text, (first + number) % windows, window)
        if number == skip:
            batch.starts[:, 0] = True
        yield batch
        number += 1


def evaluation_batches(text: th.Tensor, lanes: int, window: int) -> Iterator[SequenceBatch]:
    """
    Read a text once, cut into lanes of equal length: every character is scored once, the first ones, too. Memory begins
    anew at the beginning of a lane, and is carried to its end.

    :param text: bytes, (length,) uint8
    :param lanes: how many to read side by side
    :param window: tokens of a batch
    :return: the batches; where lanes end later than the text, tokens are not scored
    :raises ValueError: when a number is out of bounds
    """
    check_integers(lanes=lanes, window=window)
    length = -(-_windows(text, window) // lanes)
    # There may be fewer windows than lanes.
    first = th.arange(min(lanes, _windows(text, window))) * length
    for number in range(length):
        batch = _window(text, first + number, window)
        batch.starts[:, 0] |= number == 0
        yield batch


def _windows(text: th.Tensor, window: int) -> int:
    return -(-len(text) // window)


def _window(text: th.Tensor, numbers: th.Tensor, window: int) -> SequenceBatch:
    """
    :param text: (length,) uint8
    :param numbers: of windows, (batch,)
    :param window: their length
    :return: these windows: to every character of them the one before it
    """
    at = numbers[:, None] * window + th.arange(window)
    inside = at < len(text)
    targets = text[at.clamp_max(len(text) - 1)].long()
    tokens = text[(at - 1).clamp(0, len(text) - 1)].long().masked_fill(at == 0, BEFORE)
    return SequenceBatch(tokens, targets, inside, at == 0)
