"""Histories of observations."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.preprocessing import is_image_space

from memory_agents.envs import TMaze
from memory_agents.wrappers import HistoryRing, HistorySpace, HistoryWrapper, PreviousActionReward
from tests.ppo.toys import NESTED, OBSERVATIONS, Toy, toy_venv


def test_a_history_holds_rows_of_what_is_inside() -> None:
    inner = spaces.Dict(
        {
            "seen": spaces.Box(0, 255, (7, 7, 3), np.uint8),
            "grey": spaces.Box(0, 255, (5, 4), np.uint8),
            "far": spaces.Box(2, 3, (2,), np.float32),
            "one": spaces.Box(-1, 1, ()),
            "kind": spaces.Discrete(4, start=3),
            "word": spaces.Discrete(300),
            "both": spaces.MultiDiscrete([3, 2]),
            "bits": spaces.MultiBinary([2, 3]),
        }
    )
    space = HistorySpace(inner, 6)
    rows: dict[str, Any] = {name: (entry.shape, entry.dtype) for name, entry in space.items()}
    assert rows == {
        "seen": ((6, 7, 7, 3), np.uint8),
        "grey": ((6, 20), np.uint8),
        "far": ((6, 2), np.float32),
        "one": ((6, 1), np.float32),
        "kind": ((6, 1), np.uint8),
        "word": ((6, 1), np.int16),
        "both": ((6, 2), np.uint8),
        "bits": ((6, 2, 3), np.int8),
        "history_length": ((), np.int64),
    }
    assert space["far"] == spaces.Box(2, 3, (6, 2), np.float32)
    assert space["word"].high.max() == 299  # type: ignore[attr-defined]
    # Stable-Baselines3 would scale and transpose them.
    assert not any(is_image_space(entry) for entry in space.values())


def test_spaces_differ_by_what_is_inside_and_by_length() -> None:
    box = spaces.Box(-1, 1, (2,))
    space = HistorySpace(box, 3)
    assert space == HistorySpace(spaces.Box(-1, 1, (2,)), 3) == pickle.loads(pickle.dumps(space))
    assert space != HistorySpace(box, 4)
    assert space != HistorySpace(spaces.Dict({"observation": box}), 3)
    assert space != spaces.Dict(dict(space))


class Reference:
    """Histories as lists."""

    def __init__(self, space: HistorySpace, n_envs: int) -> None:
        self.space = space
        self.seen: list[list[Any]] = [[] for _ in range(n_envs)]

    def add(self, observations: np.ndarray, starts: np.ndarray) -> dict[str, np.ndarray]:
        for env, observation in enumerate(observations):
            self.seen[env] = [*([] if starts[env] else self.seen[env]), observation]
        return self.read(self.seen)

    def read(self, seen: list[list[Any]]) -> dict[str, np.ndarray]:
        rows = np.zeros((len(seen), *self.space["observation"].shape), np.float32)  # type: ignore[misc]
        lengths = []
        for row, observations in zip(rows, seen, strict=True):
            newest = observations[-self.space.history_length :]
            row[len(row) - len(newest) :] = newest
            lengths.append(len(newest))
        return dict(observation=rows, history_length=np.array(lengths))


@given(data=st.data())
def test_rings_are_lists_of_the_newest(data: st.DataObject) -> None:
    n_envs, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    space = HistorySpace(spaces.Box(-1, 1, (2,)), length)
    ring, reference = HistoryRing(space, n_envs), Reference(space, n_envs)
    frequency = data.draw(st.sampled_from([0.0, 0.1, 0.6]))
    held = []
    for t in range(data.draw(st.integers(1, 30))):
        observations, starts = rng.random((n_envs, 2)).astype(np.float32), rng.random(n_envs) < frequency
        envs = np.flatnonzero(starts)
        if t and len(envs):
            last = rng.random((len(envs), 2)).astype(np.float32)
            ended = ring.ended(last, envs)
            expected = reference.read([[*reference.seen[env], own] for env, own in zip(envs, last, strict=True)])
            for name, rows in expected.items():
                np.testing.assert_array_equal(ended[name], rows)
        added, expected = ring.add(observations, starts), reference.add(observations, starts)
        assert added["observation"].dtype == np.float32
        held.append((added, expected))
    # At the end: nothing that was given away has changed since.
    for added, expected in held:
        for name, rows in expected.items():
            np.testing.assert_array_equal(added[name], rows)


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_the_newest_observations_of_an_episode_are_shown(observation: str) -> None:
    inside = Toy(observation)
    env = HistoryWrapper(inside, 4)
    space = env.observation_space
    assert isinstance(space, HistorySpace)
    for seed in range(2):
        history, _ = env.reset(seed=seed)
        over = False
        while not over:
            assert space.contains(history)
            n = int(history["history_length"])
            assert n == min(4, len(inside.seen))
            for name, part in space.parts.items():
                for row, seen in zip(history[name][4 - n :], inside.seen[-n:], strict=True):
                    entry = seen[name] if isinstance(seen, dict) else seen
                    first = getattr(part, "start", 0)
                    np.testing.assert_array_equal(row, np.reshape(entry - first, row.shape))
                assert not history[name][: 4 - n].any()
            history, _, over, _, _ = env.step(0)


def test_empty_rows_are_within_the_bounds() -> None:
    low = np.array([2, -3], np.float32)
    ring = HistoryRing(HistorySpace(spaces.Box(low, low + 1), 2), 1)
    history = ring.add(np.array([[2.5, -2.5]]), np.array([True]))
    assert history["observation"].tolist() == [[[2, -2], [2.5, -2.5]]]


def test_actions_and_rewards_before_each_observation_are_shown() -> None:
    env = HistoryWrapper(TMaze(corridor=3), 3, previous_action=True, previous_reward=True)
    env.reset()
    env.step(1)
    history, *_ = env.step(0)
    assert history["previous_action"].tolist() == [[0, 0], [0, 1], [1, 0]]
    assert history["previous_reward"].shape == (3, 1)
    only = HistoryWrapper(TMaze(corridor=3), 3, previous_reward=True)
    assert isinstance(only.observation_space, HistorySpace)
    assert set(only.observation_space) == {"observation", "previous_reward", "history_length"}


def test_both_checkers_accept_it() -> None:
    env = HistoryWrapper(TMaze(), 5, previous_action=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        # Histories are no vectors; the extractor reads them.
        warnings.filterwarnings("ignore", message=".*has an unconventional shape")
        gymnasium_check_env(env, skip_render_check=True)
        sb3_check_env(env)


def test_it_is_made_again_from_its_spec_and_from_a_pickle() -> None:
    env = HistoryWrapper(gym.make("MemoryAgents/TMaze-v0"), 4, previous_action=True)
    assert env.spec is not None
    for copy in (gym.make(env.spec), pickle.loads(pickle.dumps(env))):
        assert copy.observation_space == env.observation_space


@pytest.mark.parametrize("length", [0, -1, 2.0, True, "8"])
def test_lengths_that_make_no_sense_are_errors(length: Any) -> None:
    with pytest.raises(ValueError, match=f"history_length must be a positive integer, got {length!r}"):
        HistoryWrapper(TMaze(), length)


@pytest.mark.parametrize("observation", NESTED)
def test_nested_observations_name_the_wrapper_that_helps(observation: str) -> None:
    with pytest.raises(ValueError, match="put FlatDictObservation around it where it is nested"):
        HistoryWrapper(Toy(observation), 4)


def test_other_misuses_are_errors() -> None:
    with pytest.raises(TypeError, match="put VecHistory around vectorised environments"):
        HistoryWrapper(toy_venv(), 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="put one history wrapper around it, not two"):
        HistoryWrapper(HistoryWrapper(TMaze(), 4), 4)
    with pytest.raises(ValueError, match=r"an entry 'history_length'.*rename that entry"):
        HistorySpace(spaces.Dict({"history_length": spaces.Discrete(2)}), 4)
    with pytest.raises(ValueError, match=r"an entry 'previous_action'.*leave the wrapper out"):
        HistoryWrapper(PreviousActionReward(TMaze()), 4, previous_action=True)
