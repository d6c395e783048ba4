"""Nested observations made flat, and what no policy can read."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from memory_agents import DQN, PPO, FlatDictObservation
from memory_agents.common import observations
from memory_agents.common.observations import (
    check_observation_space,
    counted_from_zero,
    flat_observation,
    is_nested,
    readable,
)
from tests.ppo.toys import NESTED, OBSERVATIONS, Toy

NAMES = {
    "tuple": {"0", "1"},
    "nested": {"seen/near", "seen/type", "felt/0", "felt/1/0", "x"},
}


def entry_of(observation: Any, name: str) -> Any:
    """The entry that a joined name stands for."""
    for key in name.split("/"):
        observation = observation[int(key) if isinstance(observation, tuple | spaces.Tuple) else key]
    return observation


@pytest.mark.parametrize("observation", NESTED)
def test_every_entry_gets_the_path_to_it_as_its_name(observation: str) -> None:
    inside = Toy(observation)
    env = FlatDictObservation(inside)
    flat = env.observation_space
    assert isinstance(flat, spaces.Dict)
    assert not is_nested(flat)
    assert set(flat) == NAMES[observation]
    shown = [env.reset(seed=0)[0], *(env.step(0)[0] for _ in range(2))]
    for seen, whole in zip(shown, inside.seen, strict=True):
        assert flat.contains(seen)
        for name, entry in seen.items():
            np.testing.assert_array_equal(entry, entry_of(whole, name))
            assert flat[name] == entry_of(inside.observation_space, name)


@pytest.mark.parametrize("observation", NESTED)
def test_both_checkers_accept_it(observation: str) -> None:
    class Seeded(Toy):
        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            first, info = super().reset(seed=seed, options=options)
            self.observation_space.seed(int(self.np_random.integers(1000)))
            return first, info

    env = FlatDictObservation(Seeded(observation))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        gymnasium_check_env(env, skip_render_check=True)
        # That categories do not begin with zero is what our policies see to themselves.
        sb3_check_env(env, warn=observation == "tuple")


def test_it_is_pickled() -> None:
    env = FlatDictObservation(Toy("nested"))
    assert pickle.loads(pickle.dumps(env)).observation_space == env.observation_space


def test_two_entries_of_one_name_are_an_error() -> None:
    env = Toy()
    box = spaces.Box(-1, 1, (1,))
    env.observation_space = spaces.Dict({"a/b": box, "a": spaces.Dict({"b": box})})
    with pytest.raises(ValueError, match="two observations whose names become 'a/b'; rename one"):
        FlatDictObservation(env)


def test_what_is_flat_needs_no_wrapper() -> None:
    assert not any(is_nested(space) for space in OBSERVATIONS.values())
    assert all(is_nested(space) for space in NESTED.values())
    with pytest.raises(ValueError, match="which is flat; leave the wrapper out"):
        FlatDictObservation(Toy("box"))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (NESTED["tuple"], r"nested observations, Tuple\(.*put FlatDictObservation around each.*wrapper_class="),
        (NESTED["nested"], r"nested observations, Dict\(.*put FlatDictObservation"),
        (
            spaces.MultiDiscrete(np.full((2, 2), 3)),
            r"(?s)observations in MultiDiscrete.*put FlattenObservation of Gymnasium",
        ),
        (spaces.Text(5), r"env has observations in Text.*turn them into numbers$"),
        (spaces.Dict({"mission": spaces.Text(5)}), r"observations 'mission' in Text.*leave them out with Filter"),
        (spaces.Dict({"many": spaces.Sequence(spaces.Discrete(2))}), "observations 'many' in Sequence"),
    ],
)
def test_what_no_policy_reads_is_an_error(space: spaces.Space[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_observation_space(space)


@pytest.mark.parametrize("space", OBSERVATIONS.values(), ids=OBSERVATIONS)
def test_what_policies_read_is_no_error(space: spaces.Space[Any]) -> None:
    check_observation_space(space)


@pytest.mark.parametrize("observation", NESTED)
def test_nested_observations_are_recognised(observation: str) -> None:
    env = FlatDictObservation(Toy(observation))
    flat, _ = env.reset(seed=0)
    inside: Any = env.unwrapped
    again = flat_observation(inside.seen[0], env.observation_space)
    assert again.keys() == flat.keys()
    assert all(again[name] is flat[name] for name in flat)
    assert flat_observation(flat, env.observation_space) == flat


def test_other_observations_are_left_alone() -> None:
    space = FlatDictObservation(Toy("tuple")).observation_space
    pair: Any = (np.zeros(3), {})
    assert flat_observation(pair, space) is pair
    assert flat_observation(pair, OBSERVATIONS["box"]) is pair
    incomplete = {"0": np.zeros(3)}
    assert flat_observation(incomplete, space) is incomplete


def test_categories_are_counted_from_zero() -> None:
    one = counted_from_zero(th.tensor([3, 6]), spaces.Discrete(4, start=3))
    assert isinstance(one, th.Tensor)
    assert one.tolist() == [0, 3]
    many = counted_from_zero(th.tensor([[3, -1], [5, 0]]), spaces.MultiDiscrete([3, 2], start=[3, -1]))
    assert isinstance(many, th.Tensor)
    assert many.tolist() == [[0, 0], [2, 1]]
    space = OBSERVATIONS["dict_from_three"]
    entries = counted_from_zero({"x": th.tensor([0.5, 1.0]), "kind": th.tensor([5, 3])}, space)
    assert isinstance(entries, dict)
    assert entries["x"].tolist() == [[0.5], [1.0]]
    assert entries["kind"].tolist() == [2, 0]


class Converted(Toy):
    """An environment of OpenAI Gym as Gymnasium has it."""

    def __init__(self, env: Any) -> None:
        super().__init__("nested")
        self.inside = env


def test_environments_of_openai_gym_are_converted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        observation_space = action_space = "of another library"

    old: Any = Old()
    monkeypatch.setattr(observations, "_patch_env", Converted)
    env = readable(old)
    assert isinstance(env, FlatDictObservation)
    assert isinstance(env.unwrapped, Converted)
    assert env.unwrapped.inside is old


@pytest.mark.parametrize("env", [Toy, lambda: Toy(), [Toy()]], ids=["class", "function", "list"])
@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_what_is_no_environment_is_called_by_its_type(algorithm: type[Any], env: Any) -> None:
    with pytest.raises(ValueError, match=r"The environment is of type .*, not a Gymnasium environment"):
        algorithm("MemoryPolicy", env)
