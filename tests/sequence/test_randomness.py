"""Randomness that follows from a seed alone."""

from __future__ import annotations

import pytest
import torch as th

from memory_agents.sequence.randomness import random_state, seeded, set_random_state


def test_draws_follow_from_the_seed_and_leave_no_trace() -> None:
    before = th.random.get_rng_state()
    with seeded(3):
        first = th.rand(4)
    assert th.equal(before, th.random.get_rng_state())
    th.rand(5)
    with seeded(3):
        assert th.equal(first, th.rand(4))
    with seeded(4):
        assert not th.equal(first, th.rand(4))


def test_drawing_goes_on_from_where_it_was() -> None:
    with seeded(3):
        th.rand(2)
        before = random_state()
        first = th.rand(4)
        set_random_state(before)
        assert th.equal(first, th.rand(4))


def test_a_failure_inside_leaves_no_trace() -> None:
    before = th.random.get_rng_state()
    with pytest.raises(RuntimeError), seeded(3):
        th.rand(1, 2) @ th.rand(1, 2)
    assert th.equal(before, th.random.get_rng_state())


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
def test_draws_on_a_gpu() -> None:
    cuda = th.device("cuda")
    before = th.cuda.get_rng_state(cuda)
    with seeded(3, cuda):
        first = th.rand(4, device=cuda)
    assert th.equal(before, th.cuda.get_rng_state(cuda))
    with seeded(3, cuda):
        here = random_state(cuda)
        assert th.equal(first, th.rand(4, device=cuda))
        set_random_state(here, cuda)
        assert th.equal(first, th.rand(4, device=cuda))
