from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from memory_agents.benchmarks.progress import MEAN_RETURN, STEPS
from memory_agents.benchmarks.sweeps import display as displaying
from memory_agents.benchmarks.sweeps.display import Display
from memory_agents.benchmarks.sweeps.progress_of_runs import Pace, Progress, duration, progress_of
from memory_agents.benchmarks.sweeps.worker import DONE, FAILED, KEPT, Outcome
from tests.benchmarks.sweeps.small import small_runs


def wrote(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "progress.csv").write_text("\n".join([f"{STEPS},{MEAN_RETURN}", *lines]))
    return folder


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Progress()),
        (["64,"], Progress(64)),
        (["64,0.5", "128,0.75"], Progress(128, 0.75)),
        (["64,0.5", "128,0."], Progress(128, 0.0)),
        (["64,0.5", "12"], Progress(12)),
        (["64,0.5", "-"], Progress(64, 0.5)),
    ],
)
def test_progress_is_read_while_it_is_written(lines: list[str], expected: Progress, tmp_path: Path) -> None:
    assert progress_of(wrote(tmp_path, *lines)) == expected
    assert progress_of(tmp_path / "missing") == Progress()


def test_pace_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = Pace(1000)
    assert pace.rate(Progress()) is pace.left(Progress()) is None
    now = 104.0
    assert pace.rate(Progress(200)) == 50
    assert pace.left(Progress(200)) == 16
    assert pace.left(Progress(1200)) == 0


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(each) for each in (None, 0.4, 59.4, 61, 3599, 7260)] == [
        "-", "0 s", "59 s", "1 min 01 s", "59 min 59 s", "2 h 01 min",
    ]  # fmt: skip


#: Of an error with a message of several lines.
FAILURE = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    f()
ValueError: [x]
        [nan]])
"""


def test_lines_where_there_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    runs = small_runs(tmp_path)
    out = io.StringIO()
    with Display(Console(file=out, width=200), runs, 3) as display:
        display.begin(runs[0])
        wrote(runs[0].folder, "64,0.5")
        now += 10
        display.look()
        now += 54
        display.look()
        display.end(runs[0], Outcome(runs[0].folder, DONE), "return 1.00, score 1.00")
        display.begin(runs[1])
        display.end(runs[1], Outcome(runs[1].folder, FAILED, FAILURE), "")
        display.begin(runs[2])
        display.end(runs[2], Outcome(runs[2].folder, KEPT), "return 0.50")
    assert out.getvalue().splitlines() == [
        "7 runs, 3 of them finished before",
        "TMaze lstm s0: 64/128 steps, return 0.50, 1 steps/s, left 1 min 04 s",
        "[4/7] TMaze lstm s0: return 1.00, score 1.00, 1 min 04 s; left 3 min 12 s",
        "[5/7] TMaze memoryless s0: FAILED after 0 s: ValueError: [x]; left 1 min 04 s",
        "[6/7] TMaze lstm s1: return 0.50, by another process; left 32 s",
    ]


def test_bars_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(displaying, "LOOK_SECONDS", 0.0)
    runs = small_runs(tmp_path)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160, color_system=None)
    with Display(console, runs, 0) as display:
        display.begin(runs[0])
        wrote(runs[0].folder, "64,0.5")
        display.look()
        display._bars.refresh()
        shown = out.getvalue()
        display.end(runs[0], Outcome(runs[0].folder, DONE), "return 1.00")
    for words in ("TMaze lstm s0", "64/128", "return 0.50", "steps/s", "left", "all runs", "0/4"):
        assert words in shown
    assert "[1/4] TMaze lstm s0: return 1.00" in out.getvalue()
