"""Texts: where they come from, and how they are split."""

from __future__ import annotations

import hashlib
import platform
import sysconfig
from pathlib import Path

import pytest
import torch as th

from memory_agents.sequence.text import (
    BEFORE,
    LEFT_OUT_FOLDERS,
    decode,
    encode,
    make_corpus,
    read_corpus,
    standard_library,
)


@pytest.mark.parametrize("size", [20, 21, 39, 1000, 1234])
def test_three_parts_make_up_the_text(size: int) -> None:
    content = bytes(number * 7 % 256 for number in range(size))
    corpus = make_corpus("text", content)
    assert bytes(th.cat([corpus.train, corpus.validation, corpus.test]).tolist()) == content
    assert (len(corpus.train), len(corpus.validation)) == (size * 9 // 10, size // 20)
    assert corpus.size == size
    assert corpus.sha256 == hashlib.sha256(content).hexdigest()


def test_enwik8_is_split_as_it_always_is() -> None:
    # 90, 5 and 5 of 100 million, here of a thousandth.
    corpus = make_corpus("enwik8", b"x" * 100_000)
    assert [len(part) for part in (corpus.train, corpus.validation, corpus.test)] == [90_000, 5_000, 5_000]


def test_files_are_read_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "text8"
    path.write_bytes(bytes(range(256)) * 2)
    whole, part = read_corpus(path), read_corpus(path, max_bytes=100)
    assert (whole.name, whole.size) == ("text8", 512)
    assert part.size == 100
    assert part.sha256 == hashlib.sha256(bytes(range(100))).hexdigest()
    assert part.train.tolist() == list(range(90))


def test_bad_texts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing' cannot be read .*give a file"):
        read_corpus(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"cannot be read"):
        read_corpus(tmp_path)
    (tmp_path / "short").write_bytes(b"too short")
    with pytest.raises(ValueError, match=r"has 9 bytes.*give 20 or more"):
        read_corpus(tmp_path / "short")
    with pytest.raises(ValueError, match=r"max_bytes must be an integer of at least 20, got 5"):
        read_corpus(tmp_path / "short", max_bytes=5)


def test_of_the_standard_library_only_python_s_own_sources_are_taken(tmp_path: Path) -> None:
    files = {
        "b.py": b"second\n",
        "a/z.py": b"first\n",
        "a_.py": b"then\n",
        "a/compiled.pyc": b"no\n",
        "a/__pycache__/x.py": b"no\n",
        "a/tests/x.py": b"no\n",
        "test/x.py": b"no\n",
        "site-packages/x.py": b"no\n",
        "config-3.11-x86_64/x.py": b"no\n",
        "_sysconfigdata__linux.py": b"no\n",
        "sitecustomize.py": b"no\n",
        "readme.txt": b"no\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    # In the order of whole paths: "/" comes before "_".
    assert standard_library(tmp_path) == b"first\nthen\nsecond\n"


def test_every_machine_has_a_text() -> None:
    corpus = read_corpus(max_bytes=300_000)
    assert corpus.name == f"Python {platform.python_version()}'s standard library"
    assert corpus.size == 300_000
    assert corpus.sha256 == read_corpus(max_bytes=300_000).sha256
    whole = standard_library()
    assert len(whole) > 2_000_000
    assert whole.startswith(bytes(corpus.train.tolist()))
    root = Path(sysconfig.get_paths()["stdlib"])
    assert (root / "argparse.py").read_bytes() in whole
    assert {"site-packages", "test", "__pycache__"} <= LEFT_OUT_FOLDERS


def test_text_and_tokens() -> None:
    assert encode("aä").tolist() == [[BEFORE, ord("a"), *"ä".encode()]]
    assert decode(encode("aä")[0, 1:]) == "aä"
    assert decode(th.tensor([ord("a"), 0xFF])) == "a\N{REPLACEMENT CHARACTER}"
