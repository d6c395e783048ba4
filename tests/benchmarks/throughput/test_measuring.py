from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch as th
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from memory_agents.benchmarks.throughput import acting as acting_module
from memory_agents.benchmarks.throughput import memory_use
from memory_agents.benchmarks.throughput.acting import Acting, RolloutPlayer, filling_steps
from memory_agents.benchmarks.throughput.measuring import ACTING_STEPS, Worker, measure
from memory_agents.benchmarks.throughput.memory_use import peak_memory, state_bytes
from memory_agents.benchmarks.throughput.subject import Subject, make
from memory_agents.common import MemoryActorCriticPolicy
from memory_agents.common.rollout_steps import Acted, RolloutSteps, on_cpu
from memory_agents.memory import tree_leaves
from tests.benchmarks.throughput.small import CARTPOLE, TMAZE

AGENTS = ("lstm", "recurrent_ppo_loopless", "memoryless")


def test_agents_take_turns() -> None:
    said: list[str] = []
    subjects = [replace(TMAZE, batch_sizes=(32, 64)).subject(name) for name in AGENTS]
    found = measure(subjects, 3, said.append, memory=False)
    assert [each.agent for each in found] == list(AGENTS)
    assert "round 3 of 3" in said
    for each in found:
        lists = (each.acting_ms, each.collecting_s, each.environment_s, each.learning_s, each.total_s, each.busy_shares)
        assert [len(numbers) for numbers in lists] == [3] * 6
        assert all(number > 0 for numbers in lists for number in numbers)
        for total, *parts in zip(each.total_s, each.collecting_s, each.environment_s, each.learning_s, strict=True):
            assert sum(parts) < total
        assert set(each.batch_seconds) == {"32", "64"}
        quickest = min(each.batch_seconds, key=lambda size: each.batch_seconds[size])
        assert each.batch_size == int(quickest)
        # Two passes over 64 transitions.
        assert each.updates == 2 * 64 // int(quickest)
        assert each.flops is not None
        assert each.parameters > 1000
        assert each.peak["float32"] > 0
        assert each.memory == {}
    assert [each.state_bytes for each in found] == [512 / 16, 1024, 0]


def test_cpu_seconds_do_not_pass_while_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(TMAZE.subject("memoryless"), clock="cpu")
    envs = worker.agent.get_env()
    assert envs is not None
    step = envs.step_wait

    def slow() -> object:
        time.sleep(0.01)
        return step()

    monkeypatch.setattr(envs, "step_wait", slow)
    parts, total, busy = worker.rollout()
    assert total < 0.16
    assert parts["environment"] < total
    assert busy < 0.9
    worker.venv.close()


def test_all_of_collecting_and_learning_is_timed() -> None:
    worker = Worker(TMAZE.subject("lstm"))
    worker.rollout()
    parts, total, _ = worker.rollout()
    assert set(parts) == {"collect", "learn", "environment"}
    assert parts["environment"] < parts["collect"]
    assert parts["collect"] + parts["learn"] < total
    assert worker.agent.num_timesteps == 2 * 64
    worker.venv.close()


@pytest.mark.parametrize("name", ["compressive", "lstm", "recurrent_ppo", "memoryless"])
def test_acting_goes_on_from_step_to_step(name: str) -> None:
    agent, venv = make(CARTPOLE.subject(name))
    acting = Acting(agent, venv)
    assert acting.advance(2) > 0
    before = [leaf.clone() for leaf in _leaves(acting)]
    assert bool(before) == (name != "memoryless")
    acting.advance(1)
    after = _leaves(acting)
    assert not before or any(not th.equal(one, other) for one, other in zip(before, after, strict=True))
    agent.learn(64)
    venv.close()


def _leaves(acting: Acting) -> list[th.Tensor]:
    state = acting.player.state
    if state is None:
        return []
    return list(tree_leaves((*state.pi, *state.vf) if isinstance(state, RNNStates) else state))


def test_agents_of_this_library_act_as_in_their_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, modes, taken = [], [], []
    forward, step = MemoryActorCriticPolicy.forward, RolloutSteps.__call__

    def seen_forward(self: MemoryActorCriticPolicy, *args: Any, **kwargs: Any) -> Any:
        modes.append((th.is_inference_mode_enabled(), self.training))
        return forward(self, *args, **kwargs)

    def seen_step(self: RolloutSteps, *args: Any) -> Any:
        steps.append(args)
        return step(self, *args)

    def seen_to_cpu(acted: Acted) -> Any:
        taken.append(acted)
        return on_cpu(acted)

    monkeypatch.setattr(MemoryActorCriticPolicy, "forward", seen_forward)
    monkeypatch.setattr(RolloutSteps, "__call__", seen_step)
    monkeypatch.setattr(acting_module, "on_cpu", seen_to_cpu)
    agent, venv = make(CARTPOLE.subject("lstm"))
    acting = Acting(agent, venv)
    # What is set up at the first step is set up before anything is timed.
    assert len(steps) == len(taken) == 1
    agent.policy.set_training_mode(True)
    acting.advance(3)
    assert len(steps) == len(taken) == 4
    agent.learn(64)
    assert len(steps) == 4 + 16
    assert modes == [(True, False)] * len(steps)
    venv.close()


def test_acting_begins_as_rollouts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, venv = make(CARTPOLE.subject("lstm"))
    acting = Acting(agent, venv)
    begun = []
    monkeypatch.setattr(RolloutSteps, "begin", lambda self, state: begun.append(state))
    acting.advance(2)
    assert len(begun) == 1
    assert begun[0] is not acting.player.state
    venv.close()


def test_acting_is_told_which_actions_are_allowed() -> None:
    subject = replace(CARTPOLE, env="MemoryAgents/HiddenGoal-v0").subject("lstm")
    agent, venv = make(replace(subject, config=replace(subject.config, algorithm="MaskablePPO")))
    player = Acting(agent, venv).player
    assert isinstance(player, RolloutPlayer)
    assert player.masks["action_masks"].shape == (4, 4)
    venv.close()


def test_memory_is_full_when_acting_is_timed() -> None:
    sizes = {"memory_length": 4, "compressed_length": 3, "compression_rate": 2}
    agent, venv = make(replace(CARTPOLE, memory_kwargs=sizes).subject("compressive"))
    assert filling_steps(agent.policy) == 4 + 2 + 2 * 3
    acting = Acting(agent, venv)
    state: Any = acting.player.state
    assert state[0].steps.tolist() == [12] * 4
    venv.close()


def test_acting_draws_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[float] = set()

    def seen(acted: Acted) -> Any:
        drawn.add(float(acted.actions[0]))
        return on_cpu(acted)

    monkeypatch.setattr(acting_module, "on_cpu", seen)
    agent, venv = make(CARTPOLE.subject("lstm"))
    Acting(agent, venv).advance(ACTING_STEPS)
    assert drawn == {0.0, 1.0}
    venv.close()


def bytes_of(agent: OnPolicyAlgorithm, steps: int) -> tuple[float, float]:
    agent.learn(steps)
    return state_bytes(agent)


def test_bytes_of_state() -> None:
    sizes = {"memory_length": 4, "compressed_length": 3, "n_layers": 1, "d_model": 8, "n_heads": 2}
    agent, venv = make(replace(CARTPOLE, memory_kwargs=sizes).subject("compressive"))
    each, whole = bytes_of(agent, 64)
    # At least tokens and slots of eight float32 each, and the number of the step.
    assert (4 + 3) * 8 * 4 + 8 <= whole < 2 * (4 + 3) * 8 * 4
    assert each == whole / 16
    venv.close()


def test_peak_memory_is_that_of_a_process_of_its_own() -> None:
    small = peak_memory(CARTPOLE.subject("memoryless"))
    assert 10 < small["own_mib"] < small["process_mib"] < 4000
    assert set(small) == {"process_mib", "own_mib"}


def test_what_was_there_before_the_agent_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    devices: list[th.device] = []

    def context(device: th.device) -> None:
        order.append("context")
        devices.append(device)

    def now() -> float:
        order.append("before")
        return 0.0

    def made(subject: Subject) -> Any:
        order.append("agent")
        return make(subject)

    def most() -> float:
        order.append("most")
        return 8.0 * 2**20

    for name, function in (("_context", context), ("memory_now", now), ("make", made), ("most_memory", most)):
        monkeypatch.setattr(memory_use, name, function)
    assert memory_use._learn_once(CARTPOLE.subject("memoryless")) == {"process_mib": 8.0, "own_mib": 8.0}
    assert order == ["context", "before", "agent", "most"]
    assert devices == [th.device("cpu")]


@pytest.mark.parametrize("device", ["cuda:1", "cpu"])
def test_the_context_is_that_of_the_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[th.device] = []
    monkeypatch.setattr(th, "ones", lambda *_, device: asked.append(device))
    monkeypatch.setattr(th.cuda, "synchronize", asked.append)
    memory_use._context(th.device(device))
    assert asked == ([] if device == "cpu" else [th.device(device)] * 2)


def test_costs_can_be_left_out() -> None:
    (found,) = measure([TMAZE.subject("memoryless")], 1, lambda line: None, operations=False, memory=False)
    assert (found.flops, found.peak, found.memory) == (None, {}, {})
    assert len(found.total_s) == 1


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    subjects = [replace(TMAZE, device="cuda").subject(name) for name in AGENTS]
    for each in measure(subjects, 2, lambda line: None):
        assert each.device.startswith("cuda")
        assert each.flops is not None
        assert each.peak["bfloat16"] > each.peak["float32"] > 0
        assert each.memory["cuda_mib"] > 0
