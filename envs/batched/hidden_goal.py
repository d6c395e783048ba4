"""Many hidden goals at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.base import Masks
from memory_agents.envs.batched.batched_env import BatchedEnv, Copies, Infos
from memory_agents.envs.hidden_goal import HiddenGoal, HiddenGoalEpisodes, neighbours


class BatchedHiddenGoal(BatchedEnv):
    """Copies of :class:`~memory_agents.envs.hidden_goal.HiddenGoal`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = HiddenGoal
    env: HiddenGoal
    episodes: HiddenGoalEpisodes

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        cells_after = neighbours(self.env.size)
        self._cells_after = cells_after.ravel()
        self._masks = cells_after != np.arange(self.env.n_cells)[:, None]
        self._cell = np.zeros(num_envs, np.int64)
        self._goal = np.zeros(num_envs, np.int64)
        self._hits = np.zeros(num_envs, np.int64)

    def _begin(self, which: NDArray[np.int64]) -> None:
        row = self.row[which]
        self._goal[which] = self.episodes.goals[row]
        self._cell[which] = self.episodes.places[row, 0]
        self._hits[which] = 0

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        self._cell = self._cells_after.take(4 * self._cell + actions)
        at_goal = self._cell == self._goal
        met = at_goal.nonzero()[0]
        if met.size:
            self._hits[met] += 1
            self._cell[met] = self.episodes.places[self.row[met], self._hits[met]]
        return at_goal.astype(np.float64), self.elapsed >= self.env.horizon

    def _observe(self, which: Copies) -> NDArray[Any]:
        cells = self._cell[which]
        seen = np.zeros(cells.size * self.env.n_cells, np.float32)
        seen[self._all[: cells.size] * self.env.n_cells + cells] = 1.0
        return seen.reshape(-1, self.env.n_cells)

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        hits = self._hits[which]
        successes = [self.env.normalized_score(goals) >= 0.5 for goals in hits.tolist()]
        return {"goals_reached": hits, "is_success": np.array(successes, np.bool_)}

    def action_masks(self) -> Masks:
        """Return which moves no wall stops in each copy, ``(n, 4)``."""
        self.check_begun("action_masks")
        masks: Masks = self._masks[self._cell]
        return masks
