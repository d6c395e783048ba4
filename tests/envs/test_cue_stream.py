from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import CueStream
from memory_agents.envs.token_stream import ANSWER, MARK, REMEMBER, TOKEN, SupervisedBatch
from tests.envs.playing import play, play_oracle


def ages(batch: SupervisedBatch) -> list[dict[int, list[int]]]:
    """For every episode, the steps of its cues and how long after each of them queries came."""
    episodes = []
    for marks in batch.tokens[..., MARK]:
        met: dict[int, list[int]] = {}
        for step, mark in enumerate(marks.tolist()):
            if mark == REMEMBER:
                cue = step
                met[cue] = []
            elif mark == ANSWER:
                met[cue].append(step - cue)
        episodes.append(met)
    return episodes


@given(
    st.fixed_dictionaries(
        {
            "p_cue": st.floats(0.001, 1.0),
            "n_values": st.integers(2, 40),
            "delay": st.one_of(st.integers(1, 9), st.tuples(st.integers(1, 4), st.integers(4, 12))),
            "query_rate": st.floats(0.0, 1.0),
            "length": st.integers(13, 90),
        }
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_queries_ask_for_the_newest_cue_in_due_time(kwargs: dict[str, Any], seed: int) -> None:
    env = CueStream(**kwargs)
    low, high = env.delay
    batch = env.supervised_batch(6, seed)
    assert (batch.lengths == env.length).all()
    np.testing.assert_array_equal(batch.important, batch.tokens[..., MARK] == REMEMBER)
    np.testing.assert_array_equal(batch.tokens[..., TOKEN] == 0, batch.mask)
    for rows, targets, mask, cues in zip(*batch[:3], ages(batch), strict=True):
        for cue, waits in cues.items():
            assert all(low <= wait <= high for wait in waits)
            assert all(targets[cue + wait] + 1 == rows[cue, TOKEN] for wait in waits)
            assert waits or cue + high >= env.length
        assert sum(map(len, cues.values())) == mask.sum() > 0
        assert min(cues) + high < env.length
        assert all(later - cue > high for cue, later in zip(cues, list(cues)[1:], strict=False))
    assert play_oracle(env, seed)[0] == pytest.approx(1.0)


def test_cues_come_at_their_rate() -> None:
    """Wherever a cue may come, it comes with the same probability."""
    env = CueStream(p_cue=0.2, delay=(1, 3), query_rate=0.5, length=400)
    chances = cues = 0
    for met in ages(env.supervised_batch(200, 0)):
        free = [0, *(cue + 4 for cue in met)]
        chances += sum(cue - start + 1 for start, cue in zip(free, met, strict=False)) + max(0, 400 - free[-1])
        cues += len(met)
    assert abs(cues / chances - 0.2) < 4 * np.sqrt(0.2 * 0.8 / chances)


def test_a_cue_too_rare_to_come_comes_as_late_as_it_may() -> None:
    batch = CueStream(p_cue=1e-9, delay=(2, 5), length=50).supervised_batch(20, 0)
    assert [list(met) for met in ages(batch)] == [[44]] * 20


@pytest.mark.parametrize("query_rate", [0.0, 0.3, 1.0])
def test_queries_come_at_their_rate(query_rate: float) -> None:
    """At each of five steps with equal probability: the certain one's, or ``query_rate`` where it lies elsewhere."""
    batch = CueStream(p_cue=1.0, delay=(2, 6), query_rate=query_rate, length=7).supervised_batch(4000, 0)
    counts = np.zeros(7)
    for met in ages(batch):
        counts[met[0]] += 1
    p = 0.2 + 0.8 * query_rate
    assert not counts[:2].any()
    assert (np.abs(counts[2:] - 4000 * p) <= 5 * np.sqrt(4000 * p * (1 - p))).all()
    assert batch.mask.sum() >= 4000


def test_tokens_tell_nothing_about_marks_or_one_another() -> None:
    batch = CueStream(delay=(1, 2), length=40).supervised_batch(4000, 0)
    marks, tokens = batch.tokens[..., MARK], batch.tokens[..., TOKEN]
    for chosen in (marks == REMEMBER, marks == 0):
        counts = np.bincount(tokens[chosen], minlength=5)[1:]
        n = counts.sum()
        assert (np.abs(counts - n / 4) < 5 * np.sqrt(n * 3 / 16)).all()
    # The token before a query against the one asked for.
    episode, step = np.nonzero(batch.mask & (np.arange(40) > 0) & (np.roll(marks, 1, axis=1) == 0))
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (batch.targets[episode, step], tokens[episode, step - 1] - 1), 1)
    n = pairs.sum()
    assert (np.abs(pairs - n / 16) < 5 * np.sqrt(n * 15 / 256)).all()


@pytest.mark.parametrize(("reach", "solves"), [(20, True), (19, False)])
def test_first_in_first_out_memory_needs_the_whole_delay(reach: int, solves: bool) -> None:
    """A player that keeps the last ``reach`` rows, whatever they are, against one delay of 20 steps."""
    env = CueStream(delay=20, length=64)
    kept: list[Any] = []

    def policy(observation: Any) -> int:
        cues = [row[TOKEN] for row in kept if row[MARK] == REMEMBER]
        kept.append(observation)
        del kept[:-reach]
        return int(cues[-1]) - 1 if cues else 0

    env.reset(seed=0)
    returns = []
    for _ in range(200):
        kept.clear()
        returns.append(play(env, policy)[0])
    if solves:
        assert returns == pytest.approx([1.0] * 200)
    else:
        assert abs(np.mean(returns) - env.memoryless_return) < 4 * np.std(returns) / np.sqrt(200)


def test_info_marks_the_cues() -> None:
    env = CueStream(p_cue=0.5, delay=2, length=12)
    observation, info = env.reset(seed=3)
    marked, over = [], False
    while not over:
        assert info["important"] is (observation[MARK] == REMEMBER).item()
        marked.append(info["important"])
        observation, _, over, _, info = env.step(0)
    assert 0 < sum(marked) < 12


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"p_cue": 0.0}, "p_cue=0.0 is out of bounds: pass a number above 0 and at most 1"),
        ({"p_cue": 1.5}, "p_cue=1.5 is out of bounds"),
        ({"p_cue": float("nan")}, "p_cue=nan is out of bounds"),
        ({"p_cue": "rare"}, "p_cue='rare' is not a probability: pass a number above 0"),
        ({"query_rate": -0.1}, "query_rate=-0.1 is out of bounds: pass a number from 0 to 1"),
        ({"query_rate": True}, "query_rate=True is not a probability"),
        ({"n_values": 1}, "n_values=1 is out of bounds: pass an integer of at least 2"),
        ({"delay": 0}, "delay=0 is out of bounds: pass an integer of at least 1"),
        ({"delay": (8, 32), "length": 32}, "length=32 is out of bounds: pass an integer of at least 33"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CueStream(**kwargs)
