"""Off-policy algorithms on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory_agents.benchmarks.agents import load_agent
from memory_agents.benchmarks.algorithms import ALGORITHMS
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import load_config
from memory_agents.benchmarks.progress import read_curve

SMALL = '{"n_layers": 1, "d_model": 8, "n_heads": 1, "memory_length": 8}'


@pytest.mark.parametrize("algorithm", ["DQN", "QRDQN"])
@pytest.mark.parametrize("policy", ["CompressiveMemoryPolicy", "MlpPolicy"])
def test_train_writes_curves_and_an_agent(algorithm: str, policy: str, tmp_path: Path) -> None:
    memory = ["--memory-kwargs", SMALL, "--algorithm-kwargs", "sequence_length=8", "--algorithm-kwargs", "burn_in=4"]
    args = ["train", "--env", "MemoryAgents/TMaze-v0", "--env-kwargs", "corridor=3", "--algorithm", algorithm]
    args += ["--total-timesteps", "4200", "--eval-episodes", "3", "--device", "cpu", "--no-progress"]
    args += [
        "--algorithm-kwargs",
        "learning_starts=4000",
        "--algorithm-kwargs",
        "batch_size=64",
        "--policy",
        policy,
        "--out",
        str(tmp_path),
    ]
    assert run(args + (memory if policy != "MlpPolicy" else [])) == 0
    steps, _ = read_curve(tmp_path)
    assert list(steps) == [2048, 4096, 4224]
    assert json.loads((tmp_path / "evaluation.json").read_text())["episodes"] == 3
    kinds = ALGORITHMS[algorithm]
    kind = kinds.memoryless if policy == "MlpPolicy" else kinds.remembering
    assert type(load_agent(load_config(tmp_path), tmp_path / "agent.zip")) is kind
