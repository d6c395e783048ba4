"""Masks of actions: sb3-contrib's distributions as reference, probabilities, gradients, checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.distributions import make_masked_proba_distribution
from stable_baselines3.common.distributions import make_proba_distribution

from memory_agents.common.actions import checked_masks, invalid_actions, mask_sizes, masked_logits

SPACES: list[tuple[spaces.Space[Any], int]] = [
    (spaces.Discrete(5), 5),
    (spaces.Discrete(4, start=3), 4),
    (spaces.MultiDiscrete([2, 3, 4]), 9),
    (spaces.MultiDiscrete([3, 2], start=[3, -1]), 5),
    (spaces.MultiBinary(3), 3),
]
over_spaces = pytest.mark.parametrize(("space", "n_logits"), SPACES, ids=str)


def random_masks(space: spaces.Space[Any], n: int) -> np.ndarray:
    """Half of the values valid, and at least one for each choice."""
    rng, parts = np.random.default_rng(0), []
    for size in mask_sizes(space):
        part = rng.random((n, size)) < 0.5
        part[np.arange(n), rng.integers(size, size=n)] = True
        parts.append(part)
    return np.concatenate(parts, axis=1)


def distribution(space: spaces.Space[Any], logits: th.Tensor) -> Any:
    made: Any = make_proba_distribution(space)
    return made.proba_distribution(action_logits=logits)


@over_spaces
def test_probabilities_are_those_of_sb3_contrib(space: spaces.Space[Any], n_logits: int) -> None:
    logits, masks = th.randn(50, n_logits), random_masks(space, 50)
    ours = distribution(space, masked_logits(logits, masks, space))
    theirs: Any = make_masked_proba_distribution(space)
    binary = isinstance(space, spaces.MultiBinary)
    # A binary choice has two logits there, of which the difference counts.
    theirs.proba_distribution(th.stack([th.zeros_like(logits), logits], dim=2).flatten(1) if binary else logits)
    theirs.apply_masking(masks)
    actions = ours.sample()
    th.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    th.testing.assert_close(ours.entropy(), theirs.entropy(), atol=1e-6, rtol=1e-5)
    start: Any = 0 if binary else space.start  # type: ignore[attr-defined]
    for chosen in (actions, ours.mode()):
        assert not invalid_actions(chosen.numpy() + start, masks, space).any()


@over_spaces
def test_gradients_are_finite_and_none_reaches_what_is_invalid(space: spaces.Space[Any], n_logits: int) -> None:
    logits = th.randn(50, n_logits, requires_grad=True)
    masks = random_masks(space, 50)
    made = distribution(space, masked_logits(logits, masks, space))
    (made.log_prob(made.sample()).sum() + made.entropy().sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0
    valid = th.as_tensor(masks)
    if isinstance(space, spaces.MultiBinary):
        valid = valid.view(50, -1, 2).all(2)
    assert (logits.grad[~valid] == 0).all()


@over_spaces
def test_where_all_is_valid_nothing_changes(space: spaces.Space[Any], n_logits: int) -> None:
    logits = th.randn(20, n_logits)
    masks = np.ones((20, sum(mask_sizes(space))))
    assert th.equal(masked_logits(logits, masks, space), logits)


def test_invalid_actions_are_found() -> None:
    masks = np.array([[1, 0, 1, 1, 0], [1, 1, 0, 1, 1]], bool)
    space = spaces.MultiDiscrete([2, 3], start=[3, -1])
    assert invalid_actions(np.array([[3, 0], [4, 0]]), masks, space).tolist() == [False, False]
    assert invalid_actions(np.array([[4, -1], [4, -1]]), masks, space).tolist() == [True, True]
    assert invalid_actions(np.array([3, 5]), masks[:, 2:], spaces.Discrete(3, start=3)).tolist() == [False, False]
    assert invalid_actions(np.array([3, 3]), masks[:, 2:], spaces.Discrete(3, start=3)).tolist() == [False, True]


def test_masks_are_checked() -> None:
    space = spaces.MultiDiscrete([2, 3])
    assert checked_masks([1, 0, 0, 1, 1], space, 1).tolist() == [[True, False, False, True, True]]
    with pytest.raises(ValueError, match=r"has shape \(2, 4\) for 2 environments .* pass 5 values for each"):
        checked_masks(np.ones((2, 4)), space, 2)
    with pytest.raises(ValueError, match=r"has shape \(4, 5\) for 2 environments"):
        checked_masks(np.ones((4, 5)), space, 2)
    with pytest.raises(ValueError, match=r"of environment 1 is \[1, 1, 0, 0, 0\], which leaves no valid action"):
        checked_masks([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], space, 2)
    with pytest.raises(ValueError, match=r"of environment 0 is \[1, 1, 1, 1, 0, 0\], which leaves no valid action"):
        checked_masks([1, 1, 1, 1, 0, 0], spaces.MultiBinary(3), 1)
    with pytest.raises(TypeError, match=r"cannot be masked; use Discrete, MultiDiscrete or MultiBinary"):
        checked_masks([1], spaces.Box(0, 1, (1,)), 1)
