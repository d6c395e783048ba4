"""What a judge has decided, as a part of states and of trajectories."""

from __future__ import annotations

from typing import NamedTuple

import torch as th


class Choice(NamedTuple):
    """
    What the judge chose at the end of a step, stored with every step so that learning sees the memory that acting saw.

    :param keep: whether a block left the recent memory and was kept, (batch,) bool
    :param judged: whether the judge chose; it does not where no block leaves, nor before the slots are full
    :param log_prob: log-probability of its choice, (batch,); 0 where it did not choose
    :param reading_distance: age in steps of the oldest token that is still represented, (batch,) int64
    """

    keep: th.Tensor
    judged: th.Tensor
    log_prob: th.Tensor
    reading_distance: th.Tensor


class Judgement(NamedTuple):
    """
    The part of a state that decisions have made. Slots are counted in the order of their making, kept ones alone.

    :param made: slots made in the episode in progress, (batch,) int64
    :param numbers: for each row of the slot ring, the number that its slot would have if everything had been kept,
        which tells its time, (batch, N) int64
    :param important: whether the environment said of a token that it matters, by row of the recent ring,
        (batch, M + 1) bool; none unless the judge is told
    :param choice: of the latest step
    :param plan: choices of the steps to come, (batch, T) each, where they are known already
    """

    made: th.Tensor
    numbers: th.Tensor
    important: tuple[th.Tensor, ...]
    choice: Choice
    plan: tuple[Choice, ...] = ()
