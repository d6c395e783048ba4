"""
The algorithmic tasks of the Recurrent Memory Transformer paper (Bulatov et al. 2022, arXiv 2207.06881, section 4.1).

A sequence is a source, a mark, and an answer, which is foretold token by token while its true tokens are read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch as th
from numpy.typing import NDArray

from memory_agents.nn.arguments import check_integers
from memory_agents.nn.registry import Registry
from memory_agents.sequence.batch import SequenceBatch

#: Sequences of one task, side by side: tokens, and whether each belongs to an answer, (n, length) each.
Drawn = tuple[NDArray[np.int64], NDArray[np.bool_]]


class SequenceTask(ABC):
    """
    A source of independent sequences.

    Derived classes set ``vocabulary_size``, and ``length``, the tokens that are read of a sequence: all but the last.
    """

    vocabulary_size: int
    length: int

    @abstractmethod
    def sequences(self, n: int, rng: np.random.Generator) -> Drawn:
        """
        :param n: how many
        :param rng: source of randomness
        :return: tokens, and whether each is to be foretold, (n, length + 1) each
        """

    def answers(self, batch: SequenceBatch) -> SequenceBatch:
        """
        :param batch: what :meth:`draw` returned
        :return: the same, with nothing scored but what the task is judged by
        """
        return batch

    def draw(self, n: int, rng: np.random.Generator) -> SequenceBatch:
        """
        :param n: how many sequences
        :param rng: source of randomness
        :return: the sequences, each beginning with an empty memory
        """
        check_integers(n=n)
        tokens, scored = self.sequences(n, rng)
        read = th.as_tensor(tokens[:, :-1])
        starts = th.zeros_like(read, dtype=th.bool)
        starts[:, 0] = True
        return SequenceBatch(read, th.as_tensor(tokens[:, 1:]), th.as_tensor(scored[:, 1:]), starts)

    def segment_length(self, n_segments: int) -> int:
        """
        :param n_segments: into how many segments sequences shall be split
        :return: their length; where it does not come out even, the last one is shorter
        :raises ValueError: when no length gives so many
        """
        check_integers(n_segments=n_segments)
        length = -(-self.length // n_segments)
        if -(-self.length // length) != n_segments:
            fitting = [n for n in range(1, self.length + 1) if -(-self.length // -(-self.length // n)) == n]
            near = min(fitting, key=lambda n: abs(n - n_segments))
            raise ValueError(f"n_segments={n_segments} does not split {self.length} tokens; use {near}")
        return length


#: Tasks by name.
task_registry: Registry[type[SequenceTask]] = Registry("sequence task")


class _Repetition(SequenceTask):
    """
    Random symbols, a mark, and the symbols again in some form.

    :param n_symbols: symbols in a source
    :param alphabet: different symbols there are
    """

    def __init__(self, n_symbols: int = 24, alphabet: int = 10) -> None:
        check_integers(n_symbols=n_symbols)
        check_integers(least=2, alphabet=alphabet)
        self.n_symbols, self.alphabet = n_symbols, alphabet
        # The mark comes first.
        self.vocabulary_size = 1 + alphabet
        answer = self.answer(np.zeros((1, n_symbols), np.int64)).shape[1]
        self.length = n_symbols + answer

    @abstractmethod
    def answer(self, source: NDArray[np.int64]) -> NDArray[np.int64]:
        """
        :param source: (n, n_symbols)
        :return: what is to be foretold, (n, answer length)
        """

    def sequences(self, n: int, rng: np.random.Generator) -> Drawn:
        source = rng.integers(1, 1 + self.alphabet, (n, self.n_symbols))
        answer = self.answer(source)
        tokens = np.concatenate([source, np.zeros((n, 1), np.int64), answer], axis=1)
        scored = np.zeros(tokens.shape, np.bool_)
        scored[:, self.n_symbols + 1 :] = True
        return tokens, scored


@task_registry.register("copy")
class Copy(_Repetition):
    """
    The symbols twice, in their order: with 24 symbols 72 tokens are read, the last 48 answers are scored.

    :param n_symbols: symbols in a source
    :param alphabet: different symbols there are
    """

    def answer(self, source: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([source, source], axis=1)


@task_registry.register("reverse")
class Reverse(_Repetition):
    """
    The symbols from last to first: with 24 symbols 48 tokens are read, the last 24 answers are scored.

    :param n_symbols: symbols in a source
    :param alphabet: different symbols there are
    """

    def answer(self, source: NDArray[np.int64]) -> NDArray[np.int64]:
        return source[:, ::-1]


@task_registry.register("retrieval")
class Retrieval(SequenceTask):
    """
    Pairs of a key and a value, then one of the keys, a mark, and its value: with four pairs 10 tokens are read and one
    answer is scored. Keys of a sequence differ, values need not.

    :param n_pairs: pairs in a sequence
    :param n_keys: different keys there are
    :param n_values: different values there are
    """

    def __init__(self, n_pairs: int = 4, n_keys: int = 10, n_values: int = 10) -> None:
        check_integers(n_pairs=n_pairs, n_keys=n_keys)
        check_integers(least=2, n_values=n_values)
        if n_keys < n_pairs:
            raise ValueError(f"n_keys={n_keys} are too few for n_pairs={n_pairs}; use n_keys={n_pairs} or more")
        self.n_pairs, self.n_keys, self.n_values = n_pairs, n_keys, n_values
        self.vocabulary_size = 1 + n_keys + n_values
        self.length = 2 * n_pairs + 2

    def sequences(self, n: int, rng: np.random.Generator) -> Drawn:
        keys = rng.random((n, self.n_keys)).argsort(axis=1)[:, : self.n_pairs]
        values = rng.integers(self.n_values, size=(n, self.n_pairs))
        asked = rng.integers(self.n_pairs, size=(n, 1))
        tokens = np.zeros((n, self.length + 1), np.int64)
        tokens[:, 0 : 2 * self.n_pairs : 2] = 1 + keys
        tokens[:, 1 : 2 * self.n_pairs : 2] = 1 + self.n_keys + values
        tokens[:, -3:-2] = np.take_along_axis(tokens[:, 0 : 2 * self.n_pairs : 2], asked, axis=1)
        tokens[:, -1:] = np.take_along_axis(tokens[:, 1 : 2 * self.n_pairs : 2], asked, axis=1)
        scored = np.zeros(tokens.shape, np.bool_)
        scored[:, -1] = True
        return tokens, scored
