"""What a judged memory did in an episode, step by step, as it is kept for later inspection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_agents.memory.compressive import MemoryShape


class LeavingBlocks(NamedTuple):
    """
    The blocks that left the recent memory in an episode, one entry each.

    :param step: at the end of which step
    :param first: number of its first token
    :param last: number of its last token
    :param keep: whether it was kept
    :param judged: whether the judge chose; as long as the slots are not full everything is kept
    :param log_prob: log-probability of the judge's choice, 0 where it did not choose
    :param important: whether it holds a token that matters, as the environment says
    """

    step: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    keep: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    log_prob: NDArray[np.float32]
    important: NDArray[np.bool_]


@dataclass(frozen=True)
class JudgerRecord:
    """
    An episode of T steps. Where several layers have slots, attention is that of each of them.

    :param shape: sizes of the memories
    :param deterministic: whether actions and decisions were the likeliest, in place of drawn ones
    :param tells_importance: whether the environment says which observations matter
    :param keep: whether a block left at the end of a step and was kept, (T,)
    :param judged: whether the judge chose, (T,)
    :param log_prob: log-probability of its choice, 0 where it did not choose, (T,)
    :param reading_distance: age in steps of the oldest token that is represented after a step, (T,)
    :param rewards: rewards of the steps, (T,)
    :param important: whether the observation of a step matters, by ``info["important"]``, (T,)
    :param asked: whether the action of a step was asked for, by ``info["asked"]``, (T,)
    :param slot_attention: attention to the slots, the newest first, (T, layers, N); no layers if it was not recorded
    :param slot_tokens: number of the first token that each slot stands for, -1 where it is empty, (T, N)
    :param recent_attention: attention to the recent memory by distance, the step's token first, (T, layers, M + 1)
    """

    shape: MemoryShape
    deterministic: bool
    tells_importance: bool
    keep: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    log_prob: NDArray[np.float32]
    reading_distance: NDArray[np.int64]
    rewards: NDArray[np.float32]
    important: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    slot_attention: NDArray[np.float32]
    slot_tokens: NDArray[np.int64]
    recent_attention: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.keep)

    @property
    def blocks(self) -> LeavingBlocks:
        """The blocks that left in this episode."""
        step = np.arange(self.shape.memory_length, len(self), self.shape.block_length)
        first = step - self.shape.memory_length
        last = first + self.shape.block_length - 1
        important = np.array([self.important[a : b + 1].any() for a, b in zip(first, last, strict=True)], np.bool_)
        return LeavingBlocks(step, first, last, self.keep[step], self.judged[step], self.log_prob[step], important)

    @property
    def reading_distance_if_all_kept(self) -> NDArray[np.int64]:
        """The reading distance of a memory of this size that keeps everything, (T,)."""
        steps, shape = np.arange(len(self)), self.shape
        left = (np.maximum(steps - shape.memory_length, -1) + shape.block_length) // shape.block_length
        made = left * shape.slots_per_block
        oldest = np.where(
            made > 0,
            shape.first_tokens(np.maximum(made - shape.compressed_length, 0)),
            np.maximum(steps - shape.memory_length, 0),
        )
        return steps - oldest

    def save(self, path: Path | str) -> None:
        """
        Write everything to a compressed file of NumPy arrays, which can be read without this library: one array for
        each attribute and each size, and ``block_step``, ``block_first``, ``block_last`` and so on for :attr:`blocks`.

        :param path: where to write, an .npz file
        """
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays.update(asdict(arrays.pop("shape")))
        arrays.update({f"block_{name}": value for name, value in self.blocks._asdict().items()})
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> JudgerRecord:
        """
        :param path: a file that :meth:`save` wrote
        :return: the record
        :raises ValueError: when it is another file
        """
        try:
            with np.load(path) as file:
                sizes = {field.name: file[field.name].item() for field in fields(MemoryShape) if field.name in file}
                shape = MemoryShape(**sizes)
                arrays = {field.name: file[field.name] for field in fields(cls) if field.name != "shape"}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no record of a judger: {error}; pass a file that JudgerRecord.save wrote"
            ) from error
        deterministic, tells = (bool(arrays.pop(name)) for name in ("deterministic", "tells_importance"))
        return cls(shape=shape, deterministic=deterministic, tells_importance=tells, **arrays)


def decision_summary(records: Iterable[JudgerRecord]) -> dict[str, Any]:
    """
    :param records: episodes
    :return: how many decisions there were; which share of blocks was kept: of all that were judged, of those that hold
        something that matters, and of the others; and the mean and the longest reading distance over all steps. None
        where there is nothing to count
    """
    episodes = list(records)
    blocks = [record.blocks for record in episodes]
    judged = _joined([part.judged for part in blocks])
    keep = _joined([part.keep for part in blocks])[judged]
    important = _joined([part.important for part in blocks])[judged]
    tells = any(record.tells_importance for record in episodes)
    distances = np.concatenate([record.reading_distance for record in episodes]) if episodes else np.zeros(0)
    return {
        "decisions": len(keep),
        "keep_rate": _mean(keep),
        "keep_rate_important": _mean(keep[important]) if tells else None,
        "keep_rate_other": _mean(keep[~important]) if tells else None,
        "mean_reading_distance": _mean(distances),
        "max_reading_distance": int(distances.max()) if len(distances) else None,
    }


def _joined(parts: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return np.concatenate([np.zeros(0, np.bool_), *parts])


def _mean(numbers: NDArray[Any]) -> float | None:
    return float(numbers.mean()) if len(numbers) else None
