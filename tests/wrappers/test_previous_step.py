"""The previous action and reward beside the observation."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv

from memory_agents import VecPreviousActionReward, envs
from memory_agents.envs import TMaze
from memory_agents.wrappers import PreviousActionReward
from memory_agents.wrappers.previous_step import written_actions


class Counting(gym.Env[Any, Any]):
    """Shows the number of the step; the reward of step n is n / 2; episodes have four steps."""

    def __init__(self, action_space: spaces.Space[Any], observation_space: spaces.Space[Any] | None = None) -> None:
        self.action_space = action_space
        self.observation_space = observation_space or spaces.Box(0, 10, (1,), np.float32)

    def _see(self) -> Any:
        now = np.array([self.time], np.float32)
        if isinstance(self.observation_space, spaces.Dict):
            return dict.fromkeys(self.observation_space, now)
        return (now, self.time) if isinstance(self.observation_space, spaces.Tuple) else now

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self._see(), self.time / 2, self.time == 4, False, {}


@pytest.mark.parametrize(
    ("space", "action", "written"),
    [
        (spaces.Discrete(3), 2, [0, 0, 1]),
        (spaces.Discrete(3, start=5), np.int64(5), [1, 0, 0]),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
        (spaces.MultiDiscrete([2, 2], start=[1, -1]), np.array([1, 0]), [1, 0, 0, 1]),
        (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
        (spaces.Box(-2, 2, (2, 2)), np.array([[1, -1.5], [0, 2]], np.float32), [1, -1.5, 0, 2]),
        (spaces.Box(3, 5, (1,)), np.array([4], np.float32), [4]),
    ],
    ids=str,
)
def test_action_and_reward_of_the_step_before_are_shown(space: spaces.Space[Any], action: Any, written: Any) -> None:
    env = PreviousActionReward(Counting(space))
    shown = env.observation_space
    assert isinstance(shown, spaces.Dict)
    for _ in range(2):
        observation, _ = env.reset()
        np.testing.assert_array_equal(observation["previous_action"], np.zeros(len(written)))
        np.testing.assert_array_equal(observation["previous_reward"], [0])
        for time in range(1, 5):
            assert shown.contains(observation)
            assert observation["observation"] == time - 1
            observation, reward, terminated, _, _ = env.step(action)
            assert reward == time / 2
            np.testing.assert_array_equal(observation["previous_action"], written)
            np.testing.assert_array_equal(observation["previous_reward"], [time / 2])
        assert terminated
        assert {observation[name].dtype for name in ("previous_action", "previous_reward")} == {np.dtype(np.float32)}


def test_entries_of_a_dictionary_keep_their_names() -> None:
    box = spaces.Box(0, 10, (1,), np.float32)
    env = PreviousActionReward(Counting(spaces.Discrete(2), spaces.Dict({"a": box, "observation": box})))
    assert set(env.reset()[0]) == {"a", "observation", "previous_action", "previous_reward"}
    assert env.observation_space.contains(env.step(1)[0])


def test_tuples_are_shown_whole() -> None:
    seen = spaces.Tuple([spaces.Box(0, 10, (1,), np.float32), spaces.Discrete(9)])
    env = PreviousActionReward(Counting(spaces.Discrete(2), seen))
    assert env.observation_space["observation"] == seen  # type: ignore[index]
    env.reset()
    assert env.step(0)[0]["observation"] == (1, 1)


@pytest.mark.parametrize("taken", ["previous_action", "previous_reward"])
def test_taken_names_are_an_error(taken: str) -> None:
    inside = Counting(spaces.Discrete(2), spaces.Dict({taken: spaces.Box(0, 10, (1,))}))
    with pytest.raises(ValueError, match=f"entry '{taken}' in its observations.*rename that entry"):
        PreviousActionReward(inside)


def test_actions_without_fixed_length_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"env has actions in Sequence\(.*pass an environment whose actions are"):
        PreviousActionReward(Counting(spaces.Sequence(spaces.Discrete(2))))


def test_both_checkers_accept_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        gymnasium_check_env(PreviousActionReward(TMaze()), skip_render_check=True)
        sb3_check_env(PreviousActionReward(TMaze()))


def test_observations_are_fresh() -> None:
    env = PreviousActionReward(Counting(spaces.Box(-1, 1, (2,))))
    action = np.ones(2, np.float32)
    held = [env.reset()[0], *(env.step(action)[0] for _ in range(3))]
    for i, one in enumerate(held):
        for name in ("previous_action", "previous_reward"):
            assert not np.shares_memory(one[name], action)
            assert not any(np.shares_memory(one[name], other[name]) for other in held[i + 1 :])


def test_it_is_made_again_from_its_spec_and_from_a_pickle() -> None:
    env = PreviousActionReward(gym.make("MemoryAgents/TMaze-v0"))
    assert env.spec is not None
    for copy in (gym.make(env.spec), pickle.loads(pickle.dumps(env))):
        assert copy.observation_space == env.observation_space


def entries(env: PreviousActionReward) -> spaces.Dict:
    assert isinstance(env.observation_space, spaces.Dict)
    return env.observation_space


@pytest.mark.parametrize("shown", ["previous_action", "previous_reward"])
def test_one_of_both_is_shown_alone(shown: str) -> None:
    flags = dict.fromkeys(("previous_action", "previous_reward"), False) | {shown: True}
    env, both = PreviousActionReward(Counting(spaces.Discrete(2)), **flags), PreviousActionReward(TMaze())
    env.reset()
    seen, *_ = env.step(1)
    assert set(seen) == set(entries(env)) == {"observation", shown}
    assert seen[shown].tolist() == dict(previous_action=[0, 1], previous_reward=[0.5])[shown]
    assert set(entries(both)) == {"observation", "previous_action", "previous_reward"}


def test_showing_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="leave nothing to show: set one of them"):
        PreviousActionReward(TMaze(), previous_action=False, previous_reward=False)
    with pytest.raises(ValueError, match="previous_reward must be True or False, got 'no'"):
        PreviousActionReward(TMaze(), previous_reward="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4, start=-1),
        spaces.MultiDiscrete([2, 3, 2], start=[0, 5, -1]),
        spaces.MultiDiscrete(np.array([[2, 3], [4, 2]])),
        spaces.MultiBinary([2, 2]),
        spaces.Box(-1, 1, (2, 3)),
        spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (2,))]),
    ],
    ids=str,
)
def test_actions_of_many_environments_are_written_as_gymnasium_writes_one(space: spaces.Space[Any]) -> None:
    space.seed(0)
    actions = [space.sample() for _ in range(7)]
    expected = np.stack([np.asarray(spaces.flatten(space, action)) for action in actions])
    written = written_actions(space, actions)
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, expected.astype(np.float32))


def test_environments_export_it_too() -> None:
    assert envs.PreviousActionReward is PreviousActionReward


@pytest.mark.parametrize("merged", [True, False])
def test_what_the_environment_paid_and_was_told_stays_as_it_was(merged: bool) -> None:
    """An episode that starts is shown no reward and no action; its last step has been paid for all the same."""
    space = spaces.Dict({"time": spaces.Box(0, 10, (1,), np.float32)}) if merged else None

    def make() -> gym.Env[Any, Any]:
        return Counting(spaces.Box(-1, 1, (2,), np.float32), space)

    venv = VecPreviousActionReward(DummyVecEnv([make, make]))
    venv.reset()
    actions = np.full((2, 2), 0.5, np.float32)
    for step in range(1, 5):
        observations, rewards, dones, infos = venv.step(actions)
        np.testing.assert_array_equal(rewards, [step / 2, step / 2])
        np.testing.assert_array_equal(actions, np.full((2, 2), 0.5))
    assert dones.all()
    assert isinstance(observations, dict)
    for name in ("previous_action", "previous_reward"):
        np.testing.assert_array_equal(observations[name], 0)
    assert [info["terminal_observation"]["previous_reward"].item() for info in infos] == [2, 2]
