from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig, load_config, save_config

CONFIG = TrainingConfig(
    "MemoryAgents/TMaze-v0",
    env_kwargs={"corridor": 5, "active": False},
    policy="MemoryPolicy",
    memory_class="compressive",
    memory_kwargs={"memory_length": 8},
    algorithm_kwargs={"n_epochs": 2},
    judger_kwargs={"warmup": 64},
    normalize_reward=True,
    n_envs=2,
    seed=7,
)


def test_a_saved_configuration_loads_equal(tmp_path: Path) -> None:
    save_config(CONFIG, tmp_path)

    assert load_config(tmp_path) == CONFIG


def test_versions_and_hardware_are_written(tmp_path: Path) -> None:
    save_config(CONFIG, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())

    assert {"python", "torch", "gymnasium", "stable_baselines3", "sb3_contrib", "numpy"} <= set(written["versions"])
    assert written["hardware"]["cpus"] >= 1
    assert written["arguments"]["seed"] == 7
    assert written["commit"] is None or len(written["commit"].removesuffix("+changes")) == 40
    assert written["sources"] == {}


def test_command_repeats_the_arguments() -> None:
    words = shlex.split(CONFIG.command())

    assert words[:2] == ["memory-bench", "train"]
    assert json.loads(words[words.index("--env-kwargs") + 1]) == CONFIG.env_kwargs
    assert json.loads(words[words.index("--judger-kwargs") + 1]) == CONFIG.judger_kwargs
    assert words[words.index("--memory-class") + 1] == "compressive"
    assert "--threads" not in words
    assert words[words.index("--normalize-reward") + 1].startswith("--")
    assert "--normalize-reward" not in replace(CONFIG, normalize_reward=False).command()


@pytest.mark.parametrize("name", ["n_envs", "total_timesteps", "eval_episodes", "threads"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} 0 is too small"):
        TrainingConfig("MemoryAgents/TMaze-v0", **{name: 0})  # type: ignore[arg-type]


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(UsageError, match="--seed -1 is out of bounds"):
        TrainingConfig("MemoryAgents/TMaze-v0", seed=-1)


@pytest.mark.parametrize("text", [None, "", "{}", '{"arguments": {"colour": 1}}'])
def test_unreadable_configurations_are_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)

    with pytest.raises(UsageError, match="not the configuration of a training run"):
        load_config(tmp_path)
