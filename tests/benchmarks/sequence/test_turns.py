"""Processes that share the runs of one folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from memory_agents.benchmarks.run_lock import RunBusyError, hold
from memory_agents.benchmarks.sequence import turns
from memory_agents.benchmarks.sequence.algorithmic import run_algorithmic
from memory_agents.benchmarks.sequence.characters_run import run_characters
from memory_agents.benchmarks.sequence.checkpoint import CHECKPOINT_FILE
from memory_agents.benchmarks.sequence.regression import RegressionConfig, run_regression
from memory_agents.benchmarks.sequence.runs import begin_run, finish_run
from memory_agents.benchmarks.sequence.turns import claim, in_turn, is_settled
from tests.benchmarks.sequence.characters import tiny, write_text
from tests.benchmarks.sequence.killing import kill_at
from tests.benchmarks.sequence.test_algorithmic import TINY


@contextmanager
def held_until_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> Iterator[None]:
    """
    :param folder: is held by somebody else, until one would wait for it
    :param monkeypatch: what ends that
    :param then: is called before it is free
    """
    with ExitStack() as others:
        others.enter_context(hold(folder))

        def wait(seconds: float) -> None:
            then()
            others.close()

        monkeypatch.setattr(f"{turns.__name__}.time.sleep", wait)
        yield


def test_runs_of_others_come_last_and_are_told_once() -> None:
    asked: list[str] = []
    said: list[str] = []

    def do(run: str) -> None:
        asked.append(run)
        if run == "a" and asked.count("a") < 3:
            raise RunBusyError(f"{run} is busy")

    in_turn("abc", do, said.append)
    assert asked == ["a", "b", "c", "a", "a"]
    assert said == ["a is busy; its result will be taken from there"]


def test_one_waits_only_where_all_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(f"{turns.__name__}.time.sleep", lambda seconds: asked.append(f"{seconds:g} s"))

    def do(run: str) -> None:
        asked.append(run)
        if run != "c" and asked.count(run) < 2:
            raise RunBusyError(run)

    in_turn("abc", do, lambda line: None)
    assert asked == ["a", "b", "c", "a", "b"]
    asked.clear()
    in_turn("ab", do, lambda line: None)
    assert asked == ["a", "b", "2 s", "a", "b"]


def test_another_error_ends_it() -> None:
    with pytest.raises(ZeroDivisionError):
        in_turn([1, 0, 2], lambda run: 1 / run, lambda line: None)


def test_algorithmic_runs_are_done_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [replace(TINY, seed=seed) for seed in (0, 1)]
    begun = kill_at((), monkeypatch)
    said: list[str] = []

    def finish() -> None:
        """As the other process does, which has the folder."""
        assert begun == [0, 1, 2, 3]
        begin_run(folder, configs[0])
        finish_run(folder, [{"update": 1}], {"accuracy": 0.25})

    folder = tmp_path / configs[0].name
    with held_until_asked_again(folder, monkeypatch, finish):
        run_algorithmic(configs, tmp_path, said.append)
    # The second one, and not the first, whose result is the other's.
    assert begun == [0, 1, 2, 3]
    assert json.loads((folder / "score.json").read_text()) == {"accuracy": 0.25}
    assert [line for line in said if "in use by process" in line and configs[0].name in line]


def test_what_the_other_gives_up_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = kill_at((), monkeypatch)
    with held_until_asked_again(tmp_path / TINY.name, monkeypatch, lambda: None):
        run_algorithmic([TINY], tmp_path)
    assert begun == [0, 1, 2, 3]
    assert is_settled(tmp_path / TINY.name, TINY)


def test_two_commands_at_once_do_each_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [replace(TINY, seed=seed) for seed in range(4)]
    monkeypatch.setattr(turns, "RETRY_SECONDS", 0.01)
    finished: list[str] = []

    def say(line: str) -> None:
        if "test accuracy" in line:
            finished.append(line.partition(":")[0])

    others = [threading.Thread(target=run_algorithmic, args=(order, tmp_path, say)) for order in (configs, configs)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert sorted(finished) == [config.name for config in configs]


def test_a_pretraining_is_done_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, data = tmp_path / "runs", str(write_text(tmp_path))
    configs = [tiny(agent, data=data, cotrain_updates=2) for agent in ("keep", "xl")]
    begun = kill_at((), monkeypatch)
    said: list[str] = []
    first = configs[0].pretraining.name

    def look() -> None:
        assert (out / "xl-s0" / "score.json").is_file()
        assert not (out / "keep-s0").exists()
        begun.clear()

    with held_until_asked_again(out / first, monkeypatch, look):
        run_characters(configs, out, said.append)
    assert [line for line in said if "in use by" in line and first in line]
    assert begun == [0, 1, 2, 3, 0, 1]

    # What follows it, by one as well.
    (out / "keep-s0" / "score.json").unlink()
    begun.clear()
    with held_until_asked_again(out / "keep-s0", monkeypatch, lambda: finish_run(out / "keep-s0", [{"update": 1}], {})):
        run_characters(configs, out)
    assert begun == []


def test_regressions_are_done_by_one(tmp_path: Path) -> None:
    config = RegressionConfig("gru", {"hidden_size": 4}, 2, 2, 3)
    folder = tmp_path / config.folder_name()
    with hold(folder), pytest.raises(RunBusyError):
        run_regression(config, tmp_path)
    assert run_regression(config, tmp_path)
    with hold(folder):
        assert not run_regression(config, tmp_path)


def test_what_a_finished_run_has_left_is_cleared_away(tmp_path: Path) -> None:
    """It was killed after its last word."""
    run_algorithmic([TINY], tmp_path)
    folder = tmp_path / TINY.name
    score = (folder / "score.json").read_text()
    (folder / CHECKPOINT_FILE).touch()
    assert not is_settled(folder, TINY)
    with claim(folder, TINY) as is_mine:
        assert not is_mine
    assert not (folder / CHECKPOINT_FILE).exists()
    (folder / CHECKPOINT_FILE).touch()
    run_algorithmic([TINY], tmp_path)
    assert not (folder / CHECKPOINT_FILE).exists()
    assert (folder / "score.json").read_text() == score
