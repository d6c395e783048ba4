"""Attention with rotary positions."""

from __future__ import annotations

import torch as th

from memory_agents.nn.attention import RelativeAttention, position_registry

#: Ratio of the slowest to the fastest turn.
BASE = 10_000.0


@position_registry.register("rotary")
class RotaryAttention(RelativeAttention):
    """
    Attention with rotary positions (Su et al. 2021, arXiv 2104.09864, section 3.2): queries and keys are turned by
    angles that grow with their times, so that their product depends on the difference of the times alone. A key is
    turned once, when it is made, and needs no table of positions; a compressed slot has the mean time of its memories
    (``"most_used"``, which keeps no times of theirs: of those that others would have made it of).

    :param d_model: width of inputs and outputs
    :param n_heads: number of heads
    :param n_positions: not needed here
    :param d_head: width of a head, even (default: ``d_model / n_heads``)
    :param dropout: probability with which training drops an attention weight
    :raises ValueError: when the heads cannot have this width
    """

    needs_times = True

    def _build_positions(self, d_model: int, n_positions: int) -> None:
        if self.d_head % 2:
            raise ValueError(
                f"rotary positions turn pairs of numbers, but d_head={self.d_head} is odd; use d_head={self.d_head + 1}"
            )

    def keys_and_values(self, x: th.Tensor, times: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        assert times is not None, "rotary positions need times"
        keys, values = super().keys_and_values(x)
        return rotate(keys, times), values

    def queries(
        self, x: th.Tensor, times: th.Tensor | None = None, positions: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor | None]:
        assert times is not None, "rotary positions need times"
        return rotate(self._heads(self.query(x)), times), None


def rotate(x: th.Tensor, times: th.Tensor) -> th.Tensor:
    """
    Turn the pairs (x_i, x_{i + d/2}) by times / 10000^(2 i / d).

    :param x: (batch, heads, length, d), d even
    :param times: (batch, length), in steps
    :return: the same shape
    """
    half = x.shape[-1] // 2
    frequencies = BASE ** (-th.arange(half, dtype=th.float64, device=x.device) / half)
    # In single precision the angle of step 1,000,000 would be known to a few hundredths only.
    angles = times[:, None, :, None].double() * frequencies
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return th.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
