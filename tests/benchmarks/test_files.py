from __future__ import annotations

import os
from pathlib import Path

import pytest

from memory_agents.benchmarks.files import write_whole


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "ä")
    assert path.read_bytes() == "ä".encode()
    write_whole(path, b"b")
    assert path.read_bytes() == b"b"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_what_breaks_off_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "earlier")

    def full(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, "later")
    assert path.read_text() == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
