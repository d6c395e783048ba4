from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import DelayedMatch
from memory_agents.envs.base import Observation
from memory_agents.envs.delayed_match import DELAY, NO, PHASES, PROBE, SAMPLE, WAIT, YES
from tests.envs.every_draw import EveryDraw
from tests.envs.playing import always, play, play_oracle


def phase(observation: Observation) -> int:
    return int(observation[: len(PHASES)].argmax())


def items(env: DelayedMatch, observation: Observation) -> list[int]:
    places = observation[len(PHASES) :].reshape(env.set_size, env.n_values)
    assert (places.sum(axis=1) == 1.0).all()
    return [int(place.argmax()) for place in places]


def trials_of(env: DelayedMatch) -> list[tuple[list[int], int, list[int], bool]]:
    """Sample, delay, probe and whether the oracle calls it the same, for every trial of an episode."""
    oracle = env.oracle()
    observation, _ = env.reset()
    trials, sample, waited, over = [], [0], 0, False
    while not over:
        action = oracle.act(observation)
        if observation[SAMPLE]:
            sample, waited = items(env, observation), 0
        elif observation[DELAY]:
            waited += 1
        else:
            trials.append((sample, waited, items(env, observation), action == YES))
        observation, _, over, _, _ = env.step(action)
    return trials


@given(
    st.fixed_dictionaries(
        {
            "set_size": st.integers(1, 4),
            "n_values": st.integers(2, 12),
            "trials": st.integers(1, 5),
            "rule": st.sampled_from(["match", "nonmatch"]),
        },
        optional={"delay": st.one_of(st.integers(0, 6), st.tuples(st.integers(0, 3), st.integers(3, 9)))},
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_oracle_is_optimal_for_all_arguments(kwargs: dict[str, Any], seed: int) -> None:
    env = DelayedMatch(**kwargs)
    episode_return, info = play_oracle(env, seed)
    assert episode_return == pytest.approx(env.optimal_return)
    assert info == {"correct_answers": env.trials, "is_success": True}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"set_size": 1, "n_values": 4, "trials": 1, "delay": 2},
        {"set_size": 2, "n_values": 3, "trials": 1, "delays": [0, 2], "rule": "nonmatch"},
        {"set_size": 3, "n_values": 2, "trials": 1, "delay": (0, 1)},
        {"set_size": 2, "n_values": 2, "trials": 2, "delay": 0},
    ],
)
def test_no_memoryless_policy_beats_the_anchor(kwargs: dict[str, Any]) -> None:
    """Go through every draw of an episode and give each observation the action that is best on average.

    What is seen does not depend on actions (another test), so this is the best of all memoryless policies.
    """
    env = DelayedMatch(**kwargs)
    draws = EveryDraw.given_to(env)
    rewards: dict[bytes, Any] = defaultdict(lambda: np.zeros(3))
    probability = 0.0
    while True:
        oracle = env.oracle()
        observation, _ = env.reset()
        over = False
        gains = []
        while not over:
            action = oracle.act(observation)
            gain = np.zeros(3)
            if observation[PROBE]:
                gain[:] = -1 / env.trials
                gain[action] = 1 / env.trials
            gains.append((observation.tobytes(), gain))
            observation, _, over, _, _ = env.step(action)
        for seen, gain in gains:
            rewards[seen] += draws.probability * gain
        probability += draws.probability
        if not draws.advance():
            break
    assert probability == pytest.approx(1.0)
    assert sum(gains.max() for gains in rewards.values()) == pytest.approx(env.memoryless_return)
    answers = [gains for gains in rewards.values() if gains.any()]
    assert len(answers) == env.n_values**env.set_size
    for gain in answers:
        np.testing.assert_allclose(gain[[YES, NO]], 0.0, atol=1e-12)


def test_what_is_seen_does_not_depend_on_the_actions() -> None:
    seen = []
    for action in (WAIT, YES, NO):
        env = DelayedMatch(delays=[0, 5], trials=4)
        rows = [env.reset(seed=3)[0]]
        over = False
        while not over:
            observation, _, over, _, _ = env.step(action)
            rows.append(observation)
        seen.append(np.array(rows))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


def test_probes_are_the_sample_or_have_one_item_changed_to_any_other_kind() -> None:
    env = DelayedMatch(set_size=2, n_values=3, trials=1, delay=0)
    draws = EveryDraw.given_to(env)
    counts: dict[tuple[int, ...], float] = defaultdict(float)
    while True:
        ((sample, _, probe, same),) = trials_of(env)
        assert same == (sample == probe)
        assert sum(before != after for before, after in zip(sample, probe, strict=True)) == 1 - same
        counts[(*sample, *probe)] += draws.probability
        if not draws.advance():
            break
    same_pairs = [p for key, p in counts.items() if key[:2] == key[2:]]
    changed_pairs = [p for key, p in counts.items() if key[:2] != key[2:]]
    assert same_pairs == pytest.approx([1 / 9 / 2] * 9)
    assert changed_pairs == pytest.approx([1 / 9 / 2 / 4] * 9 * 4)


def test_a_trial_step_by_step() -> None:
    env = DelayedMatch(set_size=3, n_values=5, trials=2, delay=3)
    assert env.observation_space.shape == (3 + 3 * 5,)
    observation, info = env.reset(seed=0)
    assert info == {}
    phases, rewards = [], []
    for _ in range(5):
        phases.append(phase(observation))
        assert observation[: len(PHASES)].sum() == 1.0
        assert observation[len(PHASES) :].sum() == (0.0 if observation[DELAY] else 3.0)
        observation, reward, terminated, truncated, info = env.step(WAIT)
        rewards.append(reward)
        assert (terminated, truncated, info) == (False, False, {})
    assert phases == [SAMPLE, DELAY, DELAY, DELAY, PROBE]
    assert rewards == [0.0, 0.0, 0.0, 0.0, -0.5]
    assert observation[SAMPLE] == 1.0


def test_one_answer_is_right_and_waiting_is_wrong() -> None:
    outcomes = []
    for action in (WAIT, YES, NO):
        episode_return, info = play(DelayedMatch(trials=1), always(action), seed=4)
        outcomes.append((episode_return, info["correct_answers"], info["is_success"]))
    assert outcomes[0] == (-1.0, 0, False)
    assert sorted(outcomes[1:]) == [(-1.0, 0, False), (1.0, 1, True)]


def test_the_rule_swaps_the_answers() -> None:
    returns = [play(DelayedMatch(trials=5, rule=rule), always(YES), seed=1)[0] for rule in ("match", "nonmatch")]
    assert returns[0] == pytest.approx(-returns[1])
    assert returns[0] != 0.0


def test_the_last_observation_is_blank_and_the_info_counts() -> None:
    env = DelayedMatch(trials=3, delay=1)
    observation, _ = env.reset(seed=0)
    oracle, probes, over, total = env.oracle(), 0, False, 0.0
    while not over:
        action = oracle.act(observation)
        if observation[PROBE]:
            probes += 1
            action = WAIT if probes == 2 else action
        observation, reward, over, truncated, info = env.step(action)
        total += reward
    assert not truncated
    assert not observation.any()
    assert info == {"correct_answers": 2, "is_success": False}
    assert total == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, {8}),
        ({"delay": 3}, {3}),
        ({"delay": [2, 5]}, {2, 3, 4, 5}),
        ({"delays": [2, 5]}, {2, 5}),
        ({"delays": (0, 4, 9)}, {0, 4, 9}),
    ],
)
def test_every_trial_draws_a_delay(kwargs: dict[str, Any], expected: set[int]) -> None:
    env = DelayedMatch(trials=200, **kwargs)
    env.reset(seed=0)
    delays = [delay for _, delay, _, _ in trials_of(env)]
    assert set(delays) == expected
    assert min(delays.count(delay) for delay in expected) > 0.7 * 200 / len(expected)


def test_frames_show_the_answer_and_its_outcome() -> None:
    frames = []
    for action in (WAIT, YES, NO):
        env = DelayedMatch(trials=1, delay=0, render_mode="rgb_array")
        play(env, always(action), seed=0)
        frames.append(env.render().tobytes())
        env = DelayedMatch(trials=2, delay=0, render_mode="rgb_array")
        env.reset(seed=0)
        env.step(WAIT)
        env.step(action)
        frames.append(env.render().tobytes())
    assert len(set(frames)) == 6


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"set_size": 5}, "set_size=5 is out of bounds: pass an integer from 1 to 4"),
        ({"n_values": 1}, "n_values=1 is out of bounds: pass an integer from 2 to 12"),
        ({"trials": 0}, "trials=0 is out of bounds: pass an integer of at least 1"),
        ({"delay": -1}, "delay=-1 is out of bounds"),
        ({"delay": (4, 2)}, r"delay=\(4, 2\) is an empty range"),
        ({"delays": []}, r"delays=\[\] is not a list of delays: pass one or more integers"),
        ({"delays": 3}, "delays=3 is not a list of delays"),
        ({"delays": [1, -2]}, r"delays\[1\]=-2 is out of bounds"),
        ({"delay": 3, "delays": [4]}, r"delay=3 does not fit delays=\[4\].*pass one of them"),
        ({"rule": "same"}, "rule='same' is unknown: pass one of 'match', 'nonmatch'"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DelayedMatch(**kwargs)
