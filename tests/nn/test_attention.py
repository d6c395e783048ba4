"""Attention: kinds of positions, widths of heads, dropout."""

from __future__ import annotations

import math

import pytest
import torch as th

from memory_agents.nn import (
    GatedBlock,
    LearnedPositionAttention,
    RelativeAttention,
    RotaryAttention,
    SinusoidalAttention,
    position_registry,
)
from memory_agents.nn.rotary import rotate

every_kind = pytest.mark.parametrize("name", list(position_registry))


def logits(attention: RelativeAttention, x: th.Tensor, now: float, times: th.Tensor) -> th.Tensor:
    """Of the first of x as a query on all of x as keys, (batch, heads, 1, keys)."""
    queries, position_logits = attention.queries(x[:, :1], th.full_like(times[:, :1], now))
    keys, _ = attention.keys_and_values(x, times)
    content = th.matmul(queries * attention.d_head**-0.5, keys.transpose(-1, -2))
    if position_logits is None:
        return content
    return content + position_logits.gather(3, (now - times).long()[:, None, None].expand(-1, attention.n_heads, 1, -1))


@every_kind
def test_logits_depend_on_positions_and_on_differences_of_times_alone(name: str) -> None:
    attention = position_registry[name](8, 2, 10)
    x, times = th.randn(2, 4, 8), th.tensor([[7.0, 5.0, 4.0, 0.0]] * 2)
    expected = logits(attention, x, 7, times)
    assert not th.allclose(expected, logits(attention, x, 9, times), atol=1e-3)
    for later in (13.0, 1_000_000.0):
        th.testing.assert_close(logits(attention, x, 7 + later, times + later), expected, atol=1e-5, rtol=1e-5)


@every_kind
def test_logits_of_some_positions_are_those_among_all(name: str) -> None:
    attention = position_registry[name](8, 2, 10).double()
    x, times, some = th.randn(2, 4, 8).double(), th.arange(4.0).expand(2, 4), th.tensor([0, 1, 7])
    queries, position_logits = attention.queries(x, times)
    queries_again, found = attention.queries(x, times, some)
    assert th.equal(queries, queries_again)
    assert (found is None) == (position_logits is None) == (name == "rotary")
    if found is not None and position_logits is not None:
        th.testing.assert_close(found, position_logits[..., some])


def test_rotation_turns_pairs_and_keeps_lengths() -> None:
    x = th.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4)
    turned = rotate(x, th.tensor([[th.pi / 2]]))[0, 0, 0]
    # The first pair by a quarter, the second by a hundredth of that: (1, 3) and (2, 4).
    slow = th.tensor(th.pi / 200)
    expected = [-3.0, 2 * slow.cos() - 4 * slow.sin(), 1.0, 2 * slow.sin() + 4 * slow.cos()]
    th.testing.assert_close(turned, th.tensor(expected))
    x = th.randn(3, 2, 5, 6)
    th.testing.assert_close(rotate(x, 100 * th.rand(3, 5)).norm(dim=-1), x.norm(dim=-1))


@every_kind
def test_heads_may_be_of_any_width(name: str) -> None:
    attention = position_registry[name](8, 3, 10, d_head=6)
    x, times = th.randn(2, 4, 8), th.arange(4).expand(2, 4)
    keys, values = attention.keys_and_values(x, times)
    queries, _ = attention.queries(x, times)
    assert keys.shape == values.shape == queries.shape == (2, 3, 4, 6)
    assert attention.attend(queries, keys, values, th.zeros(2, 1, 4, 4)).shape == (2, 4, 8)
    with pytest.raises(ValueError, match=r"d_model=8 must be a multiple of n_heads=3; use d_model=9, or give d_head"):
        position_registry[name](8, 3, 10)


@pytest.mark.parametrize("with_gradient", [True, False])
def test_dropout_drops_attention_weights_while_training(with_gradient: bool) -> None:
    attention = SinusoidalAttention(8, 2, 10, dropout=0.5)
    q, k, v = th.randn(3, 2, 4, 4), th.randn(3, 2, 6, 4), th.randn(3, 2, 6, 4)
    bias = th.randn(3, 2, 4, 6, requires_grad=with_gradient)
    outputs = [attention.attend(q, k, v, bias) for _ in range(2)]
    assert not th.equal(*outputs)
    attention.eval()
    outputs = [attention.attend(q, k, v, bias) for _ in range(2)]
    assert th.equal(*outputs)
    without = SinusoidalAttention(8, 2, 10)
    without.load_state_dict(attention.state_dict())
    assert th.equal(without.attend(q, k, v, bias), outputs[0])


def test_learned_positions_start_as_large_as_projected_sinusoids() -> None:
    learned = LearnedPositionAttention(64, 4, 129).position_table
    sinusoidal = SinusoidalAttention(64, 4, 129)
    projected = sinusoidal.position(sinusoidal.positions)
    assert learned.square().mean().item() == pytest.approx(projected.square().mean().item(), rel=0.3)


def test_rotary_heads_have_pairs() -> None:
    with pytest.raises(ValueError, match=r"d_head=3 is odd; use d_head=4"):
        RotaryAttention(6, 2, 5)


def test_post_norm_has_no_path_around_the_norms() -> None:
    """However large the inputs, the outputs of a post-norm block are normalised; those of a pre-norm block are not."""
    x = 1000 * th.randn(2, 3, 8)
    for norm, largest in (("post", 4.0), ("pre", float("inf"))):
        block = GatedBlock(8, 2, 16, 5, gating="none", norm=norm)
        keys, values = block.keys_and_values(x)
        queries, _ = block.queries(x)
        outputs = block(x, queries, keys, values, th.zeros(2, 1, 3, 3))
        assert (outputs.abs().max() < largest).item()
        assert norm == "post" or th.allclose(outputs, x, atol=100)


def test_weights_are_means_over_heads() -> None:
    attention = SinusoidalAttention(8, 2, 5)
    queries, keys, bias = th.randn(3, 2, 4, 4), th.randn(3, 2, 6, 4), th.randn(3, 2, 4, 6)
    one, other = (((queries[:, head] @ keys[:, head].mT) / 2 + bias[:, head]).softmax(dim=-1) for head in range(2))
    th.testing.assert_close(attention.weights(queries, keys, bias), (one + other) / 2)


def test_late_in_an_episode_keys_are_still_turned_by_their_own_times() -> None:
    time = 2**24 + 1  # which single precision does not know
    turned = rotate(th.tensor([1.0, 0.0]).view(1, 1, 1, 2), th.tensor([[time]]))[0, 0, 0]
    th.testing.assert_close(turned, th.tensor([math.cos(time), math.sin(time)]), atol=1e-6, rtol=0)
