"""What rollouts do at a step can be recorded: on a device without numbers, where nothing can wait for any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from torch.utils._python_dispatch import TorchDispatchMode

from memory_agents import PPO
from memory_agents.common.rollout_steps import StepGraph
from memory_agents.memory import memory_registry, tree_leaves, tree_map
from memory_agents.nn import compression_registry

BOX = spaces.Box(-1, 1, (3,), np.float32)


class Spaces(gym.Env[Any, Any]):
    """An environment of these spaces."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space


class NothingFromTheCpu(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations on tensors of the CPU, which a recording would copy once and for all."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = th.utils._pytree.tree_leaves((args, kwargs))
        assert not any(isinstance(x, th.Tensor) and x.device.type == "cpu" for x in given), f"{func} reads the CPU"
        return func(*args, **kwargs or {})


def rehearse(work: Callable[[], None], rehearsal: Callable[[], None], device: th.device) -> Callable[[], None]:
    with NothingFromTheCpu():  # type: ignore[no-untyped-call]
        rehearsal()
        work()
    return work


def record(policy_kwargs: dict[str, Any], observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
    """Record a step on the device "meta", whose tensors have shapes and no numbers."""
    venv = DummyVecEnv([lambda: Spaces(observations, actions)] * 3)
    policy = PPO("MemoryPolicy", venv, n_steps=16, device="cpu", policy_kwargs=policy_kwargs).policy
    policy.set_training_mode(False)
    seen = policy.obs_to_tensor(tree_map_numpy(observations.sample()))[0]
    policy.to("meta")
    state = policy.unpack_state(policy.initial_state(3))
    assert all(leaf.device.type == "meta" for leaf in tree_leaves(state))
    starts = th.zeros(3, dtype=th.bool, device="meta")
    StepGraph(policy, tree_map(lambda x: x.to("meta"), seen), state, starts, rehearse)


def tree_map_numpy(sample: Any) -> Any:
    """Three of an observation."""
    if isinstance(sample, dict):
        return {key: tree_map_numpy(part) for key, part in sample.items()}
    return np.stack([sample] * 3)


@pytest.mark.parametrize("name", list(memory_registry))
def test_steps_of_every_memory(name: str) -> None:
    record({"memory_class": name}, BOX, spaces.Discrete(3))


@pytest.mark.parametrize(
    "memory_kwargs",
    [
        *({"compression": name} for name in compression_registry),
        *({"judger": judger} for judger in (True, "keep", "discard", "random")),
        *({"positions": name} for name in ("learned", "rotary")),
        {"recurrence_delay": 8},
        {"n_layers": 2, "memory_length": [8, 0], "compressed_length": [4, 0]},
        {"mogrifier_rounds": 2},
        {"norm": "post", "final_norm": True},
    ],
    ids=str,
)
def test_steps_with_every_option(memory_kwargs: dict[str, Any]) -> None:
    record({"memory_class": "compressive", "memory_kwargs": memory_kwargs}, BOX, spaces.Discrete(3))


@pytest.mark.parametrize(
    "actions", [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)], ids=str
)
def test_steps_with_every_kind_of_action(actions: spaces.Space[Any]) -> None:
    record({"memory_class": "lstm"}, BOX, actions)


@pytest.mark.parametrize(
    "observations",
    [
        spaces.Discrete(4, start=2),
        spaces.MultiDiscrete([3, 2], start=[1, 2]),
        spaces.MultiBinary(3),
        spaces.Box(0, 255, (3, 36, 36), np.uint8),
        spaces.Dict({"number": spaces.Discrete(3, start=1), "vector": BOX}),
    ],
    ids=str,
)
def test_steps_with_every_kind_of_observation(observations: spaces.Space[Any]) -> None:
    record({"memory_class": "lstm"}, observations, spaces.Discrete(3))


def test_what_depends_on_numbers_is_found() -> None:
    """The check itself: with distributions that look at their numbers a step cannot be recorded."""
    with pytest.raises(AssertionError, match="reads the CPU"), NothingFromTheCpu():  # type: ignore[no-untyped-call]
        th.zeros(2, device="meta") + th.zeros(2)
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(th.zeros(1, device="meta").any())
