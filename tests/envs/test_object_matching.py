from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import ObjectMatching
from memory_agents.envs.object_matching import CHOICE, CUE, DELAY, LEFT, PAD, PHASES, RIGHT, STEP_ON_PAD, WAIT
from tests.envs.every_draw import EveryDraw
from tests.envs.playing import always, play, play_oracle, table_policy


@given(
    st.fixed_dictionaries(
        {
            "n_shapes": st.integers(2, 12),
            "n_colours": st.integers(1, 3),
            "trials": st.integers(1, 5),
            "delay": st.one_of(st.integers(0, 6), st.tuples(st.integers(0, 3), st.integers(3, 9))),
            "cue_steps": st.integers(1, 3),
            "distractors": st.sampled_from(["none", "noise", "objects"]),
            "rule": st.sampled_from(["nonmatch", "match"]),
            "sample": st.sampled_from(["trial", "episode"]),
            "self_paced": st.booleans(),
        }
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_oracle_is_optimal_for_all_arguments(kwargs: dict[str, Any], seed: int) -> None:
    env = ObjectMatching(**kwargs)
    episode_return, info = play_oracle(env, seed)
    assert episode_return == pytest.approx(env.optimal_return)
    assert info == {"correct_choices": env.trials, "is_success": True}


@pytest.mark.parametrize("rule", ["nonmatch", "match"])
@pytest.mark.parametrize("sample", ["trial", "episode"])
@pytest.mark.parametrize("distractors", ["none", "objects"])
def test_no_memoryless_policy_beats_the_anchor(rule: str, sample: str, distractors: str) -> None:
    """Go through every draw of an episode and give each observation the action that is best on average."""
    env = ObjectMatching(n_shapes=2, trials=2, delay=1, cue_steps=1, rule=rule, sample=sample, distractors=distractors)
    draws = EveryDraw.given_to(env)
    rewards: dict[bytes, Any] = defaultdict(lambda: np.zeros(3))
    probability = 0.0
    while True:
        oracle = env.oracle()
        observation, _ = env.reset()
        met = []
        over = False
        while not over:
            action = oracle.act(observation)
            met.append((observation, action))
            observation, _, over, _, _ = env.step(action)
        probability += draws.probability
        for before, action in met:
            gains = np.full(3, 0.1 if before[PAD] else 0.0)
            if before[CHOICE]:
                gains[:] = -1.0
                gains[action] = 1.0
            rewards[before.tobytes()] += draws.probability * gains
        if not draws.advance():
            break
    assert probability == pytest.approx(1.0)
    assert sum(gains.max() for gains in rewards.values()) == pytest.approx(env.memoryless_return)


@pytest.mark.parametrize("sample", ["trial", "episode"])
def test_pacing_oneself_gains_no_memory(sample: str) -> None:
    """Try every policy over what is seen at the pad and at the choice; elsewhere actions do nothing."""
    env = ObjectMatching(n_shapes=2, trials=2, delay=0, cue_steps=1, sample=sample, self_paced=True)
    views: set[bytes] = set()
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        oracle, over = env.oracle(), False
        while not over:
            if observation[PAD] or observation[CHOICE]:
                views.add(observation.tobytes())
            observation, _, over, _, _ = env.step(oracle.act(observation))
    assert len(views) == 3
    best = -np.inf
    for actions in product(range(4), repeat=3):
        draws = EveryDraw.given_to(env)
        mean = 0.0
        while True:
            episode_return, _ = play(env, table_policy(dict(zip(views, actions, strict=True))))
            mean += draws.probability * episode_return
            if not draws.advance():
                break
        best = max(best, mean)
    assert best == pytest.approx(env.memoryless_return)


def test_cue_side_correct_side_and_foil_are_independent() -> None:
    env = ObjectMatching(n_shapes=3, trials=1, delay=0, cue_steps=1)
    draws = EveryDraw.given_to(env)
    counts: dict[tuple[int, ...], float] = defaultdict(float)
    while True:
        cue, _ = env.reset()
        env.step(WAIT)
        choice = env.step(WAIT)[0]
        cue_side = int(cue[env._slots[1]].any())
        sample = int(cue[env._slots[cue_side]][:3].argmax())
        left, right = (int(choice[slot][:3].argmax()) for slot in env._slots)
        counts[cue_side, sample, int(left == sample), left + right - sample] += draws.probability
        if not draws.advance():
            break
    assert len(counts) == 2 * 3 * 2 * 2
    assert list(counts.values()) == pytest.approx([1 / 24] * 24)


def test_a_trial_step_by_step() -> None:
    env = ObjectMatching(n_shapes=4, n_colours=2, trials=2, delay=3, cue_steps=2)
    assert env.observation_space.shape == (4 + 2 * (4 + 2),)
    observation, info = env.reset(seed=0)
    assert info == {}
    phases, rewards = [], []
    for _ in range(7):
        phases.append(int(observation[: len(PHASES)].argmax()))
        assert observation[: len(PHASES)].sum() == 1.0
        filled = [int(observation[slot].sum()) for slot in env._slots]
        assert sorted(filled) == {CUE: [0, 2], PAD: [0, 0], DELAY: [0, 0], CHOICE: [2, 2]}[phases[-1]]
        observation, reward, terminated, truncated, info = env.step(WAIT)
        rewards.append(reward)
        assert not terminated
        assert not truncated
        assert info == {}
    assert phases == [CUE, CUE, PAD, DELAY, DELAY, DELAY, CHOICE]
    assert rewards == [0.0, 0.0, 0.1, 0.0, 0.0, 0.0, -1.0]
    assert observation[CUE] == 1.0


def test_only_the_choice_depends_on_the_action() -> None:
    env = ObjectMatching(trials=1)
    outcomes = []
    for action in (WAIT, LEFT, RIGHT):
        episode_return, info = play(env, always(action), seed=4)
        outcomes.append((round(episode_return, 6), info["correct_choices"]))
    assert outcomes[0] == (-0.9, 0)
    assert sorted(outcomes[1:]) == [(-0.9, 0), (1.1, 1)]


def test_the_last_observation_is_blank_and_the_info_counts() -> None:
    env = ObjectMatching(trials=3, delay=1)
    observation, _ = env.reset(seed=0)
    oracle = env.oracle()
    choices = 0
    over = False
    while not over:
        action = oracle.act(observation)
        if observation[CHOICE]:
            choices += 1
            action = WAIT if choices == 2 else action
        observation, _, over, truncated, info = env.step(action)
    assert not truncated
    assert not observation.any()
    assert info == {"correct_choices": 2, "is_success": False}


def test_sample_per_episode_stays_and_per_trial_changes() -> None:
    samples: dict[str, list[set[int]]] = {"episode": [], "trial": []}
    for sample, episodes in samples.items():
        env = ObjectMatching(sample=sample, trials=6, delay=0)
        for seed in range(20):
            observation, _ = env.reset(seed=seed)
            seen, over = set(), False
            while not over:
                if observation[CUE]:
                    seen.add(int((observation[env._slots[0]] + observation[env._slots[1]]).argmax()))
                observation, _, over, _, _ = env.step(WAIT)
            episodes.append(seen)
    assert all(len(seen) == 1 for seen in samples["episode"])
    assert len(set.union(*samples["episode"])) > 3
    assert sum(len(seen) > 1 for seen in samples["trial"]) == 20


def test_delays_fill_the_range() -> None:
    env = ObjectMatching(trials=200, delay=(2, 5))
    observation, _ = env.reset(seed=0)
    delays, waited, over = [], 0, False
    while not over:
        waited = waited + 1 if observation[DELAY] else waited
        if observation[CHOICE]:
            delays.append(waited)
            waited = 0
        observation, _, over, _, _ = env.step(WAIT)
    counts = np.bincount(delays)
    assert counts[:2].sum() == 0
    assert counts.size == 6
    assert counts[2:].min() > 30


@pytest.mark.parametrize("distractors", ["noise", "objects"])
def test_distractors_fill_both_slots_anew_at_every_step(distractors: str) -> None:
    env = ObjectMatching(n_shapes=6, n_colours=3, trials=1, delay=30, distractors=distractors)
    observation, _ = env.reset(seed=0)
    rows, over = [], False
    while not over:
        if observation[DELAY]:
            rows.append(observation[len(PHASES) :])
        observation, _, over, _, _ = env.step(WAIT)
    halves = np.array(rows).reshape(30, 2, 9)
    assert (halves.any(axis=2)).all()
    assert len(np.unique(halves.reshape(60, 9), axis=0)) > 15
    if distractors == "objects":
        assert (halves[:, :, :6].sum(axis=2) == 1).all()
        assert (halves[:, :, 6:].sum(axis=2) == 1).all()


def seen_objects(env: ObjectMatching, episodes: int) -> set[tuple[int, int]]:
    seen: set[tuple[int, int]] = set()
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        over = False
        while not over:
            for slot in env._slots:
                if observation[slot].any():
                    shape, colour = observation[slot][: env.n_shapes], observation[slot][env.n_shapes :]
                    seen.add((int(shape.argmax()), int(colour.argmax())))
            observation, _, over, _, _ = env.step(WAIT)
    return seen


@pytest.mark.parametrize("held_out", [5, 0.25, np.float64(0.25)])
def test_held_out_objects_appear_in_evaluation_only(held_out: float) -> None:
    kwargs: dict[str, Any] = {"n_shapes": 7, "n_colours": 3, "held_out": held_out, "distractors": "objects"}
    training = seen_objects(ObjectMatching(**kwargs), 60)
    evaluation = seen_objects(ObjectMatching(**kwargs, evaluation=True), 60)
    assert len(evaluation) == 5
    assert not training & evaluation
    assert len(training | evaluation) == 21
    assert {shape for shape, _ in training} == set(range(7))
    assert {colour for _, colour in training} == set(range(3))


def test_self_paced_waits_for_the_agent() -> None:
    env = ObjectMatching(self_paced=True, trials=1, delay=1, time_limit=20)
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        observation, reward, _, _, _ = env.step(RIGHT)
        assert reward == 0.0
    assert observation[PAD] == 1.0
    observation, reward, _, _, _ = env.step(STEP_ON_PAD)
    assert reward == 0.1
    assert observation[DELAY] == 1.0


def test_self_paced_runs_out_of_time() -> None:
    env = ObjectMatching(self_paced=True, trials=2, delay=1)
    assert env.time_limit == 2 * 2 * (2 + 1 + 1 + 1)
    env.reset(seed=0)
    for _ in range(env.time_limit - 1):
        assert env.step(WAIT)[2:] == (False, False, {})
    _, reward, terminated, truncated, info = env.step(WAIT)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info == {"correct_choices": 0, "is_success": False}


def test_frames_show_the_outcome_of_a_choice_and_running_out_of_time() -> None:
    kwargs: dict[str, Any] = {"trials": 1, "delay": 0, "cue_steps": 1, "render_mode": "rgb_array"}
    frames = []
    for action in (WAIT, LEFT, RIGHT):
        env = ObjectMatching(**kwargs)
        play(env, always(action), seed=0)
        frames.append(env.render())
    env = ObjectMatching(**kwargs, self_paced=True)
    play(env, always(WAIT), seed=0)
    frames.append(env.render())
    assert len({frame.tobytes() for frame in frames}) == 4


def test_the_last_choice_at_the_time_limit_is_an_end_not_a_truncation() -> None:
    env = ObjectMatching(self_paced=True, trials=2, delay=1, time_limit=10)
    observation, _ = env.reset(seed=0)
    oracle = env.oracle()
    for _ in range(9):
        observation = env.step(oracle.act(observation))[0]
    _, _, terminated, truncated, info = env.step(oracle.act(observation))
    assert (terminated, truncated, info["is_success"]) == (True, False, True)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_shapes": 13}, "n_shapes=13 is out of bounds: pass an integer from 1 to 12"),
        ({"n_colours": 0}, "n_colours=0 is out of bounds: pass an integer from 1 to 3"),
        ({"trials": 0}, "trials=0 is out of bounds"),
        ({"trials": True}, "trials=True is not an integer"),
        ({"delay": -1}, "delay=-1 is out of bounds"),
        ({"delay": (5, 2)}, r"delay=\(5, 2\) is an empty range: pass \(low, high\)"),
        ({"delay": (1, 2, 3)}, r"delay=\(1, 2, 3\) is not a length"),
        ({"delay": 2.5}, "delay=2.5 is not a length"),
        ({"cue_steps": 0}, "cue_steps=0 is out of bounds"),
        ({"distractors": "loud"}, "distractors='loud' is unknown: pass one of 'none', 'noise', 'objects'"),
        ({"rule": "same"}, "rule='same' is unknown"),
        ({"sample": "never"}, "sample='never' is unknown"),
        ({"self_paced": 1}, "self_paced=1 is not a boolean"),
        ({"time_limit": 100}, "time_limit=100 has no use.*pass self_paced=True"),
        ({"time_limit": 47, "self_paced": True}, "time_limit=47 is out of bounds: pass an integer of at least 48"),
        ({"n_shapes": 1}, "leaves 1 to draw from.*raise n_shapes or n_colours"),
        ({"held_out": 7}, "held_out=7 of 8 objects.*leaves 1 to draw from"),
        ({"held_out": 9}, "held_out=9 is out of bounds: pass an integer from 0 to 8"),
        ({"held_out": 1.0}, "held_out=1.0 is out of bounds: pass a fraction"),
        ({"evaluation": True}, "held_out=0 of 8 objects.*leaves 0 to draw from.*reserve another number"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ObjectMatching(**kwargs)
