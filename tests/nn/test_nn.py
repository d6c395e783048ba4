"""Building blocks: gate, compression, positions, registry."""

import pytest
import torch as th
import torch.nn.functional as F

from memory_agents.nn import (
    ConvolutionCompression,
    GatedBlock,
    GRUGate,
    Registry,
    SinusoidalAttention,
    chunk_length,
    gate_registry,
    sinusoidal_table,
)
from memory_agents.nn.mixed_precision import lerp, widened
from memory_agents.nn.reading import read


def test_gru_gate_starts_near_the_identity() -> None:
    x = th.randn(256, 64)
    moved = [(GRUGate(64, bias)(x, th.zeros_like(x)) - x).norm() / x.norm() for bias in (2.0, 0.0)]
    assert moved[0] < 0.15 < moved[1]


def test_gru_gate_with_a_closed_update_is_the_residual_stream() -> None:
    x, y = th.randn(5, 8), th.randn(5, 8)
    th.testing.assert_close(GRUGate(8, 50.0)(x, y), x)
    assert not th.allclose(GRUGate(8, -50.0)(x, y), x, atol=0.1)


def test_convolution_compression_is_a_strided_convolution() -> None:
    compression = ConvolutionCompression(6, 3)
    block = th.randn(4, 12, 6)
    kernel = compression.projection.weight.view(6, 3, 6).permute(0, 2, 1)
    expected = F.conv1d(block.mT, kernel, compression.projection.bias, stride=3).mT
    th.testing.assert_close(compression(block), expected)


def test_sinusoids_distinguish_positions() -> None:
    table = sinusoidal_table(300, 64)
    assert table.shape == (300, 64)
    distances = th.cdist(table, table) + 10 * th.eye(300)
    assert distances.min() > 0.3
    assert sinusoidal_table(4, 7).shape == (4, 7)


def test_relative_positions_and_both_biases_enter_the_logits() -> None:
    attention = SinusoidalAttention(8, 2, 5)
    x = th.randn(1, 1, 8)
    queries, logits = attention.queries(x)
    attention.position_bias.data.add_(1.0)
    moved_queries, moved_logits = attention.queries(x)
    assert th.equal(queries, moved_queries)
    assert logits is not None
    assert moved_logits is not None
    assert not th.allclose(logits, moved_logits)
    attention.content_bias.data.add_(1.0)
    th.testing.assert_close(attention.queries(x)[0], queries + 1.0)


def test_both_ways_to_attend_agree() -> None:
    """With gradients on the CPU attention is computed by hand, without them by the fused kernel."""
    attention = SinusoidalAttention(8, 2, 5)
    q, k, v = th.randn(3, 2, 4, 4), th.randn(3, 2, 6, 4), th.randn(3, 2, 6, 4)
    bias = th.randn(3, 2, 4, 6)
    bias[..., 3:5] = -1e9
    th.testing.assert_close(attention.attend(q, k, v, bias), attention.attend(q, k, v, bias.clone().requires_grad_()))


def test_block_uses_its_feedforward_width_and_gate_bias() -> None:
    block = GatedBlock(8, 2, 24, 5, gate_bias=1.5)
    parameters = dict(block.named_parameters())
    assert parameters["feedforward.hidden.weight"].shape == (24, 8)
    assert parameters["attention_gate.bias"].eq(1.5).all()
    assert parameters["feedforward_gate.bias"].eq(1.5).all()


def test_registry_knows_its_names() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    registry.register("one")(1)
    assert dict(registry) == {"one": 1}
    with pytest.raises(ValueError, match="number 'one' is already registered"):
        registry.register("one")(2)
    with pytest.raises(ValueError, match="unknown number 'two'; known: 'one'"):
        registry["two"]
    assert "two" not in registry
    assert registry.get("two") is None


def test_a_class_that_is_defined_anew_takes_its_own_place() -> None:
    registry: Registry[type] = Registry("thing")

    def cell_of_a_notebook() -> type:
        @registry.register("thing")
        class Thing:
            pass

        return Thing

    first, anew = cell_of_a_notebook(), cell_of_a_notebook()
    assert registry["thing"] is anew is not first
    with pytest.raises(ValueError, match="thing 'thing' is already registered; choose another name"):
        registry.register("thing")(Registry)


@pytest.mark.parametrize("gradient", [True, False])
def test_dropout_drops_the_share_of_weights_that_is_asked_for(gradient: bool) -> None:
    th.manual_seed(0)
    n = 500
    queries, keys, values = th.zeros(1, 1, 2, 4), th.zeros(1, 1, n, 4), th.eye(n)[None, None]
    weights = read(queries, keys, values, th.zeros(1, 1, 2, n, requires_grad=gradient), 0.1)
    assert 0.05 < (weights == 0).float().mean().item() < 0.15
    kept = weights[weights > 0]
    th.testing.assert_close(kept, th.full_like(kept, 1 / n / 0.9))


def test_a_block_drops_weights_hidden_units_and_outputs_of_submodules() -> None:
    th.manual_seed(0)
    block = GatedBlock(8, 2, 16, 5, gating="none", dropout=0.5)
    assert block.attention.dropout == 0.5
    assert [part.p for part in block.modules() if isinstance(part, th.nn.Dropout)] == [0.5, 0.5]
    block.attention.dropout = 0.0
    block.feedforward.dropout = th.nn.Identity()
    hidden, attended = th.randn(4, 8), th.rand(4, 8) + 1
    assert not th.equal(block.after_attention(hidden, attended), block.after_attention(hidden, attended))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_content_is_read_as_the_block_normalises(norm: str) -> None:
    block = GatedBlock(8, 2, 16, 5, norm=norm)
    for parameter in block.parameters():
        parameter.data.add_(0.1 * th.randn_like(parameter))
    hidden, memories, seen = 5 * th.randn(2, 3, 8), 5 * th.randn(2, 4, 8), th.ones(2, 3, 4, dtype=th.bool)
    normalise = block.attention_norm if norm == "pre" else th.nn.Identity()
    expected = block.attention.read_content(normalise(hidden), normalise(memories), seen)
    th.testing.assert_close(block.read_content(hidden, memories, seen), expected)


def test_entries_of_one_name_from_two_modules_are_two() -> None:
    registry: Registry[type] = Registry("thing")
    one, other = (type("A", (), {"__module__": module}) for module in ("one", "two"))
    registry.register("x")(one)
    with pytest.raises(ValueError, match="thing 'x' is already registered"):
        registry.register("x")(other)
    assert registry["x"] is one


def test_what_is_no_name_is_in_no_registry() -> None:
    unhashable: object = []
    assert unhashable not in gate_registry
    assert "gru" in gate_registry


def test_formats_are_widened_and_never_narrowed() -> None:
    half, single, double = th.bfloat16, th.float32, th.float64
    assert widened(th.zeros(1, dtype=half)).dtype is single
    assert widened(th.zeros(1, dtype=double)).dtype is double
    for dtypes in ((half, half, single), (single, half, half), (half, single, half)):
        start, end, weight = (th.rand(2).to(dtype) for dtype in dtypes)
        assert lerp(start, end, weight).dtype is single


def test_chunks_are_as_short_as_they_may_be() -> None:
    assert chunk_length(16 * 67) == 16
