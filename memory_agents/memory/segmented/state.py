"""The state of memories of segments, and what they write from."""

from __future__ import annotations

from typing import NamedTuple

import torch as th


class SegmentedState(NamedTuple):
    """
    State of a :class:`SegmentedMemory`. Without ``keys`` and ``values`` (empty tuples) it is packed: both follow from
    the rest and the parameters. Rows of tokens lie in the order of time, [XL memory | present segment], R = X + S in
    all; those not yet written are zero.

    :param steps: steps seen of the episode in progress, (batch,) int64
    :param memory: as the present segment reads it, (batch, slots, d_model)
    :param recent: per layer, its inputs for these tokens, (batch, R, d_model); for a core that ``remembers_outputs``
        also, as last entry, the outputs of the last layer
    :param keys: per layer, keys of [memory | tokens], (batch, heads, m + R, d_head), m being what
        :meth:`SegmentedMemory.memory_keys` gives for the layer
    :param values: per layer, values of the same
    """

    steps: th.Tensor
    memory: th.Tensor
    recent: tuple[th.Tensor, ...]
    keys: tuple[th.Tensor, ...] = ()
    values: tuple[th.Tensor, ...] = ()


class Segment(NamedTuple):
    """
    A full segment, as :meth:`SegmentedMemory.write` sees it. Its tokens are the last S of the R rows.

    :param memory: as the segment has read it, (n, slots, d_model)
    :param recent: as in the state, (n, R, d_model) each
    :param keys: per layer, keys of [memory | tokens], (n, heads, m + R, d_head)
    :param values: per layer, values of the same
    :param has_previous: whether the XL memory holds the end of a segment before; else it must not be seen, (n,) bool
    """

    memory: th.Tensor
    recent: tuple[th.Tensor, ...]
    keys: tuple[th.Tensor, ...]
    values: tuple[th.Tensor, ...]
    has_previous: th.Tensor
