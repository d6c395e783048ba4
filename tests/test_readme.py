"""The README's code runs as it stands, but for the length of its training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from memory_agents import PPO
from memory_agents.benchmarks.collect import collect, find_runs, markdown, read_runs
from memory_agents.memory import CompressiveMemory

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_python_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        shortened, replaced = re.subn(r"learn\([\d_]+, progress_bar=True\)", "learn(256)", block)
        assert replaced == 1
        exec(compile(shortened, "README.md", "exec"), {})
    assert (tmp_path / "agent.zip").exists()


@pytest.mark.parametrize("task", ["tmaze-100", "object-matching"])
def test_table_of_results_is_what_the_raw_results_say(task: str) -> None:
    rows = markdown(collect(read_runs(find_runs([ROOT / "benchmarks" / "results" / task])))).splitlines()
    assert len(rows) == 4
    for row in rows:
        assert row in README


def test_cost_of_late_steps_is_what_the_raw_numbers_say() -> None:
    figures = json.loads((ROOT / "benchmarks" / "results" / "episode_cost.json").read_text())
    early, late = figures["milliseconds_per_step"].values()
    assert f"ratio {figures['ratio']:.2f}, {early:.1f} ms for {figures['n_envs']} environments" in README
    assert f"{late:.1f}" == f"{early:.1f}"
    assert len(set(figures["state_bytes"].values())) == 1


def test_table_of_memory_arguments_tells_the_defaults() -> None:
    defaults = CompressiveMemory.__init__.__kwdefaults__
    assert defaults is not None
    sizes = ("n_layers", "n_heads", "d_model", "memory_length", "compressed_length", "compression_rate", "gate_bias")
    for name in (*sizes, "compression", "block_length", "d_feedforward"):
        assert f"`{name}`" in README
        assert name in defaults
    layers = ", ".join(str(defaults[name]) for name in ("n_layers", "n_heads", "d_model"))
    assert f"| {layers}, {2 * defaults['d_model']} |" in README
    for name in ("memory_length", "compressed_length", "compression_rate", "gate_bias"):
        assert f"| `{name}` | {defaults[name]} |" in README


def test_defaults_that_differ_from_sb3_are_told() -> None:
    agent = PPO("MemoryPolicy", "CartPole-v1", device="cpu")
    assert agent.lr_schedule(1.0) == 2e-3
    assert agent.lr_schedule(0.0) == pytest.approx(2e-4)
    assert "a learning rate that falls from 2e-3 to 2e-4" in README
    assert f"n_epochs={agent.n_epochs}" in README
    assert f"ent_coef={agent.ent_coef}" in README
