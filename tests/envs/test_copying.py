from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import Copy, Reverse
from memory_agents.envs.token_stream import ANSWER, MARK, TOKEN
from tests.envs.playing import play_oracle

both = pytest.mark.parametrize("env_class", [Copy, Reverse])


@both
@given(
    st.fixed_dictionaries(
        {
            "n_tokens": st.integers(2, 40),
            "length": st.integers(1, 8),
            "delay": st.one_of(st.integers(1, 9), st.tuples(st.integers(0, 4), st.integers(4, 12))),
            "selective": st.booleans(),
        }
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_what_is_shown_is_asked_for(env_class: type[Copy], kwargs: dict[str, Any], seed: int) -> None:
    env = env_class(**kwargs)
    batch = env.supervised_batch(6, seed)
    for rows, targets, mask, important, steps in zip(*batch, strict=True):
        answers_begin = steps - env.length
        shown = rows[:answers_begin, TOKEN][rows[:answers_begin, TOKEN] > 0]
        assert len(shown) == env.length
        assert env.delay[0] <= answers_begin - env.length <= env.delay[1]
        np.testing.assert_array_equal(important, rows[:, TOKEN] > 0)
        if not env.selective:
            assert important[: env.length].all()
        assert mask.nonzero()[0].tolist() == list(range(answers_begin, steps))
        assert rows[mask].tolist() == [[ANSWER, 0]] * env.length
        assert not rows[:answers_begin, MARK].any()
        expected = shown[::-1] if env_class is Reverse else shown
        np.testing.assert_array_equal(targets[mask] + 1, expected)
    assert play_oracle(env, seed)[0] == pytest.approx(1.0)


@both
def test_each_correct_answer_is_paid_its_share(env_class: type[Copy]) -> None:
    env = env_class(n_tokens=3, length=4, delay=1)
    targets = env.supervised_batch(1, 0).targets[0]
    env.reset(seed=0)
    actions = [*targets[:5], targets[5], (targets[6] + 1) % 3, targets[7], (targets[8] + 1) % 3]
    met = [env.step(action) for action in actions]
    assert [reward for _, reward, *_ in met] == [0.0] * 5 + [0.25, 0.0, 0.25, 0.0]
    assert met[-1][2:] == (True, False, {"important": False, "asked": True, "correct_answers": 2, "is_success": False})


def test_selective_places_are_uniform() -> None:
    batch = Copy(length=2, delay=3, selective=True).supervised_batch(5000, 0)
    places = batch.important.nonzero()[1].reshape(-1, 2)
    counts = np.zeros((5, 5))
    np.add.at(counts, (places[:, 0], places[:, 1]), 1)
    p = 1 / 10
    rising = np.triu_indices(5, 1)
    assert (np.abs(counts[rising] - 5000 * p) < 5 * np.sqrt(5000 * p * (1 - p))).all()
    assert counts.sum() == counts[rising].sum()


def test_selective_places_keep_clear_of_a_shorter_episodes_answers() -> None:
    batch = Copy(length=2, delay=(0, 5), selective=True).supervised_batch(2000, 0)
    assert set(batch.lengths.tolist()) == set(range(4, 10))
    for steps in range(4, 10):
        kept = batch.important[batch.lengths == steps]
        # Every place before the answers is used, and none after.
        assert kept.any(axis=0).nonzero()[0].tolist() == list(range(steps - 2))


def test_a_position_is_not_to_be_seen() -> None:
    """At the answers nothing tells how many have been given: the rows of all of them are the same."""
    batch = Reverse(length=6, delay=(0, 3)).supervised_batch(50, 0)
    assert np.unique(batch.tokens[batch.mask], axis=0).tolist() == [[ANSWER, 0]]


@both
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_tokens": 1}, "n_tokens=1 is out of bounds: pass an integer of at least 2"),
        ({"length": 0}, "length=0 is out of bounds: pass an integer of at least 1"),
        ({"delay": -2}, "delay=-2 is out of bounds: pass an integer of at least 0"),
        ({"selective": "yes"}, "selective='yes' is not a boolean"),
        ({"selective": True, "delay": 0}, "selective=True has no use with delay=0.*pass a longer delay"),
    ],
)
def test_bad_arguments_say_the_mend(env_class: type[Copy], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        env_class(**kwargs)
