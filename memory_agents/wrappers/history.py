"""Histories of observations: how they look, and how they are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

#: Name of the entry that tells how many steps of a history there are.
LENGTH = "history_length"
#: Integers that PyTorch knows, from the smallest.
INTEGERS = (np.uint8, np.int16, np.int32, np.int64)


class HistorySpace(spaces.Dict):
    """
    Space of the newest H observations of an episode, the newest last. While an episode has fewer, the first rows are
    empty: they hold what is nearest to zero, and must not be looked at.

    Entries are those of the space inside (``observation`` where that is no dictionary), H rows each, in its type and
    bounds, and ``history_length``, how many rows are filled: 1 to H (0 never occurs). What each row holds:

    ================= ==================================================================================
    inside            a row
    ================= ==================================================================================
    ``Box``           as it is where it has three dimensions, an image; otherwise flat
    ``Discrete``      one integer, counted from zero, in the smallest type that holds all
    ``MultiDiscrete`` an integer for each choice, likewise
    ``MultiBinary``   as it is
    ================= ==================================================================================

    None of them has three dimensions in all, so that Stable-Baselines3 takes none for an image.

    :param inner: what is seen at a step: a ``Box``, ``Discrete``, ``MultiDiscrete``, ``MultiBinary``, or a ``Dict`` of
        them
    :param history_length: observations in a history, H
    :raises ValueError: when the space inside is another, or has an entry of that name, or H is no positive integer
    """

    def __init__(self, inner: spaces.Space[Any], history_length: int) -> None:
        if isinstance(history_length, bool) or not isinstance(history_length, int | np.integer) or history_length < 1:
            raise ValueError(f"history_length must be a positive integer, got {history_length!r}")
        if isinstance(inner, HistorySpace):
            raise ValueError("env shows histories already; put one history wrapper around it, not two")
        self.inner = inner
        self.history_length = int(history_length)
        if LENGTH in self.parts:
            raise ValueError(f"env has an entry {LENGTH!r} in its observations, which histories add; rename that entry")
        entries: dict[str, spaces.Space[Any]] = {
            name: _rows(name, part, self.history_length) for name, part in self.parts.items()
        }
        super().__init__({**entries, LENGTH: spaces.Discrete(self.history_length + 1)})

    @property
    def parts(self) -> dict[str, spaces.Space[Any]]:
        """The space inside, entry by entry."""
        return dict(self.inner) if isinstance(self.inner, spaces.Dict) else {"observation": self.inner}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HistorySpace):
            return False
        return self.history_length == other.history_length and bool(self.inner == other.inner)

    def __repr__(self) -> str:
        return f"HistorySpace({self.inner}, {self.history_length})"


def _rows(name: str, space: spaces.Space[Any], length: int) -> spaces.Space[Any]:
    """
    :param name: of an entry
    :param space: its space
    :param length: how many rows
    :return: their space
    :raises ValueError: when histories cannot hold it
    """
    if isinstance(space, spaces.Box):
        shape = space.shape if len(space.shape) == 3 else (-1,)
        low, high = (np.stack([bound.reshape(shape)] * length) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=space.dtype.type)
    if isinstance(space, spaces.MultiBinary):
        return spaces.MultiBinary([length, *space.shape])
    if isinstance(space, spaces.Discrete) or (isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1):
        highest = np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec) - 1
        dtype = next(integers for integers in INTEGERS if highest.max() <= np.iinfo(integers).max)
        low, high = np.zeros((length, highest.size), dtype), np.stack([highest] * length).astype(dtype)
        return spaces.Box(low, high, dtype=dtype)
    raise ValueError(
        f"env has {name!r} in {space} among its observations, which histories cannot hold; put FlatDictObservation "
        "around it where it is nested, or FlattenObservation of Gymnasium"
    )


class HistoryRing:
    """
    Histories of many environments, kept in rings: a step writes one row of each, whatever their length.

    Every row is written twice, H rows apart, so that the newest H always lie side by side.

    :param space: of the histories
    :param n_envs: number of environments
    """

    def __init__(self, space: HistorySpace, n_envs: int) -> None:
        self.space = space
        self.n_envs = n_envs
        self.lengths: NDArray[np.int64] = np.zeros(n_envs, np.int64)
        self._newest = 0
        #: by entry: what an empty row holds, and what categories are counted from
        self._empty: dict[str, NDArray[Any]] = {}
        self._first: dict[str, Any] = {}
        self._rings: dict[str, NDArray[Any]] = {}
        for name, part in space.parts.items():
            rows = space[name]
            assert rows.dtype is not None
            bounds = (rows.low[0], rows.high[0]) if isinstance(rows, spaces.Box) else (0, 1)
            assert rows.shape is not None
            self._empty[name] = np.clip(np.zeros(rows.shape[1:], rows.dtype), *bounds)
            self._first[name] = part.start if isinstance(part, spaces.Discrete | spaces.MultiDiscrete) else None
            self._rings[name] = np.empty((n_envs, 2 * space.history_length, *rows.shape[1:]), rows.dtype)
            self._rings[name][:] = self._empty[name]

    def add(self, observations: Any, episode_starts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """
        :param observations: of all environments, (n_envs, ...); a dictionary of them where the space inside is one
        :param episode_starts: whether an episode starts with them, (n_envs,)
        :return: histories that end with them, (n_envs, H, ...) each and ``history_length`` (n_envs,); fresh arrays
        """
        length = self.space.history_length
        self._newest = (self._newest + 1) % length
        if episode_starts.any():
            for name, ring in self._rings.items():
                ring[episode_starts] = self._empty[name]
            self.lengths[episode_starts] = 0
        self.lengths = np.minimum(self.lengths + 1, length)
        for name, rows in self._as_rows(observations).items():
            ring = self._rings[name]
            ring[:, self._newest] = ring[:, self._newest + length] = rows
        oldest = self._newest + 1
        window = slice(oldest, oldest + length)
        histories = {name: ring[:, window].copy() for name, ring in self._rings.items()}
        return {**histories, LENGTH: self.lengths.copy()}

    def ended(self, observations: Any, envs: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """
        What :meth:`add` would return for some environments, without adding anything.

        :param observations: of these environments, (n, ...)
        :param envs: which, (n,)
        :return: histories that end with them, (n, H, ...) each and ``history_length`` (n,)
        """
        length = self.space.history_length
        window = slice(self._newest + 2, self._newest + 1 + length)
        histories = {
            name: np.concatenate([self._rings[name][envs, window], rows[:, None]], axis=1)
            for name, rows in self._as_rows(observations).items()
        }
        return {**histories, LENGTH: np.minimum(self.lengths[envs] + 1, length)}

    def _as_rows(self, observations: Any) -> dict[str, NDArray[Any]]:
        """Observations (n, ...) as the rings hold them."""
        entries = observations if isinstance(self.space.inner, spaces.Dict) else {"observation": observations}
        rows = {}
        for name, empty in self._empty.items():
            entry = np.asarray(entries[name])
            if self._first[name] is not None:
                entry = entry - self._first[name]
            rows[name] = entry.reshape(len(entry), *empty.shape).astype(empty.dtype, copy=False)
        return rows
