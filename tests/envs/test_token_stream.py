"""What every task on token streams must keep, whatever it asks."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from memory_agents.envs import AssociativeRecall, Copy, CopyFirst, RepeatFirst, RepeatPrevious, Reverse
from memory_agents.envs.token_stream import ANSWER, MARK, TokenStream
from tests.envs.every_draw import EveryDraw
from tests.envs.playing import SETTINGS, setting_name

over_streams = pytest.mark.parametrize(
    ("env_class", "kwargs"),
    [(env_class, kwargs) for env_class, kwargs in SETTINGS if issubclass(env_class, TokenStream)],
    ids=setting_name,
)


@over_streams
def test_the_batch_answers_the_environment(env_class: type[TokenStream], kwargs: dict[str, Any]) -> None:
    """An episode is a batch of one: play its targets, and then play anything but them."""
    env = env_class(**kwargs)
    for seed in range(20):
        batch = env.supervised_batch(1, seed)
        for shift, expected in ((0, 1.0), (1, env.wrong_reward)):
            observation, info = env.reset(seed=seed)
            rewards: list[float] = []
            asked: dict[str, bool] = {}
            for step in range(int(batch.lengths[0])):
                np.testing.assert_array_equal(observation, batch.tokens[0, step])
                assert info == {"important": batch.important[0, step], **asked}
                action = (batch.targets[0, step] + shift) % env.n_tokens
                observation, reward, terminated, truncated, info = env.step(action)
                asked = {"asked": batch.mask[0, step]}
                assert (reward != 0.0) == (batch.mask[0, step] and expected != 0.0)
                assert (terminated, truncated) == (step == batch.lengths[0] - 1, False)
                rewards.append(reward)
            assert sum(rewards) == pytest.approx(expected)
            assert not observation.any()
            correct = 0 if shift else int(batch.mask.sum())
            told = {"important": False, "asked": True, "correct_answers": correct, "is_success": not shift}
            assert info == {**told, **asked}


@over_streams
def test_batches_are_well_formed(env_class: type[TokenStream], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    batch = env.supervised_batch(300, 0)
    time = batch.lengths.max()
    assert batch.tokens.shape == (300, time, len(env.columns))
    assert batch.targets.shape == batch.mask.shape == batch.important.shape == (300, time)
    assert [field.dtype for field in batch] == [np.int64, np.int64, np.bool_, np.bool_, np.int64]
    assert (batch.tokens >= 0).all()
    assert (batch.tokens < env.columns).all()
    assert set(np.unique(batch.targets[batch.mask])) == set(range(env.n_tokens))
    np.testing.assert_array_equal(batch.mask, batch.tokens[..., MARK] == ANSWER)
    assert batch.mask.any(axis=1).all()
    assert batch.important.any(axis=1).all()
    # Something important precedes the first question.
    assert (batch.important.argmax(axis=1) < batch.mask.argmax(axis=1)).all()
    over = np.arange(time) >= batch.lengths[:, None]
    for field in batch[:4]:
        assert not field[over].any()
    assert not batch.targets[~batch.mask].any()


@over_streams
def test_what_is_not_important_can_be_wiped(env_class: type[TokenStream], kwargs: dict[str, Any]) -> None:
    """The oracle answers all questions from important observations and questions alone."""
    env = env_class(**kwargs)
    batch = env.supervised_batch(30, 1)
    oracle = env.oracle()
    for tokens, targets, mask, important in zip(*batch[:4], strict=True):
        oracle.reset()
        wiped = np.where((important | mask)[:, None], tokens, 0)
        answers = np.array([oracle.act(row) for row in wiped])
        np.testing.assert_array_equal(answers[mask], targets[mask])


@over_streams
def test_no_reactive_player_beats_the_anchor(env_class: type[TokenStream], kwargs: dict[str, Any]) -> None:
    """The best action for each observation, read from half of many episodes, earns no more in the other half."""
    env = env_class(**kwargs)
    tokens, targets, mask, _, _ = env.supervised_batch(6000, 0)
    kinds = np.unique(tokens.reshape(-1, tokens.shape[2]), axis=0, return_inverse=True)[1].reshape(mask.shape)
    shares = mask / mask.sum(axis=1, keepdims=True)
    studied = np.zeros(mask.shape, np.bool_)
    studied[:3000] = mask[:3000]
    votes = np.zeros((kinds.max() + 1, env.n_tokens))
    np.add.at(votes, (kinds[studied], targets[studied]), shares[studied])
    answers = votes.argmax(axis=1)[kinds[3000:]]
    returns = (np.where(answers == targets[3000:], 1.0, env.wrong_reward) * shares[3000:]).sum(axis=1)
    assert abs(returns.mean() - env.memoryless_return) < 4 * returns.std() / np.sqrt(3000)


@pytest.mark.parametrize(
    ("env_class", "kwargs"),
    [
        (AssociativeRecall, {"n_pairs": 2, "n_keys": 3, "n_values": 2, "n_queries": 3, "delay": (0, 1)}),
        (AssociativeRecall, {"n_pairs": 2, "n_keys": 2, "n_values": 3, "n_queries": 1, "delay": 0, "split": True}),
        (Copy, {"n_tokens": 2, "length": 3, "delay": (0, 2)}),
        (CopyFirst, {"n_tokens": 3, "delay": 0}),
        (CopyFirst, {"n_tokens": 2, "delay": (1, 3), "distractors": True}),
        (RepeatFirst, {"n_tokens": 3, "length": 3}),
        (RepeatFirst, {"n_tokens": 2, "length": (2, 5)}),
        (RepeatPrevious, {"k": 1, "n_tokens": 3, "length": 4}),
        (RepeatPrevious, {"k": 2, "n_tokens": 2, "length": 6}),
        (Reverse, {"n_tokens": 3, "length": 2, "delay": 0}),
    ],
    ids=setting_name,
)
def test_the_anchor_is_exact(env_class: type[TokenStream], kwargs: dict[str, Any]) -> None:
    """Go through every draw and give each observation the action that is best on average.

    What is seen does not depend on actions, as the batch's test shows, so this is the best of all reactive players.
    """
    env = env_class(**kwargs)
    draws = EveryDraw.given_to(env)
    paid: dict[bytes, Any] = defaultdict(lambda: np.zeros(env.n_tokens))
    probability = 0.0
    while True:
        rows, targets, mask = (field[0] for field in env.plan(env.np_random.random((1, env.draws)))[:3])
        probability += draws.probability
        for row, target in zip(rows[mask], targets[mask], strict=True):
            pay = np.full(env.n_tokens, env.wrong_reward)
            pay[target] = 1.0
            paid[row.tobytes()] += draws.probability * pay / mask.sum()
        if not draws.advance():
            break
    assert probability == pytest.approx(1.0)
    assert sum(pay.max() for pay in paid.values()) == pytest.approx(env.memoryless_return)


@over_streams
def test_batches_follow_their_generator(env_class: type[TokenStream], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    env.reset(seed=5)
    state = env.np_random.bit_generator.state
    rng = np.random.default_rng(3)
    first, second, again = (
        env.supervised_batch(8, rng),
        env.supervised_batch(8, rng),
        env.supervised_batch(8, 3),
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.tokens.shape != second.tokens.shape or (first.tokens != second.tokens).any()
    assert env.np_random.bit_generator.state == state


def test_a_batch_needs_an_episode() -> None:
    env_class, kwargs = next(setting for setting in SETTINGS if issubclass(setting[0], TokenStream))
    env = env_class(**kwargs)
    assert isinstance(env, TokenStream)
    with pytest.raises(ValueError, match="batch_size=0 is out of bounds: pass an integer of at least 1"):
        env.supervised_batch(0)
