"""Steps of rollouts as recordings: the same as without, and what happens where there can be none."""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable

import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from torch.distributions import Distribution

from memory_agents import PPO
from memory_agents.common import rollout_steps
from memory_agents.common.rollout_steps import (
    Acted,
    RolloutSteps,
    StepGraph,
    check_finite,
    on_cpu,
    record_on_cuda,
)
from memory_agents.memory import memory_registry, static_shapes, tree_leaves
from memory_agents.memory.building import make_memory
from tests.ppo.toys import TINY, Toy, toy_agent, toy_venv

needs_cuda = pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")


def replay_on_the_cpu(work: Callable[[], None], rehearsal: Callable[[], None], device: th.device) -> Callable[[], None]:
    """What a GPU does, for a machine without: the same work, from and into the same places."""
    generator = th.get_rng_state()
    rehearsal()
    th.set_rng_state(generator)

    def replay() -> None:
        with th.no_grad(), static_shapes():
            work()

    return replay


@pytest.mark.parametrize("name", list(memory_registry))
def test_static_shapes_give_the_same_numbers(name: str) -> None:
    core = make_memory(name, 3, {})
    x, starts = th.randn(150, 3, 3), th.rand(150, 3) < 0.03
    state, static = core.initial_state(3), core.initial_state(3)
    for t in range(150):
        y, state = core.step_(x[t], state, starts[t])
        with static_shapes():
            y_static, static = core.step_(x[t], static, starts[t])
        th.testing.assert_close(y_static, y, atol=1e-5, rtol=1e-5)
    for leaf, other in zip(tree_leaves(state), tree_leaves(static), strict=True):
        th.testing.assert_close(leaf, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("judger", [None, "keep"])
def test_a_recording_acts_as_the_policy_does(judger: str | None) -> None:
    agent = toy_agent(policy_kwargs={"memory_kwargs": {**TINY, "judger": judger}})
    policy = agent.policy
    policy.set_training_mode(False)
    obs, starts = th.randn(40, 3, 3), th.rand(40, 3) < 0.1
    state = policy.unpack_state(policy.initial_state(3))
    graph = StepGraph(policy, obs[0], state, starts[0], replay_on_the_cpu)
    for t in range(40):
        th.manual_seed(t)
        *expected, state = policy(obs[t], state, starts[t])
        th.manual_seed(t)
        acted = graph(obs[t], starts[t])
        th.testing.assert_close(acted.values, expected[1].detach(), atol=1e-5, rtol=1e-5)
        if judger is None:
            # A judge draws in a graph also where there is nothing to judge, and other actions are drawn after that.
            assert th.equal(acted.actions, expected[0])
            th.testing.assert_close(acted.log_probs, expected[2].detach(), atol=1e-5, rtol=1e-5)
    for leaf, other in zip(tree_leaves(graph.state), tree_leaves(state), strict=True):
        th.testing.assert_close(leaf, other, atol=1e-5, rtol=1e-5)
    assert graph.fits(policy, 3)
    assert not graph.fits(policy, 4)
    policy.value_net.weight.data = policy.value_net.weight.data.clone()
    assert not graph.fits(policy, 3), "the graph would go on reading where the old numbers lie"


@pytest.mark.parametrize("action", ["discrete", "multi_discrete", "multi_binary", "box"])
def test_a_policy_that_has_diverged_is_told_and_draws_from_numbers(action: str) -> None:
    """On a device, drawing from what is no number would end all other work there, too."""
    policy = toy_agent(env=toy_venv(action=action)).policy
    policy.set_training_mode(False)
    state, none = policy.unpack_state(policy.initial_state(3)), th.zeros(3, dtype=th.bool)
    graph = StepGraph(policy, th.randn(3, 3), state, none, replay_on_the_cpu)
    assert graph(th.randn(3, 3), none).log_probs.isfinite().all()
    assert not policy.action_net._forward_hooks
    with th.no_grad():
        policy.action_net.get_parameter("weight")[0, 0] = math.nan
    for diverged in (graph, StepGraph(policy, th.randn(3, 3), state, none, replay_on_the_cpu)):
        acted = diverged(th.randn(3, 3), none)
        assert acted.actions.isfinite().all()
        assert acted.log_probs.isnan().all()
        assert acted.values.isfinite().all()


def test_entries_of_observations_are_told_apart_by_name() -> None:
    class Two(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Dict(dict.fromkeys("ab", spaces.Box(-1, 1, (2,))))

    policy = toy_agent(env=make_vec_env(Two, 3)).policy
    policy.set_training_mode(False)
    state, none = policy.unpack_state(policy.initial_state(3)), th.zeros(3, dtype=th.bool)
    obs = {"a": th.randn(3, 2), "b": th.randn(3, 2)}
    graph = StepGraph(policy, obs, state, none, replay_on_the_cpu)
    expected = policy(obs, state, none)[1]
    found = graph({"b": obs["b"], "a": obs["a"]}, none).values
    th.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)


def test_nothing_is_torn_down_during_a_recording() -> None:
    assert gc.isenabled()
    with rollout_steps._no_garbage():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with rollout_steps._no_garbage():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_learning_with_recordings_equals_learning_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way through collection: states at window starts, cut episodes, a rollout after the other."""
    plain = toy_agent(env=toy_venv(truncate=True)).learn(96).learn(96, reset_num_timesteps=False)
    recorded = toy_agent(env=toy_venv(truncate=True))
    monkeypatch.setattr(StepGraph.__init__, "__defaults__", (replay_on_the_cpu,))
    recorded._steps = RolloutSteps(recorded.policy)
    recorded._steps._records = True
    recorded.learn(96)
    graph = recorded._steps._graph
    recorded.learn(96, reset_num_timesteps=False)
    assert recorded._steps._graph is graph is not None
    for found, wanted in zip(recorded.policy.parameters(), plain.policy.parameters(), strict=True):
        th.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_where_nothing_can_be_recorded_acting_goes_on_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(rollout_steps, "StepGraph", fail)
    agent = toy_agent()
    agent._steps = RolloutSteps(agent.policy)
    agent._steps._records = True
    with pytest.warns(UserWarning, match=r"not permitted.*policy_kwargs=dict\(cuda_graph=False\) asks for that"):
        agent.learn(48)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent.learn(48, reset_num_timesteps=False)
    assert agent._steps._graph is None


def test_recordings_are_for_devices_and_can_be_switched_off() -> None:
    assert not RolloutSteps(toy_agent().policy)._records
    agent = toy_agent(policy_kwargs={"cuda_graph": False})
    assert agent.policy.cuda_graph is False
    with pytest.raises(ValueError, match="cuda_graph must be True or False, got 'no'"):
        toy_agent(policy_kwargs={"cuda_graph": "no"})


@pytest.mark.parametrize("shape", [(), (2,)])
def test_what_is_said_reaches_the_cpu_unchanged(shape: tuple[int, ...]) -> None:
    actions = th.randint(0, 2**40, (3, *shape)) if not shape else th.randn(3, *shape)
    acted = Acted(actions, th.randn(3, 1), th.randn(3))
    found = on_cpu(acted)
    assert (found[0] == actions.numpy()).all()
    assert th.equal(found[1], acted.values)
    assert th.equal(found[2], acted.log_probs)


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("name", list(memory_registry))
def test_a_graph_on_a_device_acts_as_the_policy_does(name: str) -> None:
    agent = PPO("MemoryPolicy", toy_venv(), n_steps=16, device="cuda", policy_kwargs={"memory_class": name})
    policy = agent.policy
    policy.set_training_mode(False)
    obs, starts = th.randn(40, 3, 3, device="cuda"), th.rand(40, 3, device="cuda") < 0.1
    state = policy.unpack_state(policy.initial_state(3))
    steps = RolloutSteps(policy)
    steps.begin(policy.initial_state(3))
    with th.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for t in range(40):
            values = steps(obs[t], starts[t], {}).values.clone()
            _, expected, _, state = policy(obs[t], state, starts[t])
            th.testing.assert_close(values, expected, atol=1e-4, rtol=1e-4)
    assert steps._graph is not None


def test_what_is_not_finite_is_told() -> None:
    numbers = th.tensor([[1.0, 0.5, -1.0], [0.0, math.nan, -2.0]])
    check_finite(numbers[:1])
    with pytest.raises(
        ValueError, match=r"the policy says \[0\.0, nan, -2\.0\].*training has diverged; lower learning"
    ):
        check_finite(numbers)


def test_distributions_look_at_their_numbers_again_after_a_recording() -> None:
    met = []

    def record(work: Callable[[], None], rehearsal: Callable[[], None], device: th.device) -> Callable[[], None]:
        met.append(Distribution._validate_args)
        raise RuntimeError("cannot be recorded")

    policy = toy_agent().policy
    state = policy.unpack_state(policy.initial_state(3))
    with pytest.raises(RuntimeError, match="cannot be recorded"):
        StepGraph(policy, th.zeros(3, 3), state, th.zeros(3, dtype=th.bool), record)
    assert met == [False]
    assert Distribution._validate_args is True


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("rehearsed", [True, False])
def test_what_waits_is_refused_and_nothing_is_left_of_it(rehearsed: bool) -> None:
    """Before it is recorded, and in the recording if the rehearsal did not show it."""
    x, stream = th.zeros(3, device="cuda"), th.cuda.current_stream()
    th.cuda.manual_seed(3)
    expected = th.rand(3, device="cuda")
    th.cuda.manual_seed(3)

    def draw_and_wait() -> None:
        x.add_(th.rand(3, device="cuda"))
        float(x.sum())

    with pytest.raises(RuntimeError, match="synchroniz" if rehearsed else None):
        record_on_cuda(draw_and_wait, draw_and_wait if rehearsed else lambda: None, x.device)
    assert th.cuda.get_sync_debug_mode() == 0
    assert th.cuda.current_stream() == stream
    assert th.equal(th.rand(3, device="cuda"), expected)


@pytest.mark.cuda
@needs_cuda
def test_recording_draws_nothing_and_replaying_draws_anew() -> None:
    x = th.zeros(3, device="cuda")

    def draw() -> None:
        x.copy_(th.rand(3, device="cuda"))

    th.cuda.manual_seed(3)
    expected = [th.rand(3, device="cuda") for _ in range(2)]
    th.cuda.manual_seed(3)
    replay = record_on_cuda(draw, draw, x.device)
    for numbers in expected:
        replay()
        assert th.equal(x, numbers)


@pytest.mark.cuda
@needs_cuda
def test_agents_learn_on_a_device_with_graphs_and_without() -> None:
    for cuda_graph in (True, False):
        agent = toy_agent(device="cuda", policy_kwargs={"cuda_graph": cuda_graph}).learn(192)
        assert agent._steps is not None
        assert (agent._steps._graph is not None) is cuda_graph
        assert agent.logger.name_to_value["memory/first_ratio_error"] < 1e-3
