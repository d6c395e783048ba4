"""Texts to model character by character."""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch as th

from memory_agents.nn.arguments import check_integers

#: Tokens are bytes, all of them: bits per character are then those in which the very file could be written down, the
#: number of parameters does not depend on the text, and no part of it tells anything about another.
VOCABULARY_SIZE = 256
#: What stands before a text: the first character is foretold from a line's end.
BEFORE = ord("\n")
#: Fewest bytes that can be split.
LEAST_BYTES = 20

#: Folders of the standard library that are left out: what was installed beside it, tests, and programs that some
#: distributions ship by themselves.
LEFT_OUT_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idlelib", "lib2to3", "turtledemo"}
)
#: Files that are the machine's and not Python's.
LEFT_OUT_FILES = ("_sysconfigdata", "sitecustomize", "usercustomize")


@dataclass(frozen=True)
class Corpus:
    """
    A text in three parts, one after the other: 90% to learn from, 5% to validate by, 5% to test by, as enwik8 is split.

    :param name: what it is
    :param size: bytes
    :param sha256: of all three parts together
    :param train: its bytes, (size * 9 // 10,) uint8
    :param validation: (size // 20,) uint8
    :param test: what remains, uint8
    """

    name: str
    size: int
    sha256: str
    train: th.Tensor
    validation: th.Tensor
    test: th.Tensor


def make_corpus(name: str, content: bytes) -> Corpus:
    """
    :param name: what the text is
    :param content: the text
    :return: the same in three parts
    :raises ValueError: when it is too short for that
    """
    if len(content) < LEAST_BYTES:
        raise ValueError(f"the text has {len(content)} bytes, too few for three parts; give {LEAST_BYTES} or more")
    tokens = th.frombuffer(bytearray(content), dtype=th.uint8)
    validation = len(content) * 9 // 10
    test = validation + len(content) // 20
    parts = (tokens[:validation], tokens[validation:test], tokens[test:])
    return Corpus(name, len(content), hashlib.sha256(content).hexdigest(), *parts)


def read_corpus(path: Path | None = None, max_bytes: int | None = None) -> Corpus:
    """
    :param path: a file, whatever it holds: enwik8 is one; None for :func:`standard_library`
    :param max_bytes: read no more than so many bytes from its beginning; None for all
    :return: the text in three parts
    :raises ValueError: when the file cannot be read or the text is too short
    """
    if max_bytes is not None:
        check_integers(least=LEAST_BYTES, max_bytes=max_bytes)
    if path is None:
        return make_corpus(f"Python {platform.python_version()}'s standard library", standard_library()[:max_bytes])
    try:
        with path.open("rb") as file:
            content = file.read(-1 if max_bytes is None else max_bytes)
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read ({error.strerror}); give a file, such as enwik8") from error
    return make_corpus(path.name, content)


def standard_library(root: Path | None = None) -> bytes:
    """
    The sources of Python's standard library, one after the other in the order of their paths: a text that every machine
    has. It differs between versions of Python, and may between its distributions; whoever reports a result on it
    reports the hash, too.

    :param root: where it is; None for the running interpreter's
    :return: the text
    """
    top = Path(sysconfig.get_paths()["stdlib"]) if root is None else root
    found = {}
    for folder, folders, files in os.walk(top):
        # What is taken away here is not walked through.
        folders[:] = [name for name in folders if name not in LEFT_OUT_FOLDERS and not name.startswith("config-")]
        for name in files:
            if name.endswith(".py") and not name.startswith(LEFT_OUT_FILES):
                path = Path(folder, name)
                found[path.relative_to(top).as_posix()] = path
    return b"".join(found[name].read_bytes() for name in sorted(found))


def encode(text: str) -> th.Tensor:
    """
    :param text: what a model shall read
    :return: its tokens, and before them what stands before every text, (1, length + 1) int64
    """
    return th.tensor([[BEFORE, *text.encode()]])


def decode(tokens: th.Tensor) -> str:
    """
    :param tokens: (length,)
    :return: as text; what is not UTF-8 becomes a replacement character
    """
    return bytes(tokens.tolist()).decode(errors="replace")
