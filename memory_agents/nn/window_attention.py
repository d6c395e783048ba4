"""
Attention of all steps of a window at once, where each sees its recent past and some slots: in chunks, so that what no
query of a chunk can see is not computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch as th
from torch.nn.attention import SDPBackend, sdpa_kernel

from memory_agents.nn.reading import read, relative_shift

#: Chunks are as long as they can be up to this.
LONGEST_CHUNK = 64
#: Shorter ones would be too many.
SHORTEST_CHUNK = 16


class Band(NamedTuple):
    """
    What the queries of a window see, chunk by chunk. Of T queries in chunks of C, chunk i holds the queries
    [i C, (i + 1) C); its keys are all S slots and the history's tokens [i C, (i + 1) C + M).

    :param bias: 0, or ``HIDDEN`` where a key must not be seen, (batch, T / C, C, S + M + C)
    :param ranks: ranks of the slots as each query sees them, anything where it does not, (batch, T, S) int64
    :param memory_length: M, the distance up to which recent memory is seen
    """

    bias: th.Tensor
    ranks: th.Tensor
    memory_length: int


def chunk_length(window: int) -> int:
    """
    :param window: queries T
    :return: queries C of a chunk, a divisor of them; all where none is between the shortest and the longest allowed
    """
    fitting = range(min(window, LONGEST_CHUNK), SHORTEST_CHUNK - 1, -1)
    return next((length for length in fitting if window % length == 0), window)


def chunk_keys(x: th.Tensor, band: Band) -> th.Tensor:
    """
    :param x: keys or values of [slots | history], (batch, heads, S + M + T, d_head)
    :param band: who sees whom
    :return: those of each chunk, (batch, heads, T / C, S + M + C, d_head)
    """
    slots, history = x.tensor_split([band.ranks.shape[2]], dim=2)
    _, chunks, length, _ = band.bias.shape
    recent = history.unfold(2, band.memory_length + length, length).transpose(3, 4)
    return th.cat([slots[:, :, None].expand(-1, -1, chunks, -1, -1), recent], dim=3)


def chunk_bias(position_logits: th.Tensor | None, band: Band) -> th.Tensor:
    """
    :param position_logits: by relative position: distances 0 to M, then ranks of slots, (batch, heads, T, positions);
        None for zeros
    :param band: who sees whom
    :return: what is added to the logits, (batch, heads or 1, T / C, C, S + M + C)
    """
    bias = band.bias[:, None]
    if position_logits is None:
        return bias
    by_chunk = _split(position_logits, 2, bias.shape[2:4])
    recent, slots = by_chunk.tensor_split([band.memory_length + 1], dim=4)
    slots = slots.gather(4, _ranks(band, position_logits.shape[1]))
    return th.cat([slots, relative_shift(recent.flip(-1))], dim=4) + bias


class WindowAttention(th.autograd.Function):
    """
    ``softmax(q k / sqrt(d_head) + position logits + bias) v`` for a window, on the CPU: one buffer for the logits,
    which everything is added to in place, and a gradient that is written out. What PyTorch would record instead writes
    numbers of that size a dozen times.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: th.Tensor,
        position_logits: th.Tensor | None,
        keys: th.Tensor,
        values: th.Tensor,
        bias: th.Tensor,
        ranks: th.Tensor,
        memory_length: int,
    ) -> th.Tensor:
        """
        :param ctx: keeps what the gradient needs
        :param queries: (batch, heads, T, d_head)
        :param position_logits: as of :func:`chunk_bias`
        :param keys: of [slots | history], (batch, heads, S + M + T, d_head)
        :param values: likewise
        :param bias: that of the band
        :param ranks: those of the band
        :param memory_length: that of the band
        :return: what is read, (batch, heads, T, d_head)
        """
        band = Band(bias, ranks, memory_length)
        batch, heads, window, width = queries.shape
        _, chunks, length, n_keys = bias.shape
        scaled = (queries * width**-0.5).reshape(-1, length, width)
        chunked_keys, chunked_values = (chunk_keys(x, band).view(-1, n_keys, width) for x in (keys, values))
        logits = bias[:, None].repeat(1, heads, 1, 1, 1).view(-1, length, n_keys)
        logits.baddbmm_(scaled, chunked_keys.mT)
        if position_logits is not None:
            recent, slots = _split(position_logits, 2, (chunks, length)).tensor_split([memory_length + 1], dim=4)
            by_head = logits.view(batch, heads, chunks, length, n_keys)
            _diagonals(by_head, band).add_(recent.flip(-1))
            by_head[..., : ranks.shape[2]] += slots.gather(4, _ranks(band, heads))
        weights = logits.softmax(dim=-1)
        read = th.bmm(weights, chunked_values)
        ctx.save_for_backward(
            queries, position_logits, keys, values, bias, ranks, scaled, chunked_keys, chunked_values, weights, read
        )
        ctx.memory_length = memory_length
        return read.view(batch, heads, window, width)

    @staticmethod
    def backward(ctx: Any, gradient: th.Tensor) -> Any:
        """
        :param ctx: what the gradient needs
        :param gradient: to what was read, (batch, heads, T, d_head)
        :return: gradients to queries, position logits, keys and values
        """
        queries, position_logits, keys, values, bias, ranks, *_ = ctx.saved_tensors
        band = Band(bias, ranks, ctx.memory_length)
        if th.is_grad_enabled():
            # Someone wants a gradient of this gradient.
            inputs = [x for x in (queries, position_logits, keys, values) if x is not None and x.requires_grad]
            with sdpa_kernel(SDPBackend.MATH):  # the fused kernel's gradient has none
                read = read_window(queries, position_logits, keys, values, band)
            found = iter(th.autograd.grad(read, inputs, gradient, create_graph=True))
            wanted = ctx.needs_input_grad[:4]
            return *(next(found) if want else None for want in wanted), None, None, None
        *_, scaled, chunked_keys, chunked_values, weights, read = ctx.saved_tensors
        length = bias.shape[2]
        width, distances = queries.shape[3], ctx.memory_length + 1
        upstream = gradient.reshape(-1, length, width)
        to_values = th.bmm(weights.mT, upstream)
        to_logits = th.bmm(upstream, chunked_values.mT)
        # Of the softmax: w (dw - sum(w dw)), where the sum is that of the outputs with their gradients.
        to_logits.sub_((upstream * read).sum(dim=-1, keepdim=True)).mul_(weights)
        to_queries = th.bmm(to_logits, chunked_keys).mul_(width**-0.5).view(queries.shape)
        to_keys = th.bmm(to_logits.mT, scaled)
        to_positions = None
        if position_logits is not None:
            by_head = to_logits.view(*queries.shape[:2], *bias.shape[1:])
            to_positions = position_logits.new_zeros(position_logits.shape)
            recent, slots = _split(to_positions, 2, bias.shape[1:3]).tensor_split([distances], dim=4)
            recent.copy_(_diagonals(by_head, band).flip(-1))
            slots.scatter_add_(4, _ranks(band, queries.shape[1]), by_head[..., : ranks.shape[2]])
        to_keys, to_values = (_add_up(x, queries.shape, band) for x in (to_keys, to_values))
        return to_queries, to_positions, to_keys, to_values, None, None, None


def attend_window(
    queries: th.Tensor,
    position_logits: th.Tensor | None,
    keys: th.Tensor,
    values: th.Tensor,
    band: Band,
    dropout: float = 0.0,
) -> th.Tensor:
    """
    Attention of all steps of a window, :func:`read_window` by the fastest way there is.

    :param queries: (batch, heads, T, d_head)
    :param position_logits: as of :func:`chunk_bias`
    :param keys: of [slots | history], (batch, heads, S + M + T, d_head)
    :param values: likewise
    :param band: who sees whom
    :param dropout: probability with which a weight is dropped
    :return: what is read, (batch, heads, T, d_head)
    """
    floats = [x for x in (queries, position_logits, keys, values, band.bias) if x is not None]
    written_out = queries.device.type == "cpu" and not dropout and not th.compiler.is_compiling()
    # Transformations of functions, as torch.func.grad, need operations that they know.
    written_out = written_out and not th._C._are_functorch_transforms_active()
    if written_out and len({x.dtype for x in floats}) == 1:
        mixed: th.Tensor = WindowAttention.apply(  # type: ignore[no-untyped-call]
            queries, position_logits, keys, values, *band
        )
        return mixed
    return read_window(queries, position_logits, keys, values, band, dropout)


def read_window(
    queries: th.Tensor,
    position_logits: th.Tensor | None,
    keys: th.Tensor,
    values: th.Tensor,
    band: Band,
    dropout: float = 0.0,
) -> th.Tensor:
    """
    The same by operations of PyTorch, on any device.

    :param queries: (batch, heads, T, d_head)
    :param position_logits: as of :func:`chunk_bias`
    :param keys: of [slots | history], (batch, heads, S + M + T, d_head)
    :param values: likewise
    :param band: who sees whom
    :param dropout: probability with which a weight is dropped
    :return: what is read, (batch, heads, T, d_head)
    """
    bias = chunk_bias(position_logits, band).to(queries.dtype)
    chunked = _split(queries, 2, bias.shape[2:4])
    parts = (chunked, chunk_keys(keys, band), chunk_keys(values, band), bias.expand(-1, chunked.shape[1], -1, -1, -1))
    flat_queries, flat_keys, flat_values, flat_bias = (part.flatten(1, 2) for part in parts)
    return read(flat_queries, flat_keys, flat_values, flat_bias, dropout).view(queries.shape)


def _split(x: th.Tensor, dim: int, sizes: th.Size | tuple[int, ...]) -> th.Tensor:
    """A view with one dimension as several."""
    return x.view(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def _ranks(band: Band, heads: int) -> th.Tensor:
    """The ranks of the slots for every head, (batch, heads, T / C, C, S)."""
    return _split(band.ranks, 1, band.bias.shape[1:3])[:, None].expand(-1, heads, -1, -1, -1)


def _diagonals(logits: th.Tensor, band: Band) -> th.Tensor:
    """
    :param logits: (batch, heads, T / C, C, S + M + C), contiguous
    :param band: who sees whom
    :return: those of the recent keys that each query may see, from far to near, a view, (batch, heads, T / C, C, M + 1)
    """
    *strides, row, column = logits.stride()
    size = (*logits.shape[:4], band.memory_length + 1)
    return logits.as_strided(size, (*strides, row + 1, column), logits.storage_offset() + band.ranks.shape[2])


def _add_up(to_chunks: th.Tensor, shape: th.Size, band: Band) -> th.Tensor:
    """
    :param to_chunks: gradients to the keys of chunks, (n, S + M + C, d_head)
    :param shape: that of the queries
    :param band: who sees whom
    :return: gradients to keys, (batch, heads, S + M + T, d_head)
    """
    batch, heads, window, width = shape
    _, chunks, length, n_keys = band.bias.shape
    n_slots, m = band.ranks.shape[2], band.memory_length
    to_chunks = to_chunks.view(batch, heads, chunks, n_keys, width)
    total = to_chunks.new_zeros(batch, heads, n_slots + m + window, width)
    total[:, :, :n_slots] = to_chunks[..., :n_slots, :].sum(dim=2)
    for chunk in range(chunks):
        begin = n_slots + chunk * length
        total[:, :, begin : begin + m + length] += to_chunks[:, :, chunk, n_slots:]
    return total
