"""What attention of any kind is made of: reading by logits that a bias is added to."""

from __future__ import annotations

import torch as th
import torch.nn.functional as F

#: Bias of a key that must not be seen. Beside a visible key (a query always sees itself) its weight is exactly zero, as
#: with minus infinity, but infinities make the softmax of the CPU several times slower.
HIDDEN = -1e9


def is_exporting() -> bool:
    """
    :return: whether what runs is being made into a graph by ``torch.export``
    """
    # Before PyTorch 2.7 one is not told which of its compilers is at work.
    asked = getattr(th.compiler, "is_exporting", th.compiler.is_compiling)
    return bool(asked())


def relative_shift(logits: th.Tensor) -> th.Tensor:
    """
    Turn row t by t columns to the right, the relative shift of Transformer-XL (Dai et al. 2019, arXiv 1901.02860,
    appendix B): from logits by distance to logits by key, without a gather, whose gradient is slow.

    :param logits: (..., T, W)
    :return: (..., T, W + T - 1), entry (t, t + j) being ``logits[t, j]``; the rest is for a mask to hide
    """
    length, width = logits.shape[-2:]
    rows = F.pad(logits, (0, length)).flatten(-2)[..., : length * (width + length - 1)]
    return rows.reshape(*logits.shape[:-1], width + length - 1)


def read(queries: th.Tensor, keys: th.Tensor, values: th.Tensor, bias: th.Tensor, dropout: float = 0.0) -> th.Tensor:
    """
    :param queries: (batch, heads, queries, d_head)
    :param keys: (batch, heads, keys, d_head)
    :param values: (batch, heads, keys, d_head)
    :param bias: what is added to the logits, (batch, heads or 1, queries, keys)
    :param dropout: probability with which a weight is dropped
    :return: what is read, (batch, heads, queries, d_head)
    """
    if (bias.device.type == "cpu" and (bias.requires_grad or queries.shape[2] == 1)) or is_exporting():
        # The fused kernel for the CPU knows no gradient to the bias, and what it falls back on is slower than this; and
        # it is slower than this for single queries of many environments.
        # And ONNX has no such kernel: what the exporter puts in its place lays its results out differently.
        scale = queries.shape[3] ** -0.5
        flat_bias = bias.expand(*queries.shape[:2], -1, -1).flatten(0, 1)
        weights = th.baddbmm(flat_bias, queries.flatten(0, 1), keys.flatten(0, 1).mT, alpha=scale).softmax(dim=-1)
        if dropout:
            weights = F.dropout(weights, dropout)
        return th.bmm(weights, values.flatten(0, 1)).view(*queries.shape[:3], -1)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, dropout_p=dropout)
