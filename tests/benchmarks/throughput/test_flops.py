from __future__ import annotations

from dataclasses import replace

import pytest

from memory_agents.benchmarks.throughput import flops
from memory_agents.benchmarks.throughput.flops import learning_flops, matmul_peaks
from memory_agents.benchmarks.throughput.subject import Conditions, make
from tests.benchmarks.throughput.small import CARTPOLE


def counted(conditions: Conditions, name: str) -> float:
    subject = conditions.subject(name)
    agent, venv = make(subject)
    agent.learn(subject.transitions)
    venv.close()
    return learning_flops(agent)


def linear(inputs: int, outputs: int, is_first: bool = False) -> int:
    """A layer forward, the gradient of its weights, and that of its inputs, where these were computed themselves."""
    return (2 if is_first else 3) * 2 * inputs * outputs


def test_an_mlp_by_hand() -> None:
    tower = linear(2, 64, is_first=True) + linear(64, 64)
    assert counted(CARTPOLE, "memoryless") == 2 * tower + linear(64, 2) + linear(64, 1)


def lstm(inputs: int, width: int, length: int) -> float:
    # Through the first step of a window no gradient goes on to the state before it.
    return linear(inputs, 4 * width, is_first=True) + linear(width, 4 * width) - 2 * width * 4 * width / length


def test_an_lstm_by_hand() -> None:
    heads = 2 * linear(64, 64) + linear(64, 2) + linear(64, 1)
    assert counted(CARTPOLE, "lstm") == pytest.approx(lstm(2, 64, 16) + heads)


@pytest.mark.parametrize("name", ["recurrent_ppo", "recurrent_ppo_loopless"])
def test_two_lstms_by_hand(name: str) -> None:
    towers = 2 * (2 * linear(64, 64))
    by_hand = 2 * lstm(2, 64, 16) + towers + linear(64, 2) + linear(64, 1)
    # Their windows begin anywhere in the rollout, so that a few are cut in two.
    assert counted(CARTPOLE, name) == pytest.approx(by_hand, rel=0.02)


def test_attention_by_hand() -> None:
    small = dict(n_layers=1, d_model=8, n_heads=2, d_feedforward=12, gating="none", positions="rotary")
    sizes = [replace(CARTPOLE, memory_kwargs={**small, "memory_length": length}) for length in (4, 12)]
    few, many = (counted(each, "transformer_xl") for each in sizes)
    # Eight tokens more before a window of 16 steps: their keys and values, and queries by keys and weights by values.
    projections = 2 * linear(8, 8) * 8 / 16
    products = 2 * linear(8, 8)
    assert many - few == pytest.approx(projections + products)


def test_what_kernels_do_for_padding_is_not_counted() -> None:
    once = counted(CARTPOLE, "recurrent_ppo")
    assert counted(replace(CARTPOLE, batch_sizes=(8,)), "recurrent_ppo") == pytest.approx(once, rel=0.02)


def test_peak_of_this_machine() -> None:
    found = matmul_peaks("cpu", sizes=(64, 128), seconds=0.01)
    assert set(found) <= {"float32", "float32, oneDNN"}
    assert 1e8 < found["float32"] < 1e14


def test_peak_in_another_format() -> None:
    found = matmul_peaks("cpu", sizes=(64,), seconds=0, formats=("float32", "bfloat16"))
    assert set(found) - {"float32, oneDNN"} == {"float32", "bfloat16"}
    assert found["bfloat16"] > 0


def test_an_operator_that_is_gone_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise AttributeError

    monkeypatch.setattr(flops, "_one_dnn", gone)
    assert set(matmul_peaks("cpu", sizes=(16,), seconds=0)) == {"float32"}
