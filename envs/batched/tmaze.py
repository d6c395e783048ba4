"""Many T-mazes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.base import Masks
from memory_agents.envs.batched.batched_env import BatchedEnv, Copies, Infos
from memory_agents.envs.grid_view import EAST, NORTH, SOUTH, WEST
from memory_agents.envs.tmaze import ARM, CORRIDOR, JUNCTION, PLACES, START, TMaze, TMazeEpisodes

# Where the agent of the original form can be, and what the four moves do there.
AT_START, IN_CORRIDOR, AT_JUNCTION, IN_SOUTH, IN_NORTH = range(5)
NO_ARM = -1
CELLS = np.zeros((5, 4), np.int64)
CELLS[[AT_START, IN_CORRIDOR], EAST] = 1
CELLS[[IN_CORRIDOR, AT_JUNCTION], WEST] = -1
ARMS = np.full((5, 4), NO_ARM)
ARMS[AT_JUNCTION, [SOUTH, NORTH]] = 0, 1
ARMS[IN_SOUTH], ARMS[IN_NORTH] = 0, 1
ARMS[IN_SOUTH, NORTH] = ARMS[IN_NORTH, SOUTH] = NO_ARM
MOVES = (CELLS != 0) | (np.array([[NO_ARM], [NO_ARM], [NO_ARM], [0], [1]]) != ARMS)
PLACE_OF = np.array([START, CORRIDOR, JUNCTION, ARM, ARM])


class BatchedTMaze(BatchedEnv):
    """Copies of :class:`~memory_agents.envs.tmaze.TMaze`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = TMaze
    env: TMaze
    episodes: TMazeEpisodes

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        # All that can be seen: the places, and after them the signs.
        self._all_views = np.concatenate([self.env._views, self.env._signs])
        self._view = np.zeros(num_envs, np.int64)
        self._goal = np.zeros(num_envs, np.int64)
        self._length = np.zeros(num_envs, np.int64)
        self._left = np.zeros(num_envs, np.int64)
        self._success = np.zeros(num_envs, np.bool_)
        self._place = np.zeros(num_envs, np.int64)
        self._cell = np.zeros(num_envs, np.int64)
        self._sign_seen = np.zeros(num_envs, np.bool_)
        # What a copy that walks itself sees when so many steps are left: any place before the junction is corridor.
        self._view_left = np.array([ARM, JUNCTION, CORRIDOR])

    def _begin(self, which: NDArray[np.int64]) -> None:
        env, row = self.env, self.row[which]
        self._length[which] = length = self.episodes.lengths[row]
        self._goal[which] = goal = self.episodes.goals[row]
        self._left[which] = length + (1 + env.active * (1 if env.auto_advance else 2))
        set_out = env.active and not env.auto_advance
        self._cell[which] = set_out
        self._place[which] = IN_CORRIDOR if set_out else AT_START
        self._sign_seen[which] = not env.active
        self._view[which] = PLACE_OF[self._place[which]] if env.active else len(PLACES) + goal

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        self._left -= 1
        over = self._left == 0
        if self.env.auto_advance:
            arm = actions
            self._view = self._view_left.take(np.minimum(self._left, 2))
            if self.env.active:
                self._read_or_not(actions)
        else:
            arm = self._move(actions)
        self._success = over & (arm == self._goal)
        rewards = self._success.astype(np.float64)
        if not self.env.auto_advance:
            late = ~over & (self._cell < self.elapsed - self.env.active)
            rewards = np.where(late, -1 / self._length, rewards)
        return rewards, over

    def _read_or_not(self, actions: NDArray[Any]) -> None:
        first = self.elapsed == 1
        if first.any():
            seen = np.where(actions == self.env.n_arms, len(PLACES) + self._goal, START)
            self._view = np.where(first, seen, self._view)

    def _move(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        move = 4 * self._place + actions
        arm: NDArray[np.int64] = ARMS.ravel().take(move)
        self._cell += CELLS.ravel().take(move)
        junction = self._length + (1 if self.env.active else 0)
        outside = np.where(self._cell == junction, AT_JUNCTION, self._cell > 0)
        self._place = np.where(arm == NO_ARM, outside, IN_SOUTH + arm)
        self._view = PLACE_OF.take(self._place)
        if self.env.active:
            reading = (self._cell == 0) & ~self._sign_seen
            self._sign_seen |= reading
            self._view = np.where(reading, len(PLACES) + self._goal, self._view)
        return arm

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self._all_views.take(self._view[which], axis=0)

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        return {"is_success": self._success[which]}

    def action_masks(self) -> Masks:
        """Return which actions do something in each copy, ``(n, n_actions)``."""
        self.check_begun("action_masks")
        if self.env.auto_advance:
            return np.ones((self.num_envs, self.env.n_actions), np.bool_)
        masks: Masks = MOVES[self._place]
        return masks
