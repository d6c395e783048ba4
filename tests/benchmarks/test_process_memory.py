from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memory_agents.benchmarks import process_memory
from memory_agents.benchmarks.process_memory import memory_now, most_memory

MIB = 2**20


def touched(mib: int) -> bytearray:
    """
    :param mib: how much
    :return: memory of that size that the process really has
    """
    return bytearray(b"1") * (mib * MIB)


def test_memory_that_is_taken_and_given_back() -> None:
    before = memory_now()
    held = touched(64)
    assert memory_now() - before > 60 * MIB
    most = most_memory()
    del held
    # Linux counts to within some pages.
    assert most_memory() > most - MIB
    assert most_memory() > before + 60 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count from zero anyway")
def test_the_peak_is_not_that_of_who_started_the_process() -> None:
    held = touched(256)
    code = f"import runpy; print(runpy.run_path({process_memory.__file__!r})['most_memory']())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(held) == 256 * MIB
    assert MIB < float(done.stdout) < 128 * MIB


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such module")
@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_systems_without_a_file_of_it(
    platform: str, unit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    class Usage:
        ru_maxrss = 3000

    monkeypatch.setattr(process_memory, "STATUS", tmp_path / "missing")
    monkeypatch.setattr(resource, "getrusage", lambda who: Usage)
    monkeypatch.setattr(sys, "platform", platform)
    assert memory_now() == most_memory() == 3000 * unit
    # Some sandboxes have the file and not the line.
    (tmp_path / "missing").write_text("Name:\tpython\n")
    assert most_memory() == 3000 * unit


def test_windows_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_memory, "STATUS", tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "win32")
    for ask in (memory_now, most_memory):
        with pytest.raises(OSError, match="Windows does not tell"):
            ask()
