"""Small steps are taken by one thread, whatever PyTorch has; learning and large ones have all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from memory_agents.common import threads
from memory_agents.common.threads import SMALL_STEP, step_threads
from tests.dqn.toys import toy_agent as toy_dqn
from tests.ppo.toys import toy_agent

AGENTS = [toy_agent, toy_dqn]


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = th.get_num_threads()
    th.set_num_threads(3)
    yield
    th.set_num_threads(before)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Whether gradients were kept when features were extracted, and by how many threads."""
    found, forward = list[tuple[bool, int]](), FlattenExtractor.forward

    def watched(extractor: FlattenExtractor, obs: th.Tensor) -> th.Tensor:
        found.append((th.is_grad_enabled(), th.get_num_threads()))
        return forward(extractor, obs)

    monkeypatch.setattr(FlattenExtractor, "forward", watched)
    return found


@pytest.mark.parametrize(("n_envs", "expected"), [(1, 1), (4, 1), (5, 3)])
def test_parameters_times_environments_decide(n_envs: int, expected: int) -> None:
    policy = nn.Linear(SMALL_STEP // 4, 1, bias=False)
    with step_threads(policy, n_envs):
        assert th.get_num_threads() == expected
    assert th.get_num_threads() == 3


def test_elsewhere_than_on_the_cpu_threads_are_left_alone() -> None:
    with step_threads(nn.Linear(1, 1, device="meta"), 1):
        assert th.get_num_threads() == 3


def test_threads_come_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), step_threads(nn.Linear(1, 1), 1):
        raise ZeroDivisionError
    assert th.get_num_threads() == 3


@pytest.mark.parametrize("make", AGENTS)
def test_acting_takes_one_thread_and_learning_all(make: Callable[..., Any], seen: list[tuple[bool, int]]) -> None:
    make().learn(64)
    acting = [n_threads for learns, n_threads in seen if not learns]
    assert acting.count(1) > len(acting) / 2
    assert {n_threads for learns, n_threads in seen if learns} == {3}
    assert th.get_num_threads() == 3


def size(agent: Any) -> int:
    return sum(parameter.numel() for parameter in agent.policy.parameters())


@pytest.mark.parametrize("make", AGENTS)
def test_collecting_counts_the_environments(
    make: Callable[..., Any], seen: list[tuple[bool, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make()
    monkeypatch.setattr(threads, "SMALL_STEP", agent.n_envs * size(agent) - 1)
    agent.learn(64)
    assert agent.n_envs > 1
    assert {n_threads for _, n_threads in seen} == {3}


@pytest.mark.parametrize("make", AGENTS)
@pytest.mark.parametrize(("n_envs", "expected"), [(2, 1), (3, 3)])
def test_predict_counts_the_environments(
    make: Callable[..., Any],
    n_envs: int,
    expected: int,
    seen: list[tuple[bool, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = make()
    monkeypatch.setattr(threads, "SMALL_STEP", 2 * size(agent))
    agent.policy.predict(np.stack([agent.observation_space.sample()] * n_envs))
    assert seen == [(False, expected)]
