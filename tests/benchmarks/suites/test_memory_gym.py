from __future__ import annotations

from typing import Any

import pytest

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.suites.memory_gym import SUITE

pytest.importorskip("memory_gym")
SUITE.load()


def test_it_is_complete() -> None:
    assert len(SUITE.ids()) == 10


@pytest.mark.parametrize("env_id", SUITE.ids())
def test_every_environment_plays_to_its_end(env_id: str) -> None:
    env = make_env(TrainingConfig(env_id))
    env.action_space.seed(0)
    env.reset(seed=0)
    over = False
    info: dict[str, Any] = {}
    while not over:
        assert "is_success" not in info
        observation, _, over, _, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)

    assert info.get("is_success") == (None if env_id.startswith("Endless-") else bool(info["success"]))
