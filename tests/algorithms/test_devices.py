"""On a device beside the CPU everything is computed there, comes to the same, and is seldom waited for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO as StockPPO
from stable_baselines3.common.base_class import BaseAlgorithm

from memory_agents.common import CompressiveMemoryExtractor, SequenceRolloutBuffer, VecHistory
from memory_agents.common.rollout_steps import RolloutSteps, StepGraph
from memory_agents.memory import memory_registry
from tests.algorithms.agents import ALGORITHMS, SMALL, make, takes, venv
from tests.common.test_rollout_steps import replay_on_the_cpu
from tests.dqn.toys import toy_agent as toy_dqn
from tests.dqn.toys import toy_qrdqn
from tests.emulated_device import EMULATED, emulated_device
from tests.ppo.toys import ACTIONS, TINY, toy_venv

#: Short enough memories for decisions in short episodes.
JUDGED = dict(TINY, memory_length=2, compressed_length=2, judger=dict(hidden_size=4))
MakeAgent = Callable[[Any], Any]


def parameters(agent: BaseAlgorithm) -> th.Tensor:
    return th.cat([parameter.detach().cpu().flatten() for parameter in agent.policy.parameters()])


def assert_same_learned(make_agent: MakeAgent, steps: int = 96, tolerance: float = 1e-3) -> None:
    """On both devices the same agent learns the same, but for what rounding can do to Adam's small gradients."""
    on_cpu = make_agent("cpu")
    before, expected = parameters(on_cpu), parameters(on_cpu.learn(steps))
    with emulated_device():
        agent = make_agent(EMULATED)
        assert agent.policy.device == EMULATED
        assert th.equal(parameters(agent), before)
        found = parameters(agent.learn(steps))
    assert (found - expected).norm() < tolerance * (expected - before).norm()


def test_the_device_works_with_no_tensor_of_the_cpu() -> None:
    with emulated_device() as waits:
        there, here = th.tensor([1.0, 2.0], device=EMULATED), th.tensor([3.0, 4.0])
        assert there.device == EMULATED
        with pytest.raises(RuntimeError, match=r"add.* two devices"):
            there + here
        with pytest.raises(RuntimeError, match=r"cat.* two devices"):
            th.cat([here, there])
        with pytest.raises(RuntimeError, match=r"into a tensor of the CPU where one of another device says"):
            here[th.ones_like(there).long()]
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()
        doubled = (here[0] * there).sum()  # single numbers go along
        assert doubled.device == EMULATED
        assert not any("mul" in kind or "sum" in kind for kind in waits)
        waits.clear()
        assert doubled.item() == 9.0
        assert there[there > 1].tolist() == [2.0]
        assert th.equal(there.cpu(), th.tensor([1.0, 2.0]))
        reads = Counter(kind.partition(" ")[0] for kind in waits.elements())
        assert reads == {"_local_scalar_dense": 1, "index": 1, "_to_copy": 2}


def pairs(often: Any, *parts: Iterable[Any]) -> list[Any]:
    """All combinations, and which of them are tested often: where this says so."""
    return [pytest.param(*each, marks=[] if often(*each) else [pytest.mark.slow]) for each in product(*parts)]


@pytest.mark.parametrize(
    ("name", "memory"),
    pairs(lambda name, memory: memory == "compressive", ALGORITHMS, memory_registry),
)
def test_every_core_learns_the_same(name: str, memory: str) -> None:
    kwargs = dict(memory_class=memory, memory_kwargs=SMALL.get(memory, {}), share_features_extractor=name == "PPO")
    sizes: dict[str, Any] = dict(n_steps=16, sequence_length=8, **({} if name == "A2C" else dict(batch_size=24)))

    def agent(device: Any) -> BaseAlgorithm:
        env = venv(name, observation="dict", truncate=True)
        made: BaseAlgorithm = make(name, env, policy="MemoryPolicy", policy_kwargs=kwargs, device=device, **sizes)
        return made

    assert_same_learned(agent)


@pytest.mark.parametrize(("name", "action"), pairs(lambda name, action: name == "PPO", ALGORITHMS, ACTIONS))
def test_every_algorithm_learns_the_same_with_every_kind_of_action(name: str, action: str) -> None:
    if not takes(name, ACTIONS[action]):
        pytest.skip("has no masks")
    assert_same_learned(lambda device: make(name, venv(name, action=action), device=device))


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(refresh_states=True),
        dict(policy_kwargs=dict(memory_kwargs=dict(TINY, compression_loss="attention"))),
        dict(policy_kwargs=dict(memory_kwargs=dict(TINY, compression="most_used"))),
        dict(policy_kwargs=dict(memory_kwargs=dict(TINY, positions="rotary"))),
        dict(policy_kwargs=dict(memory_kwargs=JUDGED)),
        dict(policy_kwargs=dict(memory_kwargs=JUDGED), judger_kwargs=dict(reward="perplexity")),
    ],
    ids=str,
)
def test_every_way_to_learn_learns_the_same(kwargs: dict[str, Any]) -> None:
    assert_same_learned(lambda device: make("PPO", device=device, **kwargs), 192)


@pytest.mark.parametrize("memory", memory_registry)
def test_with_all_that_is_done_on_a_gpu_it_learns_the_same(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are recorded, and rollouts are kept there."""
    monkeypatch.setattr(StepGraph.__init__, "__defaults__", (replay_on_the_cpu,))
    monkeypatch.setattr(SequenceRolloutBuffer, "_fits_on_device", lambda buffer: True)
    kwargs = dict(memory_class=memory, memory_kwargs=SMALL.get(memory, {}))
    sizes = dict(n_steps=16, sequence_length=8, batch_size=24)
    agents = []

    def agent(device: Any) -> BaseAlgorithm:
        agents.append(make("PPO", policy="MemoryPolicy", policy_kwargs=kwargs, device=device, **sizes))
        agents[-1]._steps = RolloutSteps(agents[-1].policy)
        agents[-1]._steps._records = device == EMULATED
        return cast(BaseAlgorithm, agents[-1])

    assert_same_learned(agent)
    assert [agent._steps._graph is not None for agent in agents] == [False, True]


def test_in_half_precision_it_learns_nearly_the_same() -> None:
    kwargs = dict(policy_kwargs=dict(autocast="bfloat16"))
    assert_same_learned(lambda device: make("PPO", device=device, **kwargs), tolerance=0.1)


@pytest.mark.parametrize("observation", ["image", "dict_image", "multi_discrete"])
def test_it_learns_the_same_from_other_observations(observation: str) -> None:
    assert_same_learned(lambda device: make("PPO", venv("PPO", observation=observation), device=device))


@pytest.mark.parametrize(
    ("make_agent", "memory"),
    pairs(
        lambda make_agent, memory: make_agent is toy_dqn or memory == "compressive",
        (toy_dqn, toy_qrdqn),
        memory_registry,
    ),
)
def test_off_policy_every_core_learns_the_same(make_agent: Callable[..., Any], memory: str) -> None:
    kwargs = dict(memory_class=memory, memory_kwargs=SMALL.get(memory, {}))
    assert_same_learned(lambda device: make_agent(policy="MemoryPolicy", policy_kwargs=kwargs, device=device))


def test_off_policy_a_judged_memory_learns_the_same() -> None:
    kwargs = dict(memory_kwargs=dict(JUDGED, judger="discard"))
    assert_same_learned(lambda device: toy_dqn(policy_kwargs=kwargs, device=device))


@pytest.mark.parametrize("memory", pairs(lambda memory: memory == "compressive", memory_registry))
def test_the_features_extractor_learns_the_same(memory: str) -> None:
    kwargs = dict(
        features_extractor_class=CompressiveMemoryExtractor,
        features_extractor_kwargs=dict(memory_class=memory, memory_kwargs=SMALL.get(memory, {})),
    )

    def agent(device: Any) -> BaseAlgorithm:
        env = VecHistory(toy_venv(n_envs=2), 6)
        sizes: dict[str, Any] = dict(n_steps=16, batch_size=16, n_epochs=2, seed=0)
        return StockPPO("MultiInputPolicy", env, policy_kwargs=kwargs, device=device, **sizes)

    assert_same_learned(agent, 64)


@pytest.mark.parametrize(
    "make_agent", [lambda device: make("PPO", device=device), lambda device: toy_dqn(device=device)]
)
def test_predictions_are_the_same(make_agent: MakeAgent) -> None:
    def play(agent: BaseAlgorithm) -> list[np.ndarray]:
        obs, state, actions = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3), None, []
        for step in range(12):
            starts = np.array([step == 0, step % 5 == 0, step == 0])
            action, state = agent.predict(obs * (step + 1), state, starts, deterministic=step % 2 == 0)
            actions.append(action)
        return actions

    th.manual_seed(0)
    expected = play(make_agent("cpu"))
    with emulated_device():
        th.manual_seed(0)
        np.testing.assert_array_equal(play(make_agent(EMULATED)), expected)


def waits_of_learning(memory: str, n_layers: int, sequence_length: int) -> Counter[str]:
    """How often the CPU waits while an agent learns from a rollout in three minibatches."""
    kwargs = dict(memory_class=memory, memory_kwargs={**SMALL.get(memory, {}), "n_layers": n_layers})
    sizes: dict[str, Any] = dict(n_steps=32, batch_size=32, n_epochs=1, sequence_length=sequence_length)
    with emulated_device() as waits:
        agent = make("PPO", policy="MemoryPolicy", policy_kwargs=kwargs, device=EMULATED, **sizes)
        with patch.object(agent, "train"):
            agent.learn(96)
        waits.clear()
        agent.train()
    return waits


@pytest.mark.parametrize("memory", memory_registry)
def test_learning_waits_neither_for_layers_nor_for_steps(memory: str) -> None:
    expected = waits_of_learning(memory, 1, 8)
    assert expected == waits_of_learning(memory, 3, 8)
    assert expected == waits_of_learning(memory, 1, 16)
