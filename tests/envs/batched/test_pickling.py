from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from memory_agents.envs.batched import bank
from memory_agents.envs.batched.pickling import pack, unpack
from memory_agents.vec_env import make_batched
from tests.envs.batched.playing import BATCHED_SETTINGS, assert_same, short_name


class Owner:
    def __init__(self) -> None:
        self.whole = np.arange(24.0).reshape(2, 3, 4)
        self.rows = self.whole[1:, :, ::2]
        self.turned = self.whole.T
        self.fortran = np.asfortranarray(np.arange(6).reshape(2, 3))
        self.column = self.fortran[:, 1]
        self.reversed = self.column[::-1]
        self.alone = np.arange(3)
        self.method = self.total

    def total(self) -> float:
        return float(self.whole.sum())


def test_views_stay_views() -> None:
    one, other = Owner(), Owner()
    one.whole += 1
    other.__dict__.update(unpack(other, pack(one, vars(one))))
    for name in ("whole", "rows", "turned", "fortran", "column", "reversed", "alone"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert not np.shares_memory(getattr(one, name), getattr(other, name))
    other.whole[1, 2, 2] = -7
    assert other.rows[0, 2, 1] == other.turned[2, 2, 1] == -7
    other.fortran[0, 1] = 99
    assert (other.column[0], other.reversed[1]) == (99, 99)
    assert other.method.__self__ is other  # type: ignore[attr-defined]
    assert other.method() == other.whole.sum() != one.method()


@pytest.mark.parametrize(("env_id", "kwargs"), BATCHED_SETTINGS, ids=short_name)
def test_a_copy_plays_on_identically(monkeypatch: pytest.MonkeyPatch, env_id: str, kwargs: dict[str, Any]) -> None:
    # So that episodes are drawn anew again and again.
    monkeypatch.setattr(bank, "MOST_AHEAD", 1)
    env = make_batched(env_id, 3, 1, **{"max_episode_steps": 40, **kwargs})
    env.action_space.seed(0)
    env.reset()
    for steps in (5, 150):
        copy = deepcopy(env)
        for _ in range(steps):
            actions = np.array([env.action_space.sample() for _ in range(3)])
            expected, found = env.step(actions), copy.step(actions)
            for left, right in zip(expected[:3], found[:3], strict=True):
                assert_same(left, right)
