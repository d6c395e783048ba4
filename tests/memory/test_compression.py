"""Compression functions within the core: their usage, their own losses, and which gradients reach them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch as th

from memory_agents.memory import CompressiveMemory, tree_leaves
from memory_agents.memory.compressive.layer import Layer
from memory_agents.nn import (
    CompressedBlocks,
    Compression,
    CompressionLoss,
    compression_loss_registry,
    compression_registry,
)
from tests.memory.strategies import run_steps

SMALL: dict[str, Any] = dict(
    memory_length=6, compressed_length=5, compression_rate=2, block_length=4, d_model=8, n_heads=2
)
LOSSES = ["autoencoding", "attention"]


def make(**kwargs: Any) -> CompressiveMemory:
    """Cores whose parameters of the same name and shape are the same."""
    core = CompressiveMemory(3, **{**SMALL, **kwargs})
    for name, parameter in core.named_parameters():
        generator = th.Generator().manual_seed(sum(name.encode()))
        parameter.data.copy_(0.3 * th.randn(parameter.shape, generator=generator))
    return core


def timeline(steps: int = 40, batch: int = 2) -> tuple[th.Tensor, th.Tensor]:
    generator = th.Generator().manual_seed(1)
    starts = th.rand(batch, steps, generator=generator) < 0.06
    return th.randn(batch, steps, 3, generator=generator), starts


def read_content(layer: Layer, query: th.Tensor, memories: list[th.Tensor]) -> th.Tensor:
    """What one query reads of these memories by their contents, one head at a time."""
    block, attention = layer.block, layer.block.attention
    width = attention.n_heads * attention.d_head
    w_key, w_value = attention.key_value.weight[:width], attention.key_value.weight[width:]
    normed = [block.attention_norm(memory) for memory in memories]
    q = attention.query.weight @ block.attention_norm(query)
    mixed = []
    for head in range(attention.n_heads):
        part = slice(head * attention.d_head, (head + 1) * attention.d_head)
        logits = th.stack([q[part] @ (w_key @ memory)[part] for memory in normed]) / math.sqrt(attention.d_head)
        values = th.stack([(w_value @ memory)[part] for memory in normed])
        mixed.append(logits.softmax(0) @ values)
    return th.cat(mixed)


def loss_by_hand(
    layer: Layer, kind: str, decoder: th.nn.Module | None, inputs: th.Tensor, starts: th.Tensor, cut: int
) -> th.Tensor:
    """
    :param inputs: the layer's inputs over time lines, (batch, steps, d_model)
    :param cut: where the window begins
    """
    shape = layer.shape
    m, b = shape.memory_length, shape.block_length
    assert layer.compress is not None
    errors = []
    for line, line_starts in zip(inputs.detach(), starts, strict=True):
        borders = sorted({0, len(line), *line_starts.nonzero().flatten().tolist()})
        for first, last in pairwise(borders):
            leave_at = {n: first + m + n * b for n in range(len(line)) if cut <= first + m + n * b < last}
            blocks = {n: line[first + n * b : first + (n + 1) * b] for n in leave_at}
            slots = {n: layer.compress.function(block) for n, block in blocks.items()}
            if kind == "autoencoding":
                assert decoder is not None
                errors += [(decoder(slots[n]).view(b, -1) - block).square().mean() for n, block in blocks.items()]
                continue
            for t in range(cut, last):
                gone = [n for n in range(len(line)) if first + m + n * b < t]
                # Slots of the newest blocks whose slots are all among the newest N.
                kept = gone[-(shape.compressed_length // shape.slots_per_block) :]
                seen = [n for n in kept if n in blocks]
                if t >= first and seen:
                    old = read_content(layer, line[t], [memory for n in seen for memory in blocks[n]])
                    new = read_content(layer, line[t], [slot for n in seen for slot in slots[n]])
                    errors.append((new - old.detach()).square().mean())
    return th.stack(errors).mean()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("cut", [0, 17])
@pytest.mark.parametrize("compression", ["convolution", "dilated"])
def test_the_loss_and_its_gradient_are_those_of_plain_loops(kind: str, cut: int, compression: str) -> None:
    core = make(compression=compression, compression_loss=kind)
    x, starts = timeline()
    inputs = core._unroll(x, core.initial_state(2), starts)[1]
    state = core.initial_state(2)
    if cut:
        _, state = core.unroll(x[:, :cut], state, starts[:, :cut])
    _, loss = core.unroll_with_loss(x[:, cut:], state, starts[:, cut:])
    by_hand = []
    for layer, window in zip(core.layers, inputs, strict=True):
        assert layer.compress is not None
        assert layer.compress.loss is not None
        decoder = dict(layer.compress.loss.named_children()).get("decoder")
        if decoder is not None and compression == "dilated":
            decoder = Interleaved(decoder)
        by_hand.append(loss_by_hand(layer, kind, decoder, window.inputs, starts, cut))
    expected = th.stack(by_hand).mean()
    th.testing.assert_close(loss, expected)
    assert loss is not None
    trained = [*core.compressions.parameters(), *core.compression_losses.parameters()]
    for a, b in zip(th.autograd.grad(loss, trained), th.autograd.grad(expected, trained), strict=True):
        th.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


class Interleaved(th.nn.Module):
    """A decoder whose slots stand for memories spread over their block."""

    def __init__(self, decoder: th.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, slots: th.Tensor) -> th.Tensor:
        memories: th.Tensor = self.decoder(slots).view(len(slots), -1, slots.shape[1])
        return memories.transpose(0, 1).reshape(-1, slots.shape[1])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("gradient", ["auxiliary", "both"])
@pytest.mark.parametrize("options", [{}, dict(norm="post", positions="rotary"), dict(recurrence_delay=2)])
def test_the_loss_reaches_compression_functions_and_nothing_else(
    kind: str, gradient: str, options: dict[str, Any]
) -> None:
    core = make(compression_loss=kind, compression_gradient=gradient, **options)
    x, starts = timeline()
    x.requires_grad_()
    _, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
    assert loss is not None
    loss.backward()  # type: ignore[no-untyped-call]
    assert x.grad is None
    for name, parameter in core.named_parameters():
        if name.startswith(("compressions.", "compression_losses.")):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


def task_gradients(core: CompressiveMemory) -> tuple[dict[str, th.Tensor], th.Tensor, th.Tensor]:
    """Gradients of some loss of the outputs, by parameter reached; that to the inputs; and the auxiliary loss."""
    x, starts = timeline()
    x.requires_grad_()
    y, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
    names, parameters = zip(*core.named_parameters(), strict=True)
    *gradients, to_x = th.autograd.grad(y.square().sum(), [*parameters, x], allow_unused=True)
    reached = {name: gradient for name, gradient in zip(names, gradients, strict=True) if gradient is not None}
    return reached, to_x, th.zeros(()) if loss is None else loss


@pytest.mark.parametrize("kind", LOSSES)
def test_each_mode_has_the_gradients_it_says(kind: str) -> None:
    task, task_x, nothing = task_gradients(make())
    auxiliary, auxiliary_x, auxiliary_loss = task_gradients(make(compression_loss=kind))
    both, both_x, both_loss = task_gradients(make(compression_loss=kind, compression_gradient="both"))
    assert not nothing.requires_grad
    assert th.equal(auxiliary_loss, both_loss)
    assert th.equal(task_x, auxiliary_x)
    assert th.equal(task_x, both_x)
    assert task.keys() == both.keys() == dict(make().named_parameters()).keys()
    assert auxiliary.keys() == {name for name in task if not name.startswith("compressions.")}
    for name, expected in task.items():
        assert expected.abs().sum() > 0, name
        assert th.equal(both[name], expected), name
        assert th.equal(auxiliary.get(name, expected), expected), name


@pytest.mark.parametrize("kind", LOSSES)
def test_task_gradient_plus_auxiliary_gradient_is_both(kind: str) -> None:
    x, starts = timeline()
    gradients = {}
    for gradient in ("auxiliary", "both"):
        core = make(compression_loss=kind, compression_gradient=gradient)
        y, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
        assert loss is not None
        gradients[gradient] = th.autograd.grad(y.square().sum() + loss, list(core.compressions.parameters()))
    plain = make()
    y = plain.unroll_outputs(x, plain.initial_state(2), starts)
    task = th.autograd.grad(y.square().sum(), list(plain.compressions.parameters()))
    for t, a, b in zip(task, gradients["auxiliary"], gradients["both"], strict=True):
        th.testing.assert_close(t + a, b)


class Recording(CompressionLoss):
    """A loss that keeps what it is called with."""

    def forward(self, blocks: CompressedBlocks) -> th.Tensor:
        self.blocks = blocks
        return blocks.slots.square().mean()


def test_the_target_of_reconstruction_does_not_depend_on_the_compression_function() -> None:
    compression_loss_registry.register("recording-of-this-test")(Recording)
    core = make(compression_loss="recording-of-this-test", n_layers=1)
    x, starts = timeline()
    targets, slots = [], []
    for _ in range(2):
        core.unroll_with_loss(x, core.initial_state(2), starts)
        (loss,) = core.compression_losses
        assert isinstance(loss, Recording)
        blocks = loss.blocks
        assert not any(part.requires_grad for part in (blocks.memories, blocks.queries))
        memories = blocks.memories.flatten(1, 3)
        seen = blocks.seen.repeat_interleave(memories.shape[1] // blocks.left.shape[1], dim=2)
        targets.append(blocks.attend(blocks.queries, memories, seen))
        slots.append(blocks.slots)
        for parameter in core.compressions.parameters():
            parameter.data.mul_(3)
    assert th.equal(*targets)
    assert not targets[0].requires_grad
    assert not th.allclose(slots[0], slots[1])


@pytest.mark.parametrize("kind", LOSSES)
def test_windows_that_lose_nothing_have_no_loss(kind: str) -> None:
    core = make(compression_loss=kind)
    x, starts = timeline(steps=6)
    _, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
    assert loss is not None
    assert loss.item() == 0
    loss.backward()  # type: ignore[no-untyped-call]
    with th.no_grad():
        assert core.unroll_with_loss(*timeline()[:1], core.initial_state(2), timeline()[1])[1] is None
    assert make().unroll_with_loss(x, core.initial_state(2), starts)[1] is None


def test_layers_without_slots_have_no_loss() -> None:
    core = make(compression_loss="autoencoding", n_layers=3, compressed_length=[0, 5, 0])
    assert len(core.compressions) == len(core.compression_losses) == 1
    x, starts = timeline()
    _, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
    assert loss is not None
    assert loss.item() > 0


def test_usage_adds_up_to_one_for_every_query() -> None:
    core = make(compression="most_used", memory_length=30)
    x, _ = timeline(steps=25)
    none = th.zeros(2, 25, dtype=th.bool)
    _, learned = core.unroll(x, core.initial_state(2), none)
    _, acted = run_steps(core, x, core.initial_state(2), none)
    for state in (learned, acted):
        for layer in state.layers:
            (total,) = layer.usage
            th.testing.assert_close(total.sum(1), th.full((2,), 25.0))
            assert (total[:, :25] > 0).all()
            assert not total[:, 25:].any()
            assert not total.requires_grad


@pytest.mark.parametrize("name", ["convolution", "dilated", "max", "mean"])
def test_what_needs_no_usage_carries_none(name: str) -> None:
    core = make(compression=name)
    assert not any(layer.usage for layer in core.initial_state(2).layers)


def test_most_used_slots_are_memories_that_were_attended_to() -> None:
    core = make(compression="most_used", n_layers=1, compressed_length=4, memory_length=8, block_length=8)
    x, _ = timeline(steps=9)
    none = th.zeros(2, 9, dtype=th.bool)
    _, before = core.unroll(x[:, :8], core.initial_state(2), none[:, :8])
    _, after = core.unroll(x[:, 8:], before, none[:, 8:])
    inputs, (total,) = core.input(x).detach(), after.layers[0].usage
    # Token i has been seen by tokens i to 8, and lies in row i of the ring.
    mean = total[:, :8] / (9 - th.arange(8))
    for line in range(2):
        kept = sorted(mean[line].argsort(descending=True)[:4].tolist())
        assert th.equal(after.layers[0].slots[line], inputs[line, kept])


def test_compression_functions_differ() -> None:
    x, starts = timeline()
    outputs = {}
    for name in ("convolution", "dilated", "max", "mean", "most_used"):
        core = make(compression=name)
        outputs[name] = core.unroll_outputs(x, core.initial_state(2), starts)
    assert len({tuple(y.flatten().tolist()) for y in outputs.values()}) == len(outputs)


def test_dilated_convolution_has_blocks_of_two_slots_by_default() -> None:
    core = CompressiveMemory(3, compression="dilated", compression_rate=4)
    assert {shape.block_length for shape in core.shapes} == {8}


class Scaled(th.nn.Module):
    """A compression function that knows nothing of its base class."""

    def __init__(self, d_model: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.scale = th.nn.Parameter(th.ones(d_model))

    def forward(self, block: th.Tensor) -> th.Tensor:
        return self.scale * block.reshape(*block.shape[:-2], -1, self.rate, block.shape[-1]).sum(-2)


@pytest.mark.parametrize("kind", LOSSES)
def test_plain_modules_have_losses_too(kind: str) -> None:
    compression_registry.register("scaled-of-this-test")(Scaled)
    core = make(compression="scaled-of-this-test", compression_loss=kind)
    x, starts = timeline()
    y, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
    assert loss is not None
    parameters = list(core.compressions.parameters())
    assert all(gradient.abs().sum() > 0 for gradient in th.autograd.grad(loss, parameters))
    reached = th.autograd.grad(y.sum(), parameters, allow_unused=True)
    assert all(gradient is None for gradient in reached)
    acted, state = run_steps(core, x, core.initial_state(2), starts)
    th.testing.assert_close(acted, y)
    assert not any(leaf.requires_grad for leaf in tree_leaves(state))


class Weighed(Compression):
    """One's own, with usage: means with usage as weights, projected."""

    needs_usage = True

    def __init__(self, d_model: int, rate: int) -> None:
        super().__init__(d_model, rate)
        self.projection = th.nn.Linear(d_model, d_model)

    def forward(self, block: th.Tensor, usage: th.Tensor | None = None) -> th.Tensor:
        assert usage is not None
        weights = usage.reshape(*usage.shape[:-1], -1, self.rate).softmax(-1)[..., None]
        slots: th.Tensor = self.projection((self.groups(block) * weights).sum(-2))
        return slots


@pytest.mark.parametrize("kind", LOSSES)
def test_functions_that_need_usage_have_losses_too(kind: str) -> None:
    compression_registry.register("weighed-of-this-test")(Weighed)
    core = make(compression="weighed-of-this-test", compression_loss=kind)
    x, starts = timeline()
    y, loss = core.unroll_with_loss(x, core.initial_state(2), starts)
    assert loss is not None
    parameters = list(core.compressions.parameters())
    assert all(gradient.abs().sum() > 0 for gradient in th.autograd.grad(loss, parameters))
    acted, _ = run_steps(core, x, core.initial_state(2), starts)
    th.testing.assert_close(acted, y)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(compression_loss="guess"), r"unknown compression loss 'guess'; known: 'autoencoding', 'attention'"),
        (dict(compression_gradient="all"), r"compression_gradient must be one of 'auxiliary', .* got 'all'"),
        (
            dict(compression_loss="attention", compression_gradient="task"),
            r"compression_loss='attention' trains nothing with compression_gradient='task'; use .*='auxiliary'",
        ),
        (dict(compression_gradient="both"), r"compression_gradient='both' needs a loss; use compression_loss="),
        (
            dict(compression_gradient="auxiliary"),
            r"compression_gradient='auxiliary' needs a loss; use compression_loss=",
        ),
        (
            dict(compression_loss="attention", compression="max"),
            r"compression='max' has no parameters .* or compression_loss=None and compression_gradient=None",
        ),
        (
            dict(compression_loss="autoencoding", compressed_length=0),
            r"compression_loss='autoencoding' has no compressed memory .* compression_gradient=None",
        ),
        (
            dict(compression="dilated", compression_rate=2, block_length=2),
            r"compression='dilated' on blocks of 1 slots .* use block_length=4 or more, got 2",
        ),
    ],
)
def test_bad_arguments_name_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompressiveMemory(3, **kwargs)
