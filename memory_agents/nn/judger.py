"""The network that judges whether a block of memories is worth keeping."""

from __future__ import annotations

import torch as th
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from memory_agents.nn.arguments import check_integers
from memory_agents.nn.gpu_kernels import single_precision
from memory_agents.nn.tracing import is_traced

#: How the outputs of the BiLSTM become one vector.
POOLINGS = ("leaving", "last", "mean", "max")

#: Kinds of memories, marked in the inputs: the present token, recent ones, those about to leave, compressed slots.
KINDS = 4


class CompressionJudger(nn.Module):
    """
    The compression judger of DCT (Chang and Ma 2021, arXiv 2110.04821): a BiLSTM over compressed, recent and present
    memories of the last layer, a linear layer, and a softmax over discarding and keeping. The paper leaves open how the
    BiLSTM's outputs become one vector.

    Memories are read from the newest to the oldest, each with a mark that tells its kind; without one the block that is
    judged could not be told from what stays. A second linear layer, which the paper does not have, learns what is to be
    expected whatever is decided, a baseline for REINFORCE.

    :param d_model: width of the memories
    :param recent_length: rows of recent memory, the present token included
    :param block_length: rows of the block that is judged, the last of the recent ones
    :param hidden_size: width of the LSTM in each direction
    :param n_layers: layers of the LSTM
    :param pooling: ``"leaving"``, mean over the judged block; ``"last"``, where each direction ends; ``"mean"`` or
        ``"max"`` over all that is not empty
    :raises ValueError: when a size is not positive or the pooling unknown
    """

    def __init__(
        self,
        d_model: int,
        recent_length: int,
        block_length: int,
        *,
        hidden_size: int = 32,
        n_layers: int = 1,
        pooling: str = "leaving",
    ) -> None:
        super().__init__()
        check_integers(hidden_size=hidden_size, n_layers=n_layers)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}")
        self.recent_length, self.block_length, self.pooling = recent_length, block_length, pooling
        self.norm = nn.LayerNorm(d_model)
        self.lstm = nn.LSTM(d_model + KINDS, hidden_size, n_layers, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden_size, 2)
        self.baseline = nn.Linear(2 * hidden_size, 1)

    def forward(self, memories: th.Tensor, n_slots: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param memories: recent memory and compressed slots, each from the newest to the oldest, (batch, rows, d_model);
            empty slots are the last rows
        :param n_slots: compressed slots that are not empty, (batch,)
        :return: logits of discarding and of keeping, (batch, 2), and what the decision is expected to be worth,
            (batch,)
        """
        pooled = self._encode(memories, n_slots)
        return self.head(pooled), self.baseline(pooled).squeeze(1)

    def _encode(self, memories: th.Tensor, n_slots: th.Tensor) -> th.Tensor:
        """One vector for what there is to judge, (batch, 2 * hidden_size)."""
        batch, rows, _ = memories.shape
        marks = th.nn.functional.one_hot(self._kinds(rows, memories.device), KINDS).to(memories.dtype)
        inputs = th.cat([self.norm(memories), marks.expand(batch, -1, -1)], dim=2)
        lengths = self.recent_length + n_slots
        empty = th.arange(rows, device=memories.device) >= lengths[:, None]
        # In a graph nothing can depend on there being empty slots. Acting, which graphs are made of, judges full ones.
        if not is_traced() and bool(empty.any()):
            packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
            with single_precision(inputs.device):
                packed_outputs, (last, _) = self.lstm(packed)
            outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=rows)
        else:
            with single_precision(inputs.device):
                outputs, (last, _) = self.lstm(inputs)
        return self._pool(outputs, last, empty)

    def _kinds(self, rows: int, device: th.device) -> th.Tensor:
        row = th.arange(rows, device=device)
        recent, leaving = (row > 0).long(), (row >= self.recent_length - self.block_length).long()
        return recent + leaving + (row >= self.recent_length).long()

    def _pool(self, outputs: th.Tensor, last: th.Tensor, empty: th.Tensor) -> th.Tensor:
        if self.pooling == "leaving":
            return outputs[:, self.recent_length - self.block_length : self.recent_length].mean(dim=1)
        if self.pooling == "last":
            return th.cat([last[-2], last[-1]], dim=1)
        if self.pooling == "max":
            return outputs.masked_fill(empty[:, :, None], -th.inf).amax(dim=1)
        return outputs.masked_fill(empty[:, :, None], 0).sum(dim=1) / (~empty).sum(dim=1, keepdim=True)
