"""Single and batched environments, played side by side."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from memory_agents.envs import ENVIRONMENTS, MemoryEnv
from memory_agents.vec_env import BatchedVecEnv, make_batched
from tests.envs.playing import SETTINGS

ID_OF = {entry.entry_point.partition(":")[2]: env_id for env_id, entry in ENVIRONMENTS.items()}
BATCHED = [env_id for env_id, entry in ENVIRONMENTS.items() if entry.batched is not None]

#: Settings of all batched environments; those of others, which can last very long, are cut.
BATCHED_SETTINGS: list[tuple[str, dict[str, Any]]] = [
    (ID_OF[env_class.__name__], kwargs) for env_class, kwargs in SETTINGS if ID_OF[env_class.__name__] in BATCHED
]
BATCHED_SETTINGS += [(env_id, {"max_episode_steps": 70}) for env_id in BATCHED if env_id not in dict(BATCHED_SETTINGS)]


def short_name(value: object) -> str | None:
    """Name a test after its environment."""
    return value.partition("/")[2] if isinstance(value, str) else None


class MixedPlayer:
    """Acts for many environments: some at random, others by the oracle, each for whole episodes.

    :param env: An environment with the same arguments.
    :param n_envs: Number of environments.
    :param seed: Seed of its randomness.
    """

    def __init__(self, env: gym.Env[Any, Any], n_envs: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        env.action_space.seed(seed)
        self.space, self.n_envs = env.action_space, n_envs
        scripted = isinstance(env.unwrapped, MemoryEnv)
        self.oracles = [env.unwrapped.oracle() for _ in range(n_envs)] if scripted else []  # type: ignore[attr-defined]
        self.scripted = np.zeros(n_envs, np.bool_)
        self.begin(np.ones(n_envs, np.bool_))

    def begin(self, began: NDArray[np.bool_]) -> None:
        """Take note of episodes that have just begun.

        :param began: Where, ``(n_envs,)``.
        """
        for copy in began.nonzero()[0].tolist():
            self.scripted[copy] = bool(self.oracles) and self.rng.random() < 0.5
            if self.scripted[copy]:
                self.oracles[copy].reset()

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return an action for each environment.

        :param observations: ``(n_envs, ...)``.
        """
        actions = [self.space.sample() for _ in range(self.n_envs)]
        for copy in self.scripted.nonzero()[0].tolist():
            actions[copy] = self.oracles[copy].act(observations[copy])
        return np.array(actions)


def make_pair(env_id: str, n_envs: int, seed: int | None, **kwargs: Any) -> tuple[DummyVecEnv, BatchedVecEnv]:
    """Return single environments and batched ones."""
    single = make_vec_env(env_id, n_envs, seed=seed, env_kwargs=kwargs)
    assert isinstance(single, DummyVecEnv)
    return single, make_batched(env_id, n_envs, seed, **kwargs)


def assert_same(one: Any, other: Any) -> None:
    """Check that two values are the same in kind and to the bit."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype == object:
            for left, right in zip(one.ravel(), other.ravel(), strict=True):
                assert_same(left, right)
        else:
            # By bytes, as -0.0 and 0.0 are equal.
            assert one.tobytes() == other.tobytes(), (one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other


def without_times(infos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Remove the time of episodes, in place."""
    for info in infos:
        if "episode" in info:
            assert info["episode"].pop("t") >= 0.0
    return infos


def play_side_by_side(single: DummyVecEnv, batched: BatchedVecEnv, steps: int, seed: int) -> int:
    """Check that two vectorised environments give the same, from a reset on; return how many episodes ended."""
    n_envs = single.num_envs
    observations = single.reset()
    assert isinstance(observations, np.ndarray)
    assert_same(observations, batched.reset())
    assert_same(single.reset_infos, batched.reset_infos)
    player, ended = MixedPlayer(single.envs[0], n_envs, seed), 0
    for _ in range(steps):
        actions = player.act(observations)
        expected, found = single.step(actions), batched.step(actions)
        for left, right in zip(expected[:3], found[:3], strict=True):
            assert_same(left, right)
        assert_same(without_times(expected[3]), without_times(found[3]))
        assert_same(single.reset_infos, batched.reset_infos)
        observations, dones = expected[0], expected[2]
        assert isinstance(observations, np.ndarray)
        player.begin(dones)
        ended += int(dones.sum())
    return ended
