from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import CopyFirst, RepeatFirst, RepeatPrevious
from memory_agents.envs.token_stream import ANSWER, MARK, PLAIN, REMEMBER, TOKEN, TokenStream
from tests.envs.playing import play_oracle

spans = st.one_of(st.integers(2, 12), st.tuples(st.integers(2, 5), st.integers(5, 15)))


@given(st.integers(1, 9), st.integers(2, 40), st.integers(1, 20), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_previous_tokens_are_those_of_k_steps_ago(k: int, n_tokens: int, more: int, seed: int) -> None:
    env = RepeatPrevious(k=k, n_tokens=n_tokens, length=k + more)
    batch = env.supervised_batch(5, seed)
    assert (batch.lengths == k + more).all()
    assert (batch.tokens[..., TOKEN] > 0).all()
    for rows, targets, mask, important in zip(*batch[:4], strict=True):
        for step in range(k + more):
            assert mask[step] == (step >= k)
            if mask[step]:
                assert targets[step] + 1 == rows[step - k, TOKEN]
                assert important[step - k]
        assert important.sum() == more
    episode_return, info = play_oracle(env, seed)
    assert episode_return == pytest.approx(1.0)
    assert info == {"important": False, "asked": True, "correct_answers": more, "is_success": True}


def test_previous_tokens_by_hand() -> None:
    env = RepeatPrevious(k=2, n_tokens=3, length=6)
    observation, _ = env.reset(seed=0)
    seen, rewards = [], []
    for step in range(6):
        seen.append(int(observation[TOKEN]))
        due = seen[step - 2] - 1 if step >= 2 else 0
        action = due if step == 2 else (due + 1) % 3
        observation, reward, terminated, _, info = env.step(action)
        rewards.append(reward)
    assert rewards == [0.0, 0.0, 0.25, -0.25, -0.25, -0.25]
    assert terminated
    assert info == {"important": False, "asked": True, "correct_answers": 1, "is_success": False}


@given(st.integers(2, 40), spans, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_first_tokens_are_asked_for_ever_after(n_tokens: int, length: Any, seed: int) -> None:
    env = RepeatFirst(n_tokens=n_tokens, length=length)
    batch = env.supervised_batch(6, seed)
    for rows, targets, mask, important, steps in zip(*batch, strict=True):
        assert rows[:steps, MARK].tolist() == [REMEMBER] + [ANSWER] * (steps - 1)
        assert (rows[:steps, TOKEN] > 0).all()
        assert (targets[1:steps] + 1 == rows[0, TOKEN]).all()
        assert mask.sum() == steps - 1
        assert important.nonzero()[0].tolist() == [0]
    assert play_oracle(env, seed)[0] == pytest.approx(1.0)


@given(
    st.integers(2, 40),
    st.one_of(st.integers(1, 9), st.tuples(st.integers(0, 4), st.integers(4, 12))),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_the_first_token_is_asked_for_at_the_end(n_tokens: int, delay: Any, distractors: bool, seed: int) -> None:
    env = CopyFirst(n_tokens=n_tokens, delay=delay, distractors=distractors)
    batch = env.supervised_batch(6, seed)
    for rows, targets, mask, important, steps in zip(*batch, strict=True):
        assert rows[:steps, MARK].tolist() == [REMEMBER] + [PLAIN] * (steps - 2) + [ANSWER]
        assert ((rows[1 : steps - 1, TOKEN] > 0) == distractors).all()
        assert rows[steps - 1, TOKEN] == 0
        assert targets[steps - 1] + 1 == rows[0, TOKEN]
        assert mask.nonzero()[0].tolist() == [steps - 1]
        assert important.nonzero()[0].tolist() == [0]
    assert play_oracle(env, seed)[0] == 1.0


@pytest.mark.parametrize(
    ("env", "lengths"),
    [
        (RepeatFirst(length=(3, 6)), {3, 4, 5, 6}),
        (RepeatFirst(length=5), {5}),
        (CopyFirst(delay=(0, 3)), {2, 3, 4, 5}),
        (CopyFirst(delay=0), {2}),
    ],
)
def test_lengths_fill_the_range(env: TokenStream, lengths: set[int]) -> None:
    assert set(env.supervised_batch(300, 0).lengths.tolist()) == lengths


@pytest.mark.parametrize("env", [RepeatPrevious(), RepeatFirst(), CopyFirst(distractors=True)])
def test_tokens_are_independent_and_uniform(env: TokenStream) -> None:
    tokens = env.supervised_batch(4000, 0).tokens[:, :10, TOKEN] - 1
    pairs = np.zeros((10, 10, 4, 4))
    for one in range(10):
        for other in range(one):
            np.add.at(pairs[one, other], (tokens[:, one], tokens[:, other]), 1)
    pairs = pairs[np.tril_indices(10, -1)]
    p = 1 / 16
    assert (np.abs(pairs - 4000 * p) < 5 * np.sqrt(4000 * p * (1 - p))).all()


@pytest.mark.parametrize(
    ("env_class", "kwargs", "message"),
    [
        (RepeatPrevious, {"k": 0}, "k=0 is out of bounds: pass an integer of at least 1"),
        (RepeatPrevious, {"n_tokens": 1}, "n_tokens=1 is out of bounds: pass an integer of at least 2"),
        (RepeatPrevious, {"k": 8, "length": 8}, "length=8 is out of bounds: pass an integer of at least 9"),
        (RepeatFirst, {"length": (1, 4)}, r"length\[0\]=1 is out of bounds: pass an integer of at least 2"),
        (RepeatFirst, {"n_tokens": "many"}, "n_tokens='many' is not an integer"),
        (CopyFirst, {"delay": -1}, "delay=-1 is out of bounds: pass an integer of at least 0"),
        (CopyFirst, {"distractors": 1}, "distractors=1 is not a boolean"),
        (CopyFirst, {"delay": 0, "distractors": True}, "distractors=True has no use with delay=0: pass a longer delay"),
        (CopyFirst, {"n_tokens": 1}, "n_tokens=1 is out of bounds: pass an integer of at least 2"),
    ],
)
def test_bad_arguments_say_the_mend(env_class: type[TokenStream], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        env_class(**kwargs)
