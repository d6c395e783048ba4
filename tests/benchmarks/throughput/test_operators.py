"""Where time goes, operator by operator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch as th

from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.throughput import operators
from memory_agents.benchmarks.throughput.operators import (
    Operator,
    OperatorProfiler,
    Phase,
    phase_table,
    profile_agent,
    profile_page,
)
from memory_agents.benchmarks.throughput.subject import Subject
from tests.benchmarks.throughput.small import CARTPOLE


def subject(agent: str, **conditions: Any) -> Subject:
    return replace(CARTPOLE, threads=1, **conditions).subject(agent)


def calls(phase: Phase) -> dict[str, float]:
    return {each.name: each.calls for each in phase.operators}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "ACTING_STEPS", 5)


def test_operators_are_counted_per_step_and_per_update() -> None:
    """A feed-forward agent: two hidden layers each for actor and critic, and a head each."""
    acting, learning = profile_agent(subject("memoryless", batch_sizes=(16,)))
    assert (acting.name, acting.unit) == ("acting", "a step of 4 environments")
    assert (learning.name, learning.unit) == ("learning", "an update from 16 transitions")
    assert calls(acting)["aten::addmm"] == calls(learning)["aten::addmm"] == 6
    # Of a layer's weights, and of its inputs but for those of the first two.
    assert calls(learning)["aten::mm"] == 6 + 4


def test_operations_are_those_of_the_sizes() -> None:
    a, b = th.randn(3, 64, 32), th.randn(3, 32, 16)
    for counts in (True, False):
        profiler = OperatorProfiler(th.device("cpu"), counts=counts)
        phase = profiler.run("acting", "two products", 2, lambda: [th.bmm(a, b) for _ in range(4)])
        (product,) = (each for each in phase.operators if each.name == "aten::bmm")
        assert product.calls == 2
        assert product.flops == (2 * 2 * 3 * 64 * 32 * 16 if counts else 0)
        assert 0 < product.ms <= phase.profiled_ms


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_kernels_are_told() -> None:
    acting, learning = profile_agent(subject("lstm", device="cuda"))
    assert acting.operators
    assert learning.operators
    assert not any(each.name.startswith("aten::") for each in (*acting.operators, *learning.operators))
    assert sum(each.ms for each in learning.operators) <= learning.profiled_ms


def test_everything_is_somewhere() -> None:
    for phase in profile_agent(subject("compressive", memory_kwargs={"d_model": 16})):
        assert phase.ms > 0
        times = [each.ms for each in phase.operators]
        assert times == sorted(times, reverse=True)
        assert sum(times) + phase.outside_ms == pytest.approx(phase.profiled_ms)
        assert phase.outside_ms > 0


def test_an_agent_gets_what_it_is_given() -> None:
    acting, learning = profile_agent(subject("lstm", batch_sizes=(32,), memory_kwargs={"n_layers": 2}))
    one, _ = profile_agent(subject("lstm", batch_sizes=(32,)))
    assert learning.unit == "an update from 32 transitions"
    assert calls(acting)["aten::sigmoid_"] == 2 * calls(one)["aten::sigmoid_"] > 0


def test_a_table_tells_small_shares_together() -> None:
    known = (Operator("mm", 2.0, 6.0, 3e9), Operator("add", 1500.0, 3.0, 0.0))
    small = (Operator("one", 1.0, 0.05, 0.0), Operator("two", 2.5, 0.04, 0.0))
    table = phase_table(Phase("learning", "an update", 8.0, 10.0, (*known, *small)))
    assert table.splitlines()[2:] == [
        "| mm | 2.0 | 6.000 | 60.0% | 500.0 |",
        "| add | 1,500.0 | 3.000 | 30.0% | - |",
        "| 2 others | 3.5 | 0.090 | 0.9% | - |",
        "| outside of operators | - | 0.910 | 9.1% | - |",
    ]


def test_what_took_longer_than_the_clock_is_not_outside_of_it() -> None:
    assert Phase("learning", "an update", 1.0, 1.0, (Operator("mm", 1.0, 1.5, 0.0),)).outside_ms == 0.0


def test_the_page_says_whose_times_they_are() -> None:
    phase = Phase("learning", "an update from 16 transitions", 1.5, 2.0, (Operator("mm", 1.0, 1.0, 0.0),))
    page = profile_page(subject("compressive", n_envs=8), [phase])
    assert page.startswith(
        "compressive, MemoryAgents/CartPoleNoVelocity-v0, 8 environments, window 16, 1 thread, on cpu."
    )
    assert "## Learning, an update from 16 transitions: 1.500 ms, 2.000 ms with the profiler\n" in page


def test_the_command_writes_table_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "profile"
    env = ["--env", "MemoryAgents/TMaze-v0", "--env-kwargs", "corridor=5", "--n-envs", "4", "--window", "16"]
    agent = ["--policy", "gtrxl", "--memory-kwargs", "d_model=16", "--policy-kwargs", "net_arch=[8]"]
    assert run(["profile", "--out", str(out), *env, *agent, "--batch-size", "32", "--threads", "1", "--seed", "7"]) == 0
    assert (out / "profile.md").read_text() in capsys.readouterr().out
    found = json.loads((out / "profile.json").read_text())
    config = found["subject"]["config"]
    assert config["env_kwargs"] == {"corridor": 5}
    assert (config["n_envs"], config["threads"], config["seed"], config["device"]) == (4, 1, 7, "cpu")
    assert config["memory_kwargs"]["d_model"] == 16
    assert config["policy_kwargs"]["net_arch"] == [8]
    assert [phase["unit"] for phase in found["phases"]] == ["a step of 4 environments", "an update from 32 transitions"]
    assert all(phase["operators"] and phase["outside_ms"] > 0 for phase in found["phases"])
    assert {"command", "commit", "versions", "hardware"} <= set(found)


def test_peers_have_a_minibatch_without_being_asked(tmp_path: Path) -> None:
    assert run(["profile", "--out", str(tmp_path), "--policy", "recurrent_ppo", "--n-envs", "2", "--window", "16"]) == 0
    found = json.loads((tmp_path / "profile.json").read_text())
    assert found["phases"][1]["unit"] == "an update from 32 transitions"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "elephant"], "elephant"),
        (["--batch-size", "33"], "--batch-size 33"),
        (["--env", "Nowhere-v0"], "Nowhere-v0"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "profile"
    assert run(["profile", "--out", str(out), "--n-envs", "2", "--window", "32", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
