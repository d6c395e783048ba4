"""Policies whose memory is one of the published transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch as th

from memory_agents import PPO
from memory_agents.common.presets import CompressiveMemoryPolicy
from memory_agents.memory import CompressiveMemory
from memory_agents.nn import GRUGate, ResidualSum
from tests.ppo.toys import toy_venv

#: Per preset: its gate, and its recent and compressed lengths by default.
PRESETS: dict[str, tuple[type[th.nn.Module], int, int]] = {
    "CompressiveMemoryPolicy": (GRUGate, 64, 64),
    "CompressiveTransformerPolicy": (ResidualSum, 64, 64),
    "GTrXLPolicy": (GRUGate, 128, 0),
    "TransformerXLPolicy": (ResidualSum, 128, 0),
}


def memory_of(agent: PPO) -> CompressiveMemory:
    memory = agent.policy.memories[0]
    assert isinstance(memory, CompressiveMemory)
    return memory


def test_every_alias_of_a_preset_is_known_here() -> None:
    assert {name for name, policy in PPO.policy_aliases.items() if issubclass(policy, CompressiveMemoryPolicy)} == set(
        PRESETS
    )


def make(name: str, **memory_kwargs: Any) -> PPO:
    policy_kwargs = dict(memory_kwargs=memory_kwargs) if memory_kwargs else None
    return PPO(name, toy_venv(), n_steps=32, n_epochs=1, seed=0, device="cpu", policy_kwargs=policy_kwargs)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_they_are_called(name: str) -> None:
    gate, memory_length, compressed_length = PRESETS[name]
    for agent, length in ((make(name), memory_length), (make(name, memory_length=8), 8)):
        memory = memory_of(agent)
        assert {(shape.memory_length, shape.compressed_length) for shape in memory.shapes} == {
            (length, compressed_length)
        }
        assert all(isinstance(block.attention_gate, gate) for block in memory.blocks)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_learn_and_load(name: str, tmp_path: Path) -> None:
    agent = make(name, memory_length=8, n_layers=1)
    agent.learn(96)
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", device="cpu")
    assert type(loaded.policy) is PPO.policy_aliases[name]
    assert memory_of(loaded).shapes == memory_of(agent).shapes


@pytest.mark.parametrize(
    ("name", "memory_kwargs", "message"),
    [
        (
            "GTrXLPolicy",
            dict(compressed_length=4),
            r"compressed_length=4, but GTrXLPolicy is what it is by .*=0",
        ),
        ("GTrXLPolicy", dict(gating="none"), r"gating='none', but GTrXLPolicy .* use CompressiveMemoryPolicy"),
        ("TransformerXLPolicy", dict(gating="gru"), r"gating='gru', but TransformerXLPolicy"),
        ("CompressiveTransformerPolicy", dict(gating="gru"), r"gating='gru', but CompressiveTransformerPolicy"),
    ],
)
def test_what_makes_a_preset_cannot_be_changed(name: str, memory_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, **memory_kwargs)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_compressive_memory(name: str) -> None:
    with pytest.raises(ValueError, match=f"memory_class='lstm' is not .* {name} has; use MemoryPolicy for other cores"):
        PPO(name, toy_venv(), policy_kwargs=dict(memory_class="lstm"))
