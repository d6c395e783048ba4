"""Compression functions and their losses, on numbers small enough to work out by hand."""

from __future__ import annotations

import pytest
import torch as th
import torch.nn.functional as F

from memory_agents.nn import (
    AttentionLoss,
    AutoencodingLoss,
    CompressedBlocks,
    Compression,
    ConvolutionCompression,
    DilatedCompression,
    MaxCompression,
    MeanCompression,
    MostUsedCompression,
    compression_loss_registry,
    compression_registry,
)

BLOCK = th.tensor([[1.0, -1.0], [3.0, 5.0], [2.0, 0.0], [6.0, 4.0]])


def make(name: str, d_model: int, rate: int) -> Compression:
    module = compression_registry[name](d_model, rate)
    assert isinstance(module, Compression)
    return module


@pytest.mark.parametrize("name", list(compression_registry))
@pytest.mark.parametrize("slots", [2, 5])
def test_shapes_and_blocks_are_compressed_each_for_itself(name: str, slots: int) -> None:
    compression = make(name, 4, 3)
    blocks, usage = th.randn(2, 3, 3 * slots, 4), th.rand(2, 3, 3 * slots)
    made = compression(blocks, usage)
    assert made.shape == (2, 3, slots, 4)
    th.testing.assert_close(made[1, 2], compression(blocks[1, 2], usage[1, 2]))


def test_pooling() -> None:
    assert MaxCompression(2, 2)(BLOCK).tolist() == [[3, 5], [6, 4]]
    assert MeanCompression(2, 2)(BLOCK).tolist() == [[2, 2], [4, 2]]
    assert MaxCompression(2, 4)(BLOCK).tolist() == [[6, 5]]


def test_convolution_is_a_convolution_with_kernel_and_stride_equal_to_the_rate() -> None:
    compression = ConvolutionCompression(2, 2)
    kernel = compression.projection.weight.view(2, 2, 2).permute(0, 2, 1)
    expected = F.conv1d(BLOCK.T[None], kernel, compression.projection.bias, stride=2)[0].T
    th.testing.assert_close(compression(BLOCK), expected)


@pytest.mark.parametrize(("rate", "slots"), [(2, 2), (3, 4), (4, 2)])
def test_dilated_convolution_is_one_whose_dilation_is_the_number_of_slots(rate: int, slots: int) -> None:
    compression, block = DilatedCompression(3, rate), th.randn(rate * slots, 3)
    kernel = compression.projection.weight.view(3, rate, 3).permute(0, 2, 1)
    expected = F.conv1d(block.T[None], kernel, compression.projection.bias, dilation=slots)[0].T
    th.testing.assert_close(compression(block), expected)
    plain = ConvolutionCompression(3, rate)
    plain.load_state_dict(compression.state_dict())
    assert not th.allclose(plain(block), expected)


def test_dilated_convolution_reads_every_memory_once() -> None:
    block = th.randn(6, 3, requires_grad=True)
    compression = DilatedCompression(3, 3)
    readers = []
    for slot in range(2):
        (gradient,) = th.autograd.grad(compression(block)[slot].sum(), block)
        readers.append(gradient.abs().sum(1) > 0)
    assert readers[0].tolist() == [True, False, True, False, True, False]
    assert th.equal(readers[0], ~readers[1])


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        ([0.1, 0.4, 0.2, 0.3], [1, 3]),
        ([0.4, 0.1, 0.2, 0.3], [0, 3]),
        ([0.3, 0.1, 0.3, 0.3], [0, 2]),  # of equals the older ones
        ([0.2, 0.2, 0.2, 0.2], [0, 1]),
        ([0.0, 0.1, 0.1, 0.4], [1, 3]),
    ],
)
def test_most_used_keeps_what_has_had_most_attention_in_order_of_time(usage: list[float], kept: list[int]) -> None:
    assert th.equal(MostUsedCompression(2, 2)(BLOCK, th.tensor(usage)), BLOCK[kept])


def test_most_used_asks_for_the_usage() -> None:
    with pytest.raises(ValueError, match="most_used needs the usage of every memory"):
        MostUsedCompression(2, 2)(BLOCK)


def toy_blocks(slots: th.Tensor, left: list[bool]) -> CompressedBlocks:
    """One environment, two blocks of two memories and one slot each, three queries: none, one, both blocks seen."""

    def attend(queries: th.Tensor, keys: th.Tensor, seen: th.Tensor) -> th.Tensor:
        logits = th.where(seen, queries @ keys.transpose(1, 2), -1e9)
        return logits.softmax(dim=-1) @ keys

    present = th.tensor(left)
    return CompressedBlocks(
        memories=BLOCK.view(1, 2, 1, 2, 2),
        slots=slots.view(1, 2, 1, 2),
        left=present[None],
        queries=th.zeros(1, 3, 2),
        seen=th.tensor([[[False, False], [True, False], [True, True]]]) & present,
        attend=attend,
    )


def test_autoencoding_is_the_squared_error_of_the_memories_that_left() -> None:
    loss = AutoencodingLoss(2, 2)
    with th.no_grad():  # decodes slot s to [s; 2 s]
        loss.decoder.weight.copy_(th.cat([th.eye(2), 2 * th.eye(2)]))
        loss.decoder.bias.zero_()
    slots = th.tensor([[1.0, 0.0], [2.0, 1.0]])
    # Block 0: [1, 0; 2, 0] for [1, -1; 3, 5] is off by 0 1 1 5. Block 1: [2, 1; 4, 2] for [2, 0; 6, 4] by 0 1 2 2.
    assert loss(toy_blocks(slots, [True, True])).item() == pytest.approx((27 / 4 + 9 / 4) / 2)
    assert loss(toy_blocks(slots, [True, False])).item() == pytest.approx(27 / 4)
    assert loss(toy_blocks(slots, [False, True])).item() == pytest.approx(9 / 4)


def test_attention_reconstruction_is_the_squared_error_of_what_queries_read() -> None:
    slots = th.tensor([[1.0, 0.0], [2.0, 1.0]])
    # Queries of zeros read means. Query 1: [2, 2] of memories, [1, 0] of slots. Query 2: [3, 2] and [1.5, .5].
    second, third = (1 + 4) / 2, (1.5**2 + 1.5**2) / 2
    loss = AttentionLoss(2, 2)
    assert loss(toy_blocks(slots, [True, True])).item() == pytest.approx((second + third) / 2)
    # Without block 1 query 2 reads what query 1 reads.
    assert loss(toy_blocks(slots, [True, False])).item() == pytest.approx(second)


@pytest.mark.parametrize("name", compression_loss_registry)
def test_losses_reach_the_slots_that_are_there_and_are_zero_without_any(name: str) -> None:
    loss = compression_loss_registry[name](2, 2)
    slots = th.randn(2, 2, requires_grad=True)
    (gradient,) = th.autograd.grad(loss(toy_blocks(slots, [True, False])), slots)
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0
    nothing = loss(toy_blocks(slots, [False, False]))
    assert nothing.item() == 0
    assert th.autograd.grad(nothing, slots)[0].abs().sum() == 0


@pytest.mark.parametrize("name", compression_loss_registry)
def test_slots_that_tell_all_have_no_loss(name: str) -> None:
    memories = th.tensor([[1.0, 2.0], [1.0, 2.0], [-3.0, 4.0], [-3.0, 4.0]])
    slots = memories[::2].clone()
    loss = compression_loss_registry[name](2, 2)
    if isinstance(loss, AutoencodingLoss):
        with th.no_grad():
            loss.decoder.weight.copy_(th.cat([th.eye(2), th.eye(2)]))
            loss.decoder.bias.zero_()
    blocks = toy_blocks(slots, [True, True])._replace(memories=memories.view(1, 2, 1, 2, 2), queries=th.randn(1, 3, 2))
    assert loss(blocks).item() == pytest.approx(0, abs=1e-12)
