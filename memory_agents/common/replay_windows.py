"""Windows of replayed steps, and what follows each of their steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray

from memory_agents.common.sequences import SequenceBatch


class ReplayBatch(NamedTuple):
    """
    Windows of consecutive steps, each after a burn-in (Kapturowski et al. 2019, "Recurrent experience replay in
    distributed reinforcement learning", section 3). It travels where ``observations`` travel otherwise, so that
    ``train()`` of Stable-Baselines3 need not know of memory.

    :param burn_in: the steps before the windows, from which nothing is learned, with the states before them; no steps
        where there is no burn-in, and ``None`` for the states where memories begin empty
    :param window: the windows, without states of their own
    :param outputs: what is asked for, (transitions,) int64: steps of the windows, counted through window after window
    """

    burn_in: SequenceBatch
    window: SequenceBatch
    outputs: th.Tensor


@dataclass(frozen=True)
class NextSteps:
    """
    One time line for each window in which every step that is not terminal has a successor: the step after it, or, where
    an episode was cut and at the end of the window, its true next observation, put in between. Memory reads that
    observation as one more step of the episode that was cut; the episode after it begins anew. ::

        steps of a window      a0 a1 a2 | b0 b1 b2          (| where an episode is cut)
        the time line          a0 a1 a2 a3 | b0 b1 b2 b3    (a3 and b3 are the true next observations)

    Windows have different numbers of cuts, so the end of a time line may be left over. Nothing reads it, and as it
    begins episodes at every step, it sees nothing.

    :param step: for each place of the time line, the step whose observation or next observation stands there,
        (windows, places)
    :param is_next: whether it is the next observation, (windows, places)
    :param is_left_over: whether nothing is there, (windows, places)
    :param episode_starts: whether an episode starts there, (windows, places)
    :param after: where what follows each step stands, (windows, length)
    """

    step: NDArray[np.int64]
    is_next: NDArray[np.bool_]
    is_left_over: NDArray[np.bool_]
    episode_starts: NDArray[np.bool_]
    after: NDArray[np.int64]


def next_steps(episode_starts: NDArray[np.bool_], terminal: NDArray[np.bool_]) -> NextSteps:
    """
    :param episode_starts: whether an episode starts at a step, (windows, length)
    :param terminal: whether nothing follows a step, so that what follows it has no value, (windows, length)
    :return: what follows the steps. ``after`` says nothing for those that are terminal
    """
    windows, length = terminal.shape
    row = np.arange(windows)[:, None]
    ends = np.ones_like(terminal)
    ends[:, :-1] = episode_starts[:, 1:]
    cut = ends & ~terminal
    place = np.arange(length) + np.cumsum(cut, axis=1) - cut
    places = int((place[:, -1] + 1 + cut[:, -1]).max())
    step = np.full((windows, places), length - 1)
    step[row, place] = np.arange(length)
    is_next = np.zeros((windows, places), dtype=bool)
    cut_window, cut_step = cut.nonzero()
    is_next[cut_window, place[cut_window, cut_step] + 1] = True
    step[cut_window, place[cut_window, cut_step] + 1] = cut_step
    starts = np.ones((windows, places), dtype=bool)
    starts[row, place] = episode_starts
    starts[is_next] = False
    left_over = ~is_next
    left_over[row, place] = False
    return NextSteps(step, is_next, left_over, starts, np.minimum(place + 1, places - 1))


class Returns(NamedTuple):
    """
    What steps have earned before bootstrapping, (windows, length) each.

    :param rewards: sums of discounted rewards
    :param last: the last step that each sum holds
    :param discounts: of the value of what follows that step
    """

    rewards: NDArray[np.float32]
    last: NDArray[np.int64]
    discounts: NDArray[np.float32]


def n_step_returns(
    rewards: NDArray[np.float32], episode_ends: NDArray[np.bool_], n_steps: int, gamma: float
) -> Returns:
    """
    Sums of ``n_steps`` rewards, of fewer where an episode or the window ends before.

    :param rewards: (windows, length)
    :param episode_ends: whether another episode follows a step, (windows, length)
    :param n_steps: n
    :param gamma: discount factor
    :return: the sums, and where they end
    """
    length = rewards.shape[1]
    total = np.zeros_like(rewards)
    last = np.zeros(rewards.shape, dtype=np.int64)
    discounts = np.ones_like(rewards)
    going_on = np.ones_like(episode_ends)
    for n in range(min(n_steps, length)):
        # Step j adds the reward of step j + n, if that is in the window and its episode goes on until then.
        adds = going_on[:, : length - n]
        going_on = adds & ~episode_ends[:, n:]
        total[:, : length - n] += np.where(adds, discounts[:, : length - n] * rewards[:, n:], 0)
        last[:, : length - n] = np.where(adds, np.arange(n, length), last[:, : length - n])
        discounts[:, : length - n] *= np.where(adds, np.float32(gamma), np.float32(1))
    return Returns(total, last, discounts)
