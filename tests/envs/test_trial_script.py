from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import DelayedMatch, MemoryEnv, ObjectMatching
from memory_agents.envs.trial_script import TrialScript


def numbered(episodes: int, trials: int, steps: int, n_own: int = 0) -> TrialScript:
    """A script with a number of its own for each step, of which 0 is none."""
    own = np.zeros((episodes, n_own, 1), np.float32)
    script = TrialScript.blank(episodes, trials, steps, own)
    looks, asked = script.by_trial(trials)
    looks[:] = np.arange(1, 1 + looks.size).reshape(looks.shape)
    asked[:] = looks % 7
    return script


def test_trials_follow_each_other_and_nothing_comes_after_them() -> None:
    script = numbered(2, 3, 4)
    assert script.looks.tolist() == [[*range(1, 13), 0], [*range(13, 25), 0]]
    np.testing.assert_array_equal(script.asked, script.looks % 7)


@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_spare_steps_of_delays_are_left_out(
    data: st.DataObject, episodes: int, trials: int, first: int, longest: int
) -> None:
    script = numbered(episodes, trials, first + longest + 1)
    row = st.lists(st.integers(0, longest), min_size=trials, max_size=trials)
    delays = np.array(data.draw(st.lists(row, min_size=episodes, max_size=episodes)))
    shorter = script.without_spare_delays(first, delays)
    looks, _ = script.by_trial(trials)
    for episode in range(episodes):
        expected: list[int] = []
        for trial in range(trials):
            steps = looks[episode, trial].tolist()
            expected += [*steps[: first + delays[episode, trial]], steps[-1]]
        expected += [0] * (looks[0].size + 1 - len(expected))
        assert shorter.looks[episode].tolist() == expected
    np.testing.assert_array_equal(shorter.asked, shorter.looks % 7)


def test_observations_are_shared_or_an_episodes_own() -> None:
    script = numbered(1, 1, 3, n_own=2)
    script.own[0, :, 0] = 5.0, 6.0
    assert [row.tolist() for row in script.observations(np.array([[0.0], [1.0]], np.float32))] == [[1], [5], [6], [0]]


@pytest.mark.parametrize(
    "env",
    [
        ObjectMatching(delay=(0, 3), distractors="objects", sample="episode"),
        ObjectMatching(delay=(1, 2), distractors="noise", n_colours=2),
        DelayedMatch(delays=[0, 3, 9], set_size=3),
    ],
)
def test_an_episode_does_not_depend_on_those_planned_with_it(env: MemoryEnv) -> None:
    uniforms = np.random.default_rng(0).random((20, env.draws))
    together = env.plan(uniforms)
    for episode in range(20):
        for one, many in zip(env.plan(uniforms[episode : episode + 1]), together, strict=True):
            np.testing.assert_array_equal(one[0], many[episode])


def test_tables_of_observations_are_shared_and_cannot_be_written() -> None:
    one, other = ObjectMatching(n_shapes=5, rule="match"), ObjectMatching(n_shapes=5, delay=3)
    assert one._looks is other._looks
    with pytest.raises(ValueError, match="read-only"):
        one._looks[0, 0] = 1.0
