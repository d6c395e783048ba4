"""Learning in other formats and as a program: near the same numbers, with gradients everywhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th

from memory_agents.common.learning_mode import LearningMode
from memory_agents.memory import MemoryCore, memory_registry, tree_leaves
from memory_agents.memory.building import make_memory
from memory_agents.nn import GatedBlock, gate_registry
from tests.ppo.toys import TINY, toy_agent

OPTIONS: list[dict[str, Any]] = [
    *({"gating": name} for name in gate_registry),
    {"positions": "learned"},
    {"positions": "rotary"},
    {"norm": "post"},
    {"recurrence_delay": 8},
    {"compression": "most_used"},
    {"compression_loss": "attention"},
    {"compression_loss": "autoencoding"},
    {"mogrifier_rounds": 2},
    {"feedforward": "swiglu"},
    {"judger": "keep"},
]


def learned(core: MemoryCore[Any], mode: LearningMode) -> tuple[th.Tensor, list[th.Tensor | None]]:
    """Outputs and gradients of two windows."""
    generator = th.Generator().manual_seed(1)
    x, starts = th.randn(2, 150, 3, generator=generator), th.rand(2, 150, generator=generator) < 0.02
    core.zero_grad()
    outputs, loss = mode.unroll_with_loss(core, x, core.initial_state(2), starts)
    total = outputs.square().mean() + (0 if loss is None else loss)
    total.backward()  # type: ignore[no-untyped-call]
    return outputs.detach(), [parameter.grad for parameter in core.parameters()]


def loss_of(core: MemoryCore[Any]) -> th.Tensor:
    """What a core itself wants minimised in half precision; zero if it wants nothing."""
    x, starts = th.randn(2, 150, 3), th.zeros(2, 150, dtype=th.bool)
    _, loss = LearningMode("bfloat16", compiled=False).unroll_with_loss(core, x, core.initial_state(2), starts)
    return th.zeros(()) if loss is None else loss


@pytest.mark.parametrize(
    ("name", "kwargs"), [*((name, {}) for name in memory_registry), *(("compressive", kwargs) for kwargs in OPTIONS)]
)
def test_half_precision_is_near_and_reaches_every_parameter(name: str, kwargs: dict[str, Any]) -> None:
    th.manual_seed(0)
    core = make_memory(name, 3, kwargs)
    exact, exact_gradients = learned(core, LearningMode(None, compiled=False))
    outputs, gradients = learned(core, LearningMode("bfloat16", compiled=False))
    assert outputs.dtype is th.float32
    assert loss_of(core).dtype is th.float32
    assert 0 < (outputs - exact).abs().mean() < 0.02 * exact.std()
    for gradient, exact_gradient in zip(gradients, exact_gradients, strict=True):
        assert (gradient is None) is (exact_gradient is None)
        assert gradient is None or gradient.isfinite().all()


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [*((name, {}) for name in memory_registry), ("lstm", {"n_layers": 2}), ("compressive", {**TINY, "judger": True})],
)
def test_what_is_remembered_is_exact_and_so_is_acting(name: str, kwargs: dict[str, Any]) -> None:
    core = make_memory(name, 3, kwargs)
    # An encoder under autocast makes features of both formats, by its last layer.
    x, starts = th.randn(2, 100, 3).bfloat16(), th.rand(2, 100) < 0.02
    formats = [leaf.dtype for leaf in tree_leaves(core.initial_state(2))]
    with th.autocast("cpu", th.bfloat16):
        fresh = core.initial_state(2)
        _, state = core.unroll(x, fresh, starts)
        _, after = core.unroll(x.float(), state, starts)
        _, acted = core.step(x[:, 0], core.pack_state(after), starts[:, 0])
    for found in (fresh, state, after, acted):
        assert [leaf.dtype for leaf in tree_leaves(found)] == formats
    x = x.float()
    for t in range(40):  # until something is written, or leaves
        before = after
        y, after = core.step(x[:, t], before, starts[:, t])
    with th.autocast("cpu", th.bfloat16):
        found, found_after = core.step(x[:, t], before, starts[:, t])
    assert th.equal(found, y)
    assert all(map(th.equal, tree_leaves(found_after), tree_leaves(after)))


@pytest.mark.parametrize("features", [th.float32, th.bfloat16])
@pytest.mark.parametrize("gating", ["gru", "none"])
@pytest.mark.parametrize("name", ["compressive", "rmt", "memformer", "block_recurrent"])
def test_what_is_carried_from_layer_to_layer_is_exact(name: str, gating: str, features: th.dtype) -> None:
    core, carried = make_memory(name, 3, {"gating": gating}), set()
    for part in core.modules():
        if isinstance(part, GatedBlock):
            part.attention_gate.register_forward_pre_hook(lambda _, inputs: carried.add(inputs[0].dtype))
    with th.autocast("cpu", th.bfloat16):
        core.unroll_outputs(th.randn(2, 40, 3).to(features), core.initial_state(2), th.zeros(2, 40, dtype=th.bool))
    assert carried == {th.float32}


def test_agents_learn_in_half_precision_and_act_in_single() -> None:
    agents = [toy_agent(policy_kwargs={"autocast": autocast}) for autocast in (None, "bfloat16")]
    single, half = (agent.learn(96).policy for agent in agents)
    assert half._get_constructor_parameters()["autocast"] == "bfloat16"
    assert all(parameter.dtype is th.float32 for parameter in half.parameters())
    moved = [not th.equal(a, b) for a, b in zip(single.parameters(), half.parameters(), strict=True)]
    assert any(moved)
    assert agents[0].logger.name_to_value["memory/first_ratio_error"] < 1e-5
    assert 1e-5 < agents[1].logger.name_to_value["memory/first_ratio_error"] < 0.1


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(ValueError, match=r"autocast must be one of \['bfloat16'\] or None, got 'half'"):
        toy_agent(policy_kwargs={"autocast": "half"})
    with pytest.raises(ValueError, match="float16 would need its losses scaled"):
        LearningMode("float16", compiled=False)
    with pytest.raises(ValueError, match=r"got torch\.bfloat16; write its name"):
        LearningMode(th.bfloat16, compiled=False)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kwargs"), [("compressive", TINY), ("gru", {})])
def test_a_program_learns_the_same(name: str, kwargs: dict[str, Any]) -> None:
    th.manual_seed(0)
    core = make_memory(name, 3, kwargs)
    mode = LearningMode(None, compiled=True)
    for found, wanted in zip(learned(core, mode), learned(core, LearningMode(None, compiled=False)), strict=True):
        th.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert len(mode._programs) == 1


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", list(memory_registry))
def test_half_precision_on_a_device(name: str) -> None:
    core = make_memory(name, 3, {}).cuda()
    x, starts = th.randn(2, 150, 3, device="cuda"), th.rand(2, 150, device="cuda") < 0.02
    exact, _ = LearningMode(None, compiled=False).unroll_with_loss(core, x, core.initial_state(2), starts)
    half, _ = LearningMode("bfloat16", compiled=False).unroll_with_loss(core, x, core.initial_state(2), starts)
    assert (half - exact).abs().mean() < 0.02 * exact.std()
    half.sum().backward()  # type: ignore[no-untyped-call]
