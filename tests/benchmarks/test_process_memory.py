from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memory_agents.benchmarks import process_memory
from memory_agents.benchmarks.process_memory import memory_now, most_memory

MIB = 2**20

TAKES_AND_GIVES_BACK = f"""
import runpy
asked = runpy.run_path({process_memory.__file__!r})
before = asked["memory_now"]()
held = bytearray(b"1") * {64 * MIB}
during = asked["memory_now"]()
del held
print(before, during, asked["memory_now"](), asked["most_memory"]())
"""


def output(code: str) -> list[float]:
    """
    :param code: a program; it runs in a process of its own, as this one may have memory at hand that it has freed
    :return: the numbers it prints
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_memory_that_is_taken_and_given_back() -> None:
    before, during, after, most = output(TAKES_AND_GIVES_BACK)
    assert 60 * MIB < during - before < 80 * MIB
    # Linux counts to within some pages.
    assert most > during - MIB
    if sys.platform == "linux":
        assert after < before + 4 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count from zero anyway")
def test_the_peak_is_not_that_of_who_started_the_process() -> None:
    held = bytearray(b"1") * (256 * MIB)
    (most,) = output(f"import runpy; print(runpy.run_path({process_memory.__file__!r})['most_memory']())")
    assert len(held) == 256 * MIB
    assert MIB < most < 128 * MIB


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
