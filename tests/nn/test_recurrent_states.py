"""State vectors: their gates by hand, and who sees whom."""

from __future__ import annotations

import math

import pytest
import torch as th

from memory_agents.nn import RecurrentStates, state_gate_registry
from memory_agents.nn.recurrent_states import FixedStateGate, LSTMStateGate


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def set_weights(linear: th.nn.Linear, weight: float, bias: float) -> None:
    with th.no_grad():
        linear.weight.fill_(weight)
        linear.bias.fill_(bias)


@pytest.mark.parametrize("beta", [None, -1.0, 3.0])
def test_the_fixed_gate_by_hand(beta: float | None) -> None:
    gate = FixedStateGate(1, 1, beta)
    set_weights(gate.candidate, 2.0, 0.5)
    share = sigmoid(beta or 0.0)
    expected = share * (2 * 3 + 0.5) + (1 - share) * 10  # however large h is, it is the same share
    th.testing.assert_close(gate(th.tensor([10.0]), th.tensor([3.0])), th.tensor([expected]))
    assert gate.beta.requires_grad


@pytest.mark.parametrize("bias", [None, 2.0])
def test_the_lstm_gate_by_hand(bias: float | None) -> None:
    gate = LSTMStateGate(1, 1, bias)
    for linear, weight, constant in ((gate.candidate, 0.3, 0.1), (gate.input, 0.7, -0.2), (gate.forget, -0.4, 0.6)):
        set_weights(linear, weight, constant)
    b = 1.0 if bias is None else bias
    z, i, f = math.tanh(0.3 * 3 + 0.1), sigmoid(0.7 * 3 - 0.2 - b), sigmoid(-0.4 * 3 + 0.6 + b)
    th.testing.assert_close(gate(th.tensor([10.0]), th.tensor([3.0])), th.tensor([f * 10 + i * z]))


def test_untrained_gates_remember() -> None:
    states = th.randn(5, 8)
    nothing = th.zeros(5, 16)
    kept = {
        name: (make(16, 8, None)(states, nothing) / states).mean().item() for name, make in state_gate_registry.items()
    }
    assert kept["fixed"] == pytest.approx(0.5)
    assert kept["lstm"] == pytest.approx(sigmoid(1.0))


@pytest.mark.parametrize("configuration", ["skip", "single", "dual"])
def test_states_see_one_another_and_the_tokens_that_are_not_hidden(configuration: str) -> None:
    side = RecurrentStates(3, 8, 2, 16, configuration=configuration)
    states = th.randn(1, 3, 8, requires_grad=True)
    token_keys, token_values = (th.randn(1, 2, 5, 4, requires_grad=True) for _ in range(2))
    keys, values = side.keys_and_values(states)
    hidden = th.tensor([[True, False, False, True, False]])
    after = side(states, th.cat([keys, token_keys], 2), th.cat([values, token_values], 2), hidden)
    after[0, 0].sum().backward()
    assert states.grad is not None
    assert (states.grad[0].abs().sum(1) > 0).all()
    for tensor in (token_keys, token_values):
        assert tensor.grad is not None
        assert (tensor.grad.abs().sum((0, 1, 3)) > 0).tolist() == [False, True, True, False, True]


def test_state_ids_tell_equal_states_apart() -> None:
    side = RecurrentStates(3, 8, 2, 16)
    states = th.ones(1, 3, 8) * th.arange(8)
    keys, values = (th.cat([part, th.randn(1, 2, 5, 4)], 2) for part in side.keys_and_values(states))
    after = side(states, keys, values)
    assert (after[0, 0] - after[0, 1]).abs().max() > 0.01
    with th.no_grad():
        side.state_ids.zero_()
    keys, values = (th.cat([part, keys[:, :, 3:]], 2) for part in side.keys_and_values(states))
    after = side(states, keys, values)
    th.testing.assert_close(after[0, 0], after[0, 1])


def test_four_sets_of_queries_share_two_of_keys_and_values() -> None:
    names = {name for name, _ in RecurrentStates(3, 8, 2, 16).named_parameters() if "query" in name or "key" in name}
    assert names == {"key_value.weight", "state_query.weight", "token_query.weight", "reading_query.weight"}


def test_both_gates_of_two_have_the_bias_that_is_given() -> None:
    fixed = RecurrentStates(3, 8, 2, 16, gate="fixed", gate_bias=0.7, configuration="dual")
    lstm = RecurrentStates(3, 8, 2, 16, gate="lstm", gate_bias=0.7, configuration="dual")
    for gate in (fixed.gate, fixed.hidden_gate):
        assert isinstance(gate, FixedStateGate)
        assert gate.beta.eq(0.7).all()
    for gate in (lstm.gate, lstm.hidden_gate):
        assert isinstance(gate, LSTMStateGate)
        assert gate.bias == 0.7
