"""Slots on numbers small enough to work out by hand."""

from __future__ import annotations

import math

import pytest
import torch as th

from memory_agents.nn import SlotReading, SlotWriting


def plain(**kwargs: float) -> SlotWriting:
    """One slot, one head of two numbers, all projections the identity."""
    writing = SlotWriting(1, 2, 1, **kwargs)  # type: ignore[arg-type]
    with th.no_grad():
        for linear in (writing.query, writing.key, writing.value):
            linear.weight.copy_(th.eye(2))
    return writing


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_a_slot_attends_to_itself_and_to_tokens_by_hand(temperature: float) -> None:
    # Normalised, (1, 0) and (3, -5) are (1, -1), and (-2, 4) is (-1, 1). Products of the slot's: 2, 2 and -2.
    writing = plain(temperature=temperature)
    slots, tokens = th.tensor([[[1.0, 0.0]]]), th.tensor([[[3.0, -5.0], [-2.0, 4.0]]])
    high, low = math.exp(2 / math.sqrt(2) / temperature), math.exp(-2 / math.sqrt(2) / temperature)
    own, first, second = (weight / (2 * high + low) for weight in (high, high, low))
    value = (first - second) / math.sqrt(2)  # of tokens: (1, -1) and (-1, 1), divided by sqrt(2)
    th.testing.assert_close(writing.attend(slots, tokens), th.tensor([[[own + value, -value]]]), atol=1e-4, rtol=0)


def test_forgetting_by_hand() -> None:
    writing = plain(forgetting_scale=0.5)
    th.testing.assert_close(writing.forgetting_vectors.norm(dim=-1), th.tensor([0.5]))
    with th.no_grad():
        writing.forgetting_vectors.copy_(th.tensor([[0.0, 3.0]]))
    th.testing.assert_close(writing.initial_slots(), th.tensor([[0.0, 1.0]]))
    slots = th.tensor([[[4.0, 0.0]]])
    th.testing.assert_close(writing.normalise(slots), th.tensor([[[0.8, 0.6]]]))
    for _ in range(50):
        slots = writing.normalise(slots)
    th.testing.assert_close(slots, th.tensor([[[0.0, 1.0]]]))  # all is forgotten
    writing.forgetting = False
    th.testing.assert_close(writing.normalise(th.tensor([[[4.0, 0.0]]])), th.tensor([[[1.0, 0.0]]]))


def test_slots_do_not_see_one_another() -> None:
    writing = SlotWriting(3, 8, 2)
    slots, tokens = th.randn(1, 3, 8), th.randn(1, 5, 8)
    other = slots.clone()
    other[0, 0] = th.randn(8)
    written, written_other = writing(slots, tokens), writing(other, tokens)
    assert th.equal(written[0, 1:], written_other[0, 1:])
    assert not th.allclose(written[0, 0], written_other[0, 0])


def test_a_slot_rounds_alike_wherever_it_stands_in_a_batch() -> None:
    writing = SlotWriting(5, 16, 2)
    slots, tokens = th.randn(8, 5, 16), th.randn(8, 11, 16)
    order = th.tensor([3, 0, 6, 1])
    assert th.equal(writing(slots, tokens)[order], writing(slots[order], tokens[order]))


def test_values_of_tokens_are_about_as_long_as_slots() -> None:
    writing = SlotWriting(4, 64, 4)
    with th.no_grad():
        writing.query.weight.zero_()  # all weights equal, and the slot has almost none
        written = writing.attend(th.zeros(1, 4, 64), th.randn(1, 1, 64))
    assert 0.25 < written.norm(dim=-1)[0, 0] < 0.75  # half a value


def test_order_of_slots_does_not_matter_to_a_reader() -> None:
    reading = SlotReading(8, 2)
    tokens, slots = th.randn(2, 5, 8), th.randn(2, 3, 8)
    expected = reading(tokens, *reading.keys_and_values(slots))
    th.testing.assert_close(reading(tokens, *reading.keys_and_values(slots.flip(1))), expected)
    th.testing.assert_close(reading(tokens, *reading.keys_and_values(7 * slots)), expected, atol=1e-3, rtol=0)
