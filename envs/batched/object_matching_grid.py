"""Many grids of object matching at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.base import Masks
from memory_agents.envs.batched.batched_env import BatchedEnv, Copies, Infos
from memory_agents.envs.batched.object_matching_grid_views import SHOWS_OBJECTS, GridViews
from memory_agents.envs.grid_view import MOVES, REACH
from memory_agents.envs.object_matching import CHOICE_REWARD, PAD_REWARD
from memory_agents.envs.object_matching_grid import CHOOSING, ObjectMatchingGrid
from memory_agents.envs.object_matching_grid_map import WALL


class GridEpisodes(NamedTuple):
    """What the loops of episodes hold, ``(episodes, loops)`` each.

    :param lengths: Cells of the corridor.
    :param pad_views: Number of the view from the pad.
    :param plate_views: Number of the view from the plate.
    :param answers: The move to the correct object.
    """

    lengths: NDArray[np.int64]
    pad_views: NDArray[np.int64]
    plate_views: NDArray[np.int64]
    answers: NDArray[np.int64]


class BatchedObjectMatchingGrid(BatchedEnv):
    """Copies of :class:`~memory_agents.envs.object_matching_grid.ObjectMatchingGrid`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = ObjectMatchingGrid
    env: ObjectMatchingGrid
    episodes: GridEpisodes

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        self._views = GridViews(self.env)
        grid = self.env._grid
        self._width = grid.world.shape[1]
        self._start, self._door = map(self._views.cell_number, (grid.start, grid.door))
        self._pad, self._plate = map(self._views.cell_number, (grid.pad, grid.plate))
        self._steps = np.array([down * self._width + right for down, right in MOVES])
        self._stops = (grid.world >= WALL).ravel()
        self._rewards = np.zeros(grid.world.size)
        self._rewards[self._pad] = PAD_REWARD
        self._lengths_vary = self.env.corridor[0] < self.env.corridor[1]
        self._cell = np.full(num_envs, self._start)
        self._view = np.zeros(num_envs, np.int64)
        self._loop = np.zeros(num_envs, np.int64)
        self._correct = np.zeros(num_envs, np.int64)
        #: Of those who are in the corridor or beyond it: how long it is, and the cell that is closed behind them.
        self._length = np.full(num_envs, self.env.corridor[1])
        self._closed = np.zeros(num_envs, np.int64)
        #: The copies that stood on the pad or the plate after the last step.
        self._at_objects = np.zeros(0, np.int64)

    def _plan(self, uniforms: NDArray[np.float64]) -> GridEpisodes:
        samples, foils, case_sides, sample_sides, lengths = self.env.plan(uniforms).transpose(2, 0, 1)
        n_objects = len(self.env._objects)
        correct_sides = sample_sides if self.env.rule == "match" else 1 - sample_sides
        return GridEpisodes(
            lengths=lengths,
            pad_views=GridViews.from_pad(n_objects, case_sides, samples),
            plate_views=GridViews.from_plate(n_objects, sample_sides, samples, foils),
            answers=np.array(CHOOSING)[correct_sides],
        )

    def _begin(self, which: NDArray[np.int64]) -> None:
        self._cell[which] = self._start
        self._view[which] = self._views.bare[self._start]
        self._loop[which] = self._correct[which] = 0

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        there = self._cell + self._steps.take(actions)
        stopped = self._stops.take(there)
        if self._lengths_vary:
            stopped |= there == self._closed
        there = np.where(stopped, self._cell, there)
        rewards = self._rewards.take(there)
        if self._at_objects.size:
            before = self._cell[self._at_objects]
            self._enter_corridor(self._at_objects[before == self._pad], there, rewards)
            self._choose(self._at_objects[before == self._plate], actions, there, rewards)
        self._cell = there
        self._see()
        return rewards, self.elapsed >= self.env.time_limit

    def _enter_corridor(
        self, copies: NDArray[np.int64], there: NDArray[np.int64], rewards: NDArray[np.float64]
    ) -> None:
        self._length[copies] = lengths = self.episodes.lengths[self.row[copies], self._loop[copies]]
        there[copies] = arrivals = self._door - lengths
        self._closed[copies] = arrivals - 1
        rewards[copies] = 0.0

    def _choose(
        self,
        copies: NDArray[np.int64],
        actions: NDArray[Any],
        there: NDArray[np.int64],
        rewards: NDArray[np.float64],
    ) -> None:
        correct = actions[copies] == self.episodes.answers[self.row[copies], self._loop[copies]]
        rewards[copies] = np.where(correct, CHOICE_REWARD, -CHOICE_REWARD)
        self._correct[copies] += correct
        self._loop[copies] += 1
        there[copies] = self._start

    def _see(self) -> None:
        self._view = self._views.bare.take(self._cell)
        self._at_objects = copies = (self._view == SHOWS_OBJECTS).nonzero()[0]
        if copies.size:
            place = self.row[copies], self._loop[copies]
            self._view[copies] = np.where(
                self._cell[copies] == self._pad, self.episodes.pad_views[place], self.episodes.plate_views[place]
            )
        if self._lengths_vary:
            self._see_closed()

    def _see_closed(self) -> None:
        """Where the corridor begins, those who stand there see that what lies west of it is closed."""
        row, column = np.divmod(self._cell, self._width)
        beyond = column + self._length - self._door % self._width
        # Seen as unsigned numbers, negative ones are beyond all bounds.
        copies = ((beyond.view(np.uint64) < REACH) & (self._length < self.env.corridor[1])).nonzero()[0]
        if copies.size:
            shorter = self._length[copies] - self.env.corridor[0]
            self._view[copies] = self._views.closed[shorter, beyond[copies], row[copies]]

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self._views.looks.take(self._view[which], axis=0)

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        choices, correct = self._loop[which], self._correct[which]
        return {
            "choices": choices,
            "correct_choices": correct,
            "choice_accuracy": correct / np.maximum(choices, 1),
            "is_success": (choices > 0) & (choices == correct),
        }

    def action_masks(self) -> Masks:
        """Return which moves nothing stops in each copy, ``(n, 4)``; on the pad and on the plate, all."""
        self.check_begun("action_masks")
        there = self._cell[:, None] + self._steps
        stopped = self._stops[there]
        if self._lengths_vary:
            stopped |= there == self._closed[:, None]
        stopped[(self._cell == self._pad) | (self._cell == self._plate)] = False
        masks: Masks = ~stopped
        return masks
