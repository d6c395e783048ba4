"""Where the attention of an acting step goes."""

from __future__ import annotations

from typing import NamedTuple

import torch as th

from memory_agents.memory.compressive.judgement import Judgement
from memory_agents.memory.compressive.layout import StateLayout, StepLayout
from memory_agents.memory.compressive.shape import MemoryShape


class Reading(NamedTuple):
    """
    Attention of one layer at one step, mean over its heads. All weights of a step sum to 1; what is empty or hidden
    has 0.

    :param slots: weights of the compressed slots from the newest to the oldest, (batch, N)
    :param slot_tokens: number of the first token that each of them stands for, -1 where it is empty, (batch, N) int64;
        with ``compression="most_used"``, which keeps some tokens of a block and not their numbers, as if it kept as
        many in a row for each as others do
    :param recent: weights of the recent memory by distance, the step's token itself first, (batch, M + 1)
    """

    slots: th.Tensor
    slot_tokens: th.Tensor
    recent: th.Tensor


def read_off(weights: th.Tensor, shape: MemoryShape, layout: StepLayout, judgement: tuple[Judgement, ...]) -> Reading:
    """
    :param weights: attention over [slot ring | recent ring], (batch, N + M + 1)
    :param shape: sizes of the memories
    :param layout: what the step reads
    :param judgement: with a judge, its part of the state before the step
    :return: the same in order of time
    """
    n, tokens = shape.compressed_length, layout.tokens[:, 0]
    by_row = layout.positions.argsort(dim=1)
    weights = weights.gather(1, by_row)
    recent, slots = weights[:, : shape.ring_length], weights[:, shape.ring_length :]
    state = StateLayout(shape, tokens, *judgement)
    first = th.where(state.written[:, :n], shape.first_tokens(state.numbers), -1)
    return Reading(slots, first.gather(1, by_row[:, shape.ring_length :]) if n else first, recent)
