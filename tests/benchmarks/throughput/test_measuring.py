from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch as th
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from memory_agents.benchmarks.throughput.acting import Acting, filling_steps
from memory_agents.benchmarks.throughput.measuring import ACTING_STEPS, Worker, measure
from memory_agents.benchmarks.throughput.memory_use import peak_memory, state_bytes
from memory_agents.benchmarks.throughput.subject import make
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
    if acting.args:
        before = [leaf.clone() for leaf in tree_leaves(_state(acting))]
        acting.advance(1)
        after = list(tree_leaves(_state(acting)))
        assert any(not th.equal(one, other) for one, other in zip(before, after, strict=True))
    agent.learn(64)
    venv.close()


def _state(acting: Acting) -> object:
    state = acting.args[0]
    return state if isinstance(state, tuple) and not hasattr(state, "pi") else tuple(state)


def test_memory_is_full_when_acting_is_timed() -> None:
    sizes = {"memory_length": 4, "compressed_length": 3, "compression_rate": 2}
    agent, venv = make(replace(CARTPOLE, memory_kwargs=sizes).subject("compressive"))
    assert filling_steps(agent.policy) == 4 + 2 + 2 * 3
    acting = Acting(agent, venv)
    assert acting.args[0][0].steps.tolist() == [12] * 4
    venv.close()


def test_acting_draws_actions() -> None:
    agent, venv = make(CARTPOLE.subject("lstm"))
    acting = Acting(agent, venv)
    actions = {float(acting.policy(acting.obs, *acting.args, **acting.kwargs)[0][0]) for _ in range(ACTING_STEPS)}
    assert actions == {0.0, 1.0}
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
