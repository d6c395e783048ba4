from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.suites.minigrid import SUITE

constants = pytest.importorskip("minigrid.core.constants")
SUITE.load()
#: Entries for a tile and for the direction: one less than there are codes, since a code of 0 has none.
TILE, DIRECTION = (10, 5, 2), 3
VIEW = 49 * sum(TILE)


def decode(entries: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    assert (entries.sum(axis=-1) <= 1).all()
    return np.where(entries.any(axis=-1), entries.argmax(axis=-1) + 1, 0)


@pytest.mark.parametrize("env_id", [env_id for env_id in SUITE.ids() if "Memory" in env_id or "Door" in env_id])
def test_nothing_of_the_view_is_lost(env_id: str) -> None:
    env = make_env(TrainingConfig(env_id))
    original = gym.make(env_id, disable_env_checker=True)
    env.action_space.seed(0)
    flat, seen = env.reset(seed=0)[0], original.reset(seed=0)[0]
    for _ in range(100):
        tiles = np.split(flat[:VIEW].reshape(7, 7, sum(TILE)), np.cumsum(TILE)[:-1], axis=-1)
        np.testing.assert_array_equal(np.stack([decode(entries) for entries in tiles], axis=-1), seen["image"])
        assert decode(flat[VIEW : VIEW + DIRECTION]) == seen["direction"]
        action = env.action_space.sample()
        flat, _, over, cut, _ = env.step(action)
        seen, *_ = original.step(action)
        if over or cut:
            flat, seen = env.reset(seed=1)[0], original.reset(seed=1)[0]


def test_sizes_are_those_of_minigrid() -> None:
    tables = (constants.OBJECT_TO_IDX, constants.COLOR_TO_IDX, constants.STATE_TO_IDX)

    assert tuple(len(table) - 1 for table in tables) == TILE


@pytest.mark.parametrize(
    ("env_id", "words"),
    [("MiniGrid-MemoryS7-v0", 0), ("MiniGrid-GoToDoor-5x5-v0", 5), ("MiniGrid-Fetch-5x5-N2-v0", 10)],
)
def test_only_missions_that_differ_are_seen(env_id: str, words: int) -> None:
    env = make_env(TrainingConfig(env_id))
    missions: dict[str, bytes] = {}
    for seed in range(60):
        flat, _ = env.reset(seed=seed)
        shown = flat[VIEW + DIRECTION :]
        assert len(shown) == words
        mission = env.unwrapped.get_wrapper_attr("mission")
        assert missions.setdefault(mission, shown.tobytes()) == shown.tobytes()

    assert len(set(missions.values())) == len(missions)
    assert (len(missions) > 1) == (words > 0)


def test_a_player_with_memory_succeeds_and_its_opposite_fails() -> None:
    env = make_env(TrainingConfig("MiniGrid-MemoryS7-v0"))
    for seed in range(12):
        env.reset(seed=seed)
        inner = env.unwrapped
        for wanted in ("success_pos", "failure_pos"):
            env.reset(seed=seed)
            steps = inner.get_wrapper_attr("success_pos")[0] - inner.get_wrapper_attr("agent_pos")[0]
            turn = 1 if inner.get_wrapper_attr(wanted)[1] > inner.get_wrapper_attr("agent_pos")[1] else 0
            for action in [2] * steps + [turn] + [2]:
                _, reward, terminated, truncated, info = env.step(action)
            assert terminated
            assert not truncated
            assert info["is_success"] == (wanted == "success_pos") == (float(reward) > 0.9)


def test_time_runs_out_without_success() -> None:
    env = make_env(TrainingConfig("MiniGrid-MemoryS7-v0", env_kwargs={"max_steps": 3}))
    env.reset(seed=0)
    ends = [env.step(0)[3:] for _ in range(3)]

    assert ends == [(False, {}), (False, {}), (True, {"is_success": False})]
