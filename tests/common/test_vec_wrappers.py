"""Histories, previous actions and previous rewards of vectorised environments."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize

from memory_agents import HistoryWrapper, PreviousActionReward, VecHistory, VecPreviousActionReward
from memory_agents.envs import TMaze
from tests.ppo.toys import ACTIONS, OBSERVATIONS, Toy, toy_agent, toy_venv


class Own(Toy):
    """A toy that samples from a space of its own, so that its neighbours do not matter."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = copy.deepcopy(self.observation_space)


def play(venv: VecEnv, steps: int = 30) -> list[Any]:
    """Observations, and last observations of episodes, for the same actions whenever it is called."""
    venv.seed(3)
    venv.action_space.seed(1)
    seen: list[Any] = [venv.reset()]
    for _ in range(steps):
        actions = np.stack([venv.action_space.sample() for _ in range(venv.num_envs)])
        observations, _, dones, infos = venv.step(actions)
        seen += [observations, *(info["terminal_observation"] for info in infos if "terminal_observation" in info)]
        assert sum("terminal_observation" in info for info in infos) == dones.sum()
    return seen


def assert_same(seen: list[Any], expected: list[Any]) -> None:
    assert len(seen) == len(expected) > 33  # some episodes have ended
    for one, other in zip(seen, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
            assert np.asarray(one[name]).dtype == np.asarray(other[name]).dtype


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_histories_are_those_of_single_environments(observation: str) -> None:
    kwargs: Any = dict(env_kwargs=dict(observation=observation, truncate=True), n_envs=3)
    flags = dict(previous_action=observation == "box", previous_reward=observation == "dict")
    venv = VecHistory(make_vec_env(Own, **kwargs), 5, **flags)
    kwargs |= dict(wrapper_class=HistoryWrapper, wrapper_kwargs=dict(history_length=5, **flags))
    wrapped = make_vec_env(Own, **kwargs)
    assert venv.observation_space == wrapped.observation_space
    assert_same(play(venv), play(wrapped))


@pytest.mark.parametrize("action", ACTIONS)
def test_previous_actions_and_rewards_are_those_of_single_environments(action: str) -> None:
    kwargs: Any = dict(env_kwargs=dict(action=action, truncate=True), n_envs=3)
    venv = VecPreviousActionReward(make_vec_env(Own, **kwargs))
    wrapped = make_vec_env(Own, **kwargs, wrapper_class=PreviousActionReward)
    assert venv.observation_space == wrapped.observation_space
    assert_same(play(venv), play(wrapped))


@pytest.mark.parametrize("shown", ["previous_action", "previous_reward"])
def test_one_of_both_is_shown_alone(shown: str) -> None:
    flags = dict.fromkeys(("previous_action", "previous_reward"), False) | {shown: True}
    venv = VecPreviousActionReward(toy_venv(), **flags)
    assert isinstance(venv.observation_space, spaces.Dict)
    assert set(venv.reset()) == set(venv.observation_space) == {"observation", shown}


def test_terminal_observations_do_not_change_afterwards() -> None:
    venv = VecHistory(toy_venv(n_envs=2), 3, previous_action=True)
    venv.reset()
    ended: list[tuple[Any, Any]] = []
    for _ in range(40):
        _, _, _, infos = venv.step(np.array([1, 2]))
        for info in infos:
            if "terminal_observation" in info:
                last = info["terminal_observation"]
                assert venv.observation_space.contains(last)
                assert last["previous_action"][-1].any()
                assert all(rows.base is None for rows in last.values())  # else it would keep those of its neighbours
                ended.append((last, {name: np.array(rows) for name, rows in last.items()}))
    assert len(ended) > 4
    for last, before in ended:
        for name, rows in before.items():
            np.testing.assert_array_equal(last[name], rows)


def test_rewards_are_shown_as_they_come_from_inside() -> None:
    inside = VecPreviousActionReward(VecNormalize(toy_venv(), norm_obs=False))
    inside.reset()
    observations: Any
    observations, rewards, *_ = inside.step(np.zeros(3, dtype=int))
    np.testing.assert_array_equal(observations["previous_reward"][:, 0], rewards)

    venv = VecNormalize(VecPreviousActionReward(toy_venv()), norm_obs=False)
    venv.reset()
    observations, rewards, *_ = venv.step(np.zeros(3, dtype=int))
    np.testing.assert_array_equal(observations["previous_reward"][:, 0], venv.get_original_reward())
    assert not np.array_equal(rewards, venv.get_original_reward())

    scaled = VecNormalize(VecPreviousActionReward(toy_venv()))
    play(scaled, 60)
    assert scaled.obs_rms["previous_reward"].count > 100


@pytest.mark.parametrize("action", ACTIONS)
def test_agents_with_memory_learn_from_previous_actions_and_rewards(action: str) -> None:
    venv = VecPreviousActionReward(VecNormalize(toy_venv(action=action, truncate=True)))
    agent = toy_agent(venv, n_epochs=1).learn(96)
    width = agent.observation_space["previous_action"].shape  # type: ignore[index]
    assert agent.policy.memories[0].input.in_features == 3 + width[0] + 1  # type: ignore[union-attr]
    assert agent.logger.name_to_value["memory/first_ratio_error"] < 1e-4


def test_single_environments_name_the_wrapper_for_them() -> None:
    with pytest.raises(TypeError, match="put HistoryWrapper around a single environment"):
        VecHistory(TMaze(), 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="put PreviousActionReward around a single environment"):
        VecPreviousActionReward(TMaze())  # type: ignore[arg-type]


def test_a_reset_begins_every_history_anew() -> None:
    venv = VecHistory(make_vec_env(Own, 3), 5, previous_action=True)
    play(venv, 3)
    shown = venv.reset()
    assert isinstance(shown, dict)
    assert shown["history_length"].tolist() == [1, 1, 1]
    assert shown["observation"][:, -1].any()
    for name in ("observation", "previous_action"):
        assert not shown[name][:, :-1].any()
    assert not shown["previous_action"].any()


class Told(VecEnvWrapper):
    """Tells ends of episodes in numbers, and last observations or none."""

    def __init__(self, venv: VecEnv, last: bool = True) -> None:
        super().__init__(venv)
        self.last = last

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        if not self.last:
            infos = [{**info, "terminal_observation": None} for info in infos]
        return observations, rewards, dones.astype(np.uint8), infos


WRAPPERS = [VecPreviousActionReward, lambda venv: VecHistory(venv, 5)]
over_wrappers = pytest.mark.parametrize("wrapper", WRAPPERS, ids=["VecPreviousActionReward", "VecHistory"])


@over_wrappers
def test_ends_of_episodes_may_be_told_in_numbers(wrapper: Any) -> None:
    kwargs: Any = dict(env_kwargs=dict(truncate=True), n_envs=4)
    told = wrapper(Told(make_vec_env(Own, **kwargs)))
    assert_same(play(told), play(wrapper(make_vec_env(Own, **kwargs))))


@over_wrappers
def test_last_observations_need_not_be_told(wrapper: Any) -> None:
    venvs = [wrapper(make(make_vec_env(Own, 2))) for make in (lambda venv: venv, lambda venv: Told(venv, last=False))]
    for venv in venvs:
        venv.seed(3)
    seen, other = (venv.reset() for venv in venvs)
    ended = 0
    for _ in range(30):
        for name, rows in seen.items():
            np.testing.assert_array_equal(rows, other[name])
        (seen, _, dones, _), (other, _, _, infos) = (venv.step(np.array([0, 1])) for venv in venvs)
        assert all(info["terminal_observation"] is None for info in infos)
        ended += dones.sum()
    assert ended > 2
