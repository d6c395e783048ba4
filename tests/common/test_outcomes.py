"""A head that predicts what follows an action."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from memory_agents.common.outcomes import OutcomeHead, Outcomes, action_inputs, action_width
from tests.ppo.toys import ACTIONS, OBSERVATIONS

MIXED = spaces.Dict(
    {
        "bits": spaces.MultiBinary(2),
        "kind": spaces.Discrete(3, start=3),
        "seen": spaces.Box(0, 255, (64, 64, 3), np.uint8),
        "two": spaces.MultiDiscrete([4, 2]),
        "x": spaces.Box(-1, 1, (2,)),
    }
)


def observations(space: spaces.Space[Any], rows: int) -> Any:
    """Tensors as a rollout buffer yields them."""
    if isinstance(space, spaces.Dict):
        return {name: observations(part, rows) for name, part in space.items()}
    space.seed(0)
    return th.as_tensor(np.stack([space.sample() for _ in range(rows)])).float()


def outcomes(head: OutcomeHead, rows: int) -> Outcomes:
    classes, numbers = head.outcomes.read(observations(head.outcomes.space, rows))
    return Outcomes(classes, th.cat([numbers, th.randn(rows, 1)], dim=1), th.rand(rows) < 0.8)


def test_classes_and_numbers_of_a_mixture() -> None:
    head = OutcomeHead(5, MIXED, spaces.Discrete(2), 8)
    assert head.outcomes.sizes == [2, 2, 3, 4, 2]
    assert head.outcomes.n_numbers == 2
    seen = observations(MIXED, 6)
    classes, numbers = head.outcomes.read(seen)
    expected = th.cat([seen["bits"], seen["kind"][:, None] - 3, seen["two"]], dim=1)
    assert th.equal(classes, expected.long())
    assert th.equal(numbers, seen["x"])


@pytest.mark.parametrize("action", list(ACTIONS))
@pytest.mark.parametrize("observation", list(OBSERVATIONS))
def test_every_space_has_outcomes(observation: str, action: str) -> None:
    space = ACTIONS[action]
    head = OutcomeHead(5, OBSERVATIONS[observation], space, 8)
    followed = outcomes(head, 20)
    head.observe(followed)
    actions = observations(space, 20)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        actions = actions - th.as_tensor(space.start)
    assert action_inputs(space, actions).shape == (20, action_width(space))
    entropies = head.cross_entropy(head(th.randn(20, 5), actions), followed, head.deviation)
    assert entropies.shape == (20,)
    assert (entropies >= 0).all()
    entropies.mean().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_actions_are_one_hot_where_they_are_choices() -> None:
    assert action_inputs(spaces.Discrete(3), th.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    two = action_inputs(spaces.MultiDiscrete([2, 3]), th.tensor([[1, 2]]))
    assert two.tolist() == [[0, 1, 0, 0, 1]]
    assert action_inputs(spaces.Box(-1, 1, (2,)), th.tensor([[0.5, -0.5]])).tolist() == [[0.5, -0.5]]


def test_cross_entropy_by_its_definition() -> None:
    head = OutcomeHead(5, MIXED, spaces.Discrete(2), 8)
    followed = outcomes(head, 12)
    head.observe(followed)
    logits, means = (part.detach() for part in head(th.randn(12, 5), th.randint(2, (12,))))
    deviation = th.tensor([0.5, 2.0, 3.0])
    found = head.cross_entropy((logits, means), followed, deviation)
    for row in range(12):
        error = [(float(means[row, i] - followed.numbers[row, i]) / float(deviation[i])) ** 2 / 2 for i in range(3)]
        parts, first = error[:2], 0
        for size, kind in zip(head.outcomes.sizes, followed.classes[row].tolist(), strict=True):
            chances = [math.exp(float(logit)) for logit in logits[row, first : first + size]]
            parts.append(-math.log(chances[kind] / sum(chances)))
            first += size
        expected = (sum(parts) / len(parts) + error[2]) / 2 if followed.known[row] else error[2]
        assert abs(float(found[row]) - expected) < 1e-4


def test_moments_are_those_of_everything_that_is_known_so_far() -> None:
    head = OutcomeHead(5, OBSERVATIONS["box"], spaces.Discrete(2), 8)
    seen = [
        outcomes(head, rows)._replace(numbers=7 + 3 * th.randn(rows, 4), known=th.rand(rows) < 0.3)
        for rows in (30, 50, 1)
    ]
    for followed in seen:
        head.observe(followed)
    numbers, known = th.cat([one.numbers for one in seen]), th.cat([one.known for one in seen])
    for column, counted in enumerate([*numbers.T[:-1, known], numbers[:, -1]]):
        th.testing.assert_close(head.mean[column], counted.mean())
        th.testing.assert_close(head.deviation[column], counted.std(correction=0))


def test_observations_that_are_not_known_do_not_count() -> None:
    head = OutcomeHead(5, OBSERVATIONS["box"], spaces.Discrete(2), 8)
    known = th.tensor([True, True, False])
    numbers = th.tensor([[1.0, 2.0, 3.0, 1.0], [3.0, 2.0, 1.0, 2.0], [99.0, 99.0, 99.0, 6.0]])
    head.observe(Outcomes(th.zeros(3, 0).long(), numbers, known))
    th.testing.assert_close(head.mean, th.tensor([2.0, 2.0, 2.0, 3.0]))
    predicted = head(th.randn(3, 5), th.zeros(3))
    other = Outcomes(th.zeros(3, 0).long(), numbers.where(known[:, None] | (numbers == 6.0), -5.0), known)
    followed = head.cross_entropy(predicted, Outcomes(other.classes, numbers, known), head.deviation)
    th.testing.assert_close(head.cross_entropy(predicted, other, head.deviation), followed)


def test_what_is_not_known_at_all_moves_no_mean_and_what_never_varies_has_a_deviation() -> None:
    head = OutcomeHead(5, OBSERVATIONS["box"], spaces.Discrete(2), 8)
    numbers = th.tensor([[5.0, 1.0, -3.0, 2.0], [5.0, 3.0, -3.0, 2.0]])
    for known in (True, False):
        head.observe(Outcomes(th.zeros(2, 0).long(), numbers, th.full((2,), known)))
        th.testing.assert_close(head.mean, th.tensor([5.0, 2.0, -3.0, 2.0]))
        th.testing.assert_close(head.deviation[[0, 2, 3]], th.full((3,), 1e-3))
        assert head.deviation[1] > 0.5


def test_means_are_in_the_units_of_the_numbers() -> None:
    head = OutcomeHead(5, OBSERVATIONS["box"], spaces.Discrete(2), 8)
    followed = outcomes(head, 30)
    head.observe(followed._replace(numbers=7 + 3 * th.randn(30, 4)))
    th.nn.init.zeros_(head.output.weight)
    for bias in (0.0, 2.0):
        th.nn.init.constant_(head.output.bias, bias)
        _, means = head(th.randn(6, 5), th.zeros(6))
        th.testing.assert_close(means, (head.mean + bias * head.deviation).expand(6, -1))


def test_what_can_be_foreseen_is_learned() -> None:
    head = OutcomeHead(4, OBSERVATIONS["dict"], spaces.Discrete(2), 32)
    optimizer = th.optim.Adam(head.parameters(), lr=1e-2)
    errors = []
    for _ in range(400):
        memories, actions = th.randn(128, 4), th.randint(2, (128,))
        kind = memories[:, :3].argmax(dim=1, keepdim=True)
        reward = 100 + 10 * actions[:, None] * memories[:, 3:].sign()
        followed = Outcomes(kind, th.cat([memories[:, :2], reward], dim=1), th.rand(128) < 0.9)
        head.observe(followed)
        error = head.cross_entropy(head(memories, actions), followed, head.deviation).mean()
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        errors.append(error.item())
    assert np.mean(errors[-20:]) < 0.15 * errors[0], (errors[0], np.mean(errors[-20:]))
