"""Distributions without checks: the same numbers, and no silence about what is none."""

from __future__ import annotations

import pytest
import torch as th
from stable_baselines3.common.distributions import BernoulliDistribution, CategoricalDistribution

from memory_agents.common.distributions import UncheckedCategorical, unchecked
from tests.ppo.toys import toy_agent


def test_numbers_are_those_of_the_checked_one() -> None:
    logits = th.randn(5, 3)
    ours, theirs = UncheckedCategorical(3), CategoricalDistribution(3)
    actions = [d.proba_distribution(logits).mode() for d in (ours, theirs)]
    assert th.equal(*actions)
    assert th.equal(ours.log_prob(actions[0]), theirs.log_prob(actions[0]))
    assert th.equal(ours.entropy(), theirs.entropy())


def test_choices_are_unchecked_and_all_else_stays() -> None:
    assert isinstance(toy_agent().policy.action_dist, UncheckedCategorical)
    other = BernoulliDistribution(2)
    assert unchecked(other) is other


def test_what_is_not_a_number_is_refused_when_drawn() -> None:
    with pytest.raises(RuntimeError, match="nan"):
        UncheckedCategorical(3).proba_distribution(th.tensor([[0.0, th.nan, 1.0]])).sample()
