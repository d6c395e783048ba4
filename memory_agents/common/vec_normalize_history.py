"""Histories of normalised observations, for algorithms with a replay buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from memory_agents.wrappers import HistorySpace


class VecNormalizeHistory(VecNormalize):
    """
    ``VecNormalize`` around histories, where off-policy algorithms need it, since they keep what ``VecNormalize`` is
    given. A number has one mean and one variance whichever row of a history it is in, and counts once, in the newest
    row. So an observation looks the same however old it is, and as ``VecHistory(VecNormalize(venv), H)`` would show it;
    ``VecNormalize`` itself would keep statistics of every row, and count empty rows as well.

    :param venv: what shows histories, as :class:`~memory_agents.common.VecHistory` does
    :param norm_obs_keys: entries to normalise (default: all floating-point numbers in boxes)
    :param kwargs: further arguments of ``VecNormalize``
    :raises ValueError: when observations are no histories, or have no such entry, or nothing in them can be normalised
    """

    def __init__(self, venv: VecEnv, *, norm_obs_keys: list[str] | None = None, **kwargs: Any) -> None:
        space = venv.observation_space
        if not isinstance(space, HistorySpace):
            raise ValueError(f"venv has observations in {space}, which are no histories; use VecNormalize for these")
        boxes = [
            name
            for name, part in space.parts.items()
            if isinstance(part, spaces.Box) and np.issubdtype(part.dtype, np.floating)
        ]
        if kwargs.get("norm_obs", True):
            unknown = sorted(set(norm_obs_keys or ()) - set(boxes))
            if unknown or not boxes:
                raise ValueError(
                    f"norm_obs_keys={norm_obs_keys!r}, but the entries of floating-point numbers in boxes are {boxes}; "
                    + ("leave the others out" if boxes else "use norm_obs=False")
                )
        super().__init__(venv, norm_obs_keys=boxes if norm_obs_keys is None else norm_obs_keys, **kwargs)
        if self.norm_obs:
            self.obs_rms = {key: _NewestRow(space[key].shape) for key in self.obs_rms}


class _NewestRow(RunningMeanStd):
    """Statistics of the newest rows of histories."""

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        super().__init__(shape=() if shape is None else shape[1:])

    def update(self, arr: np.ndarray) -> None:
        super().update(arr[:, -1])
