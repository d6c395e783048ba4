"""Small character-model runs for tests."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from memory_agents.benchmarks.sequence.characters import CharacterConfig
from memory_agents.sequence.text import Corpus, make_corpus

#: Sizes with which an update takes milliseconds.
TINY: dict[str, Any] = dict(
    n_layers=1, d_model=16, n_heads=2, d_feedforward=32,
    segment=8, memory_length=8, compressed_length=4, batch_size=3,
    pretrain_updates=4, cotrain_updates=6, warmup=1, validate_every=5, validation_bytes=200,
    test_lanes=3,
)  # fmt: skip
#: The same as words of the command line.
ARGS = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def tiny(agent: str, **settings: Any) -> CharacterConfig:
    """
    :param agent: name of the memory
    :param settings: what shall differ from :data:`TINY`
    :return: a run's arguments
    """
    return CharacterConfig.of(agent, {**TINY, **settings})


def periodic_text(size: int, period: int = 16, times: int = 8, seed: int = 0) -> bytes:
    """
    Words of 8 letters' randomness that are said several times each: 3 bits for a letter without memory, and
    3 / ``times`` for whoever remembers the one ``period`` letters ago.

    :param size: bytes
    :param period: length of a word
    :param times: how often it is said
    :param seed: of the words
    :return: the text
    """
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefgh", k=period)) * times for _ in range(size // (period * times) + 1)]
    return "".join(words)[:size].encode()


def tiny_corpus(size: int = 2000) -> Corpus:
    """
    :param size: bytes
    :return: a text that is quickly read
    """
    return make_corpus("periodic", periodic_text(size))


def write_text(folder: Path, size: int = 2000) -> Path:
    """
    :param folder: where to write
    :param size: bytes
    :return: a file with the same text
    """
    path = folder / "periodic"
    path.write_bytes(periodic_text(size))
    return path
