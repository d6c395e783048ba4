"""Feed-forward networks: their equations, their seeds, their dropout."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import pytest
import torch as th
from torch import nn

from memory_agents.nn import FeedForward, GatedFeedForward, feedforward_registry

PLAIN: dict[str, Callable[[float], float]] = {
    "relu": lambda v: max(v, 0.0),
    "gelu": lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))),
}
GATED: dict[str, Callable[[float], float]] = {
    "glu": lambda v: 1 / (1 + math.exp(-v)),
    "bilinear": lambda v: v,
    "reglu": PLAIN["relu"],
    "geglu": PLAIN["gelu"],
    "swiglu": lambda v: v / (1 + math.exp(-v)),
}
NAMES = [*PLAIN, *GATED]


def trained(name: str, d_model: int, d_feedforward: int, dropout: float = 0.0) -> FeedForward | GatedFeedForward:
    """Every parameter drawn anew, the biases too."""
    network = feedforward_registry[name](d_model, d_feedforward, dropout)
    assert isinstance(network, FeedForward | GatedFeedForward)
    with th.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network


def hidden_by_hand(name: str, network: FeedForward | GatedFeedForward, x: list[float]) -> list[float]:
    weight, bias = network.hidden.weight.tolist(), network.hidden.bias.tolist()
    sums = [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
    if name in PLAIN:
        return [PLAIN[name](v) for v in sums]
    half = len(sums) // 2
    return [GATED[name](w) * v for w, v in zip(sums[:half], sums[half:], strict=True)]


def by_hand(network: FeedForward | GatedFeedForward, hidden: list[float]) -> list[float]:
    weight, bias = network.output.weight.tolist(), network.output.bias.tolist()
    return [sum(w * v for w, v in zip(row, hidden, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def test_every_variant_of_the_papers_is_there() -> None:
    assert set(NAMES) <= set(feedforward_registry)
    with pytest.raises(ValueError, match="unknown feed-forward network 'mlp'; known: 'relu', "):
        feedforward_registry["mlp"]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_its_equation(name: str) -> None:
    network = trained(name, 3, 4)
    x = th.randn(2, 5, 3)
    expected = [[by_hand(network, hidden_by_hand(name, network, row)) for row in batch] for batch in x.tolist()]
    th.testing.assert_close(network(x), th.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: str) -> None:
    network = trained(name, 6, 5)
    x = th.randn(40, 6, requires_grad=True)
    network(x).square().sum().backward()
    for value in (*network.parameters(), x):
        assert value.grad is not None
        assert (value.grad != 0).all()


def test_a_rectifier_draws_what_it_always_drew() -> None:
    """Published results depend on the order and number of random draws, and on the arithmetic."""
    th.manual_seed(3)
    ours = feedforward_registry["relu"](6, 9, 0.0)
    after = th.rand(1)
    th.manual_seed(3)
    sequential = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 6), nn.ReLU())
    for module in sequential:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    assert th.equal(after, th.rand(1))
    x = th.randn(7, 6)
    assert th.equal(th.relu(ours(sequential[0](x))), sequential(x))


@pytest.mark.parametrize("name", GATED)
def test_both_factors_start_as_wide_as_a_plain_hidden_layer(name: str) -> None:
    network = feedforward_registry[name](32, 64, 0.0)
    assert isinstance(network, GatedFeedForward)
    bound = math.sqrt(6 / (32 + 64))
    for weight in (*network.hidden.weight.chunk(2), network.output.weight):
        assert 0.95 * bound < weight.abs().max() <= bound


def test_two_thirds_of_the_width_are_as_many_parameters() -> None:
    def count(name: str, width: int) -> int:
        return sum(p.numel() for p in feedforward_registry[name](64, width, 0.0).parameters())

    assert count("swiglu", 128) == pytest.approx(1.5 * count("relu", 128), rel=0.01)
    assert count("swiglu", 2 * 192 // 3) == pytest.approx(count("relu", 192), rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_of_hidden_units_in_training_alone(name: str) -> None:
    network = trained(name, 3, 4, dropout=0.25)
    without = trained(name, 3, 4)
    without.load_state_dict(network.state_dict())
    x = th.randn(1, 3)
    assert th.equal(network.eval()(x), without(x))
    # Each hidden unit is either gone or 4/3 of itself, so that there are 2^4 outputs; a row of the batch has its own.
    hidden = hidden_by_hand(name, network, x[0].tolist())
    outcomes = th.tensor(
        [by_hand(network, [h / 0.75 * (kept >> i & 1) for i, h in enumerate(hidden)]) for kept in range(16)]
    )
    with th.no_grad():
        seen = network.train()(x.expand(4000, 3))
    distances = th.cdist(seen, outcomes, compute_mode="donot_use_mm_for_euclid_dist")
    assert distances.min(dim=1).values.max() < 1e-4
    th.testing.assert_close(seen.mean(0), without(x)[0], atol=0.25 * float(outcomes.std(0).max()), rtol=0)
    assert len(set(distances.argmin(dim=1).tolist())) > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_network_can_be_pickled(name: str) -> None:
    network = trained(name, 3, 4)
    x = th.randn(2, 3)
    assert th.equal(pickle.loads(pickle.dumps(network))(x), network(x))


@pytest.mark.parametrize("name", NAMES)
def test_arguments_out_of_range(name: str) -> None:
    with pytest.raises(ValueError, match="d_feedforward must be a positive integer, got 0"):
        feedforward_registry[name](3, 0, 0.0)
    for dropout in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=f"dropout is {dropout}; give a probability, at least 0 and below 1"):
            feedforward_registry[name](3, 4, dropout)
