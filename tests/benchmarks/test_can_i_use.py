"""The page that says what can be used is what trying it out says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gymnasium import spaces

import memory_agents
from memory_agents.benchmarks import can_i_use
from memory_agents.benchmarks.can_i_use import ACTIONS, ALGORITHMS, BOX, OBSERVATIONS, OPTIONS, attempt, table

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "can_i_use.md").read_text()


def test_the_page_is_what_is_found_out() -> None:
    assert can_i_use.page() == PAGE, "run python -m memory_agents.benchmarks.can_i_use docs/can_i_use.md"


def test_every_row_and_algorithm_is_on_the_page() -> None:
    for row in (*OBSERVATIONS, *ACTIONS, *OPTIONS):
        assert f"| {row} | " in PAGE
    assert PAGE.count(f" | {' | '.join(ALGORITHMS)} |") == 3


def test_every_algorithm_is_tried() -> None:
    algorithms = {name for name in memory_agents.__all__ if hasattr(getattr(memory_agents, name), "policy_aliases")}
    assert algorithms == set(ALGORITHMS)


@pytest.mark.parametrize("action", [row for row, space in ACTIONS.items() if not isinstance(space, spaces.Dict)])
def test_what_the_toys_take_is_an_action(action: str) -> None:
    env = can_i_use.Anything(BOX, ACTIONS[action])
    env.reset(seed=0)
    with pytest.raises(ValueError, match="is no action of"):
        env.step("left")
    for step in range(5):
        assert env.step(env.action_space.sample())[2] is (step == 4)


def test_what_cannot_be_is_told_with_the_reason() -> None:
    reason = attempt("PPO", spaces.Text(4), ACTIONS["`Discrete`"])
    assert reason is not None
    assert "cannot be read; turn them into numbers" in reason
    text = table("space", {"yes": lambda name: None, "no": lambda name: "is `this` at 0x7f12"})
    assert "| no | no |" in text
    assert f"- no, {', '.join(ALGORITHMS)}: `is 'this' at 0x...`" in text


def test_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(can_i_use, "page", lambda: "page\n")
    monkeypatch.setattr(sys, "argv", ["can_i_use", str(tmp_path / "page.md")])
    can_i_use.main()
    assert (tmp_path / "page.md").read_text() == "page\n"
    monkeypatch.setattr(sys, "argv", ["can_i_use"])
    can_i_use.main()
    assert capsys.readouterr().out == "page\n"
