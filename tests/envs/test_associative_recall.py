from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import AssociativeRecall
from memory_agents.envs.associative_recall import KEY
from memory_agents.envs.token_stream import ANSWER, MARK, TOKEN
from tests.envs.playing import play_oracle


@given(
    st.fixed_dictionaries(
        {
            "n_pairs": st.integers(1, 6),
            "n_keys": st.integers(6, 30),
            "n_values": st.integers(2, 40),
            "n_queries": st.integers(1, 15),
            "delay": st.one_of(st.integers(0, 9), st.tuples(st.integers(0, 4), st.integers(4, 12))),
            "split": st.booleans(),
        }
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_queries_ask_for_pairs_shown(kwargs: dict[str, Any], seed: int) -> None:
    env = AssociativeRecall(**kwargs)
    batch = env.supervised_batch(6, seed)
    for rows, targets, mask, important, steps in zip(*batch, strict=True):
        shown = env.n_pairs * (1 + env.split)
        if env.split:
            assert not rows[0:shown:2, TOKEN].any()
            assert not rows[1:shown:2, KEY].any()
        parts = rows[:shown].reshape(env.n_pairs, -1, 3).max(axis=1)
        assert (parts[:, 1:] > 0).all()
        table = dict(parts[:, 1:].tolist())
        assert len(table) == env.n_pairs
        assert important.nonzero()[0].tolist() == list(range(shown))

        first_query = steps - env.n_queries
        assert env.delay[0] <= first_query - shown <= env.delay[1]
        assert not rows[shown:first_query].any()
        assert mask.nonzero()[0].tolist() == list(range(first_query, steps))
        assert not rows[mask, TOKEN].any()
        asked = rows[mask, KEY].tolist()
        assert [table[key] for key in asked] == (targets[mask] + 1).tolist()
        for start in range(0, env.n_queries, env.n_pairs):
            turn = asked[start : start + env.n_pairs]
            assert len(set(turn)) == len(turn)
    assert play_oracle(env, seed)[0] == pytest.approx(1.0)


def test_each_correct_answer_is_paid_its_share() -> None:
    env = AssociativeRecall(n_pairs=2, n_queries=4, n_values=3, delay=1)
    targets = env.supervised_batch(1, 5).targets[0]
    env.reset(seed=5)
    actions = [0, 0, 0, targets[3], (targets[4] + 1) % 3, (targets[5] + 2) % 3, targets[6]]
    met = [env.step(action) for action in actions]
    assert [reward for _, reward, *_ in met] == [0.0] * 3 + [0.25, 0.0, 0.0, 0.25]
    assert met[-1][2:] == (True, False, {"important": False, "asked": True, "correct_answers": 2, "is_success": False})


def test_keys_values_and_queries_are_independent() -> None:
    env = AssociativeRecall(n_pairs=2, n_keys=3, n_values=2, n_queries=1, delay=0)
    tokens = env.supervised_batch(8000, 0).tokens
    first_asked = (tokens[:, 2, KEY] == tokens[:, 0, KEY]).astype(int)
    counts = np.zeros((3, 3, 2, 2, 2))
    values = tokens[:, :2, TOKEN] - 1
    np.add.at(counts, (tokens[:, 0, KEY] - 1, tokens[:, 1, KEY] - 1, values[:, 0], values[:, 1], first_asked), 1)
    assert not counts[np.arange(3), np.arange(3)].any()
    p = 1 / (3 * 2 * 8)
    different = counts[~np.eye(3, dtype=bool)]
    assert (np.abs(different - 8000 * p) < 5 * np.sqrt(8000 * p * (1 - p))).all()


def test_nothing_marks_a_value_seen_alone() -> None:
    rows = AssociativeRecall(split=True).supervised_batch(50, 0).tokens
    assert set(rows[:, :8, MARK].ravel().tolist()) == {0}
    assert set(rows[:, -1, MARK].tolist()) == {ANSWER}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_keys": 0}, "n_keys=0 is out of bounds: pass an integer of at least 1"),
        ({"n_pairs": 9}, "n_pairs=9 is out of bounds: pass an integer from 1 to 8"),
        ({"n_values": 1}, "n_values=1 is out of bounds: pass an integer of at least 2"),
        ({"n_queries": 0}, "n_queries=0 is out of bounds: pass an integer of at least 1"),
        ({"delay": (3, 1)}, r"delay=\(3, 1\) is an empty range"),
        ({"split": 0}, "split=0 is not a boolean"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AssociativeRecall(**kwargs)
