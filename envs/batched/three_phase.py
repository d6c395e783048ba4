"""Many episodes of the tasks in three phases at once."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.base import Masks
from memory_agents.envs.batched.batched_env import BatchedEnv, Copies, Infos
from memory_agents.envs.grid_view import MOVES, REACH
from memory_agents.envs.key_to_door import KeyToDoor
from memory_agents.envs.three_phase import (
    APPLE,
    APPLE_DRAWS,
    APPLE_PLACES,
    CENTRE,
    CHOICES,
    FIRST_THING,
    ROOM_EDGE,
    ROOM_SIDE,
    SHELF,
    WALL,
    Cell,
    ThreePhase,
    ThreePhaseEpisodes,
)
from memory_agents.envs.visual_match import VisualMatch

CELLS = ROOM_SIDE**2
# A place is a cell of a room, and the rooms follow each other.
LOOK_ROOM, ORCHARD, CHOICE_ROOM = (room * CELLS for room in range(3))
NOWHERE, NEVER = -1, np.iinfo(np.int64).max


def _number(cell: Cell) -> int:
    """Return the number of a cell within its room."""
    return (cell[0] - ROOM_EDGE) * ROOM_SIDE + cell[1] - ROOM_EDGE


def _cell(number: int) -> Cell:
    """Return the cell of a number: what :func:`_number` does, backwards."""
    return number // ROOM_SIDE + ROOM_EDGE, number % ROOM_SIDE + ROOM_EDGE


def _places_of_apples() -> NDArray[np.int64]:
    """Return where the next apple appears, ``(CELLS, APPLE_DRAWS)``: for each cell of the agent and each draw."""
    places = np.zeros((CELLS, APPLE_DRAWS), np.int64)
    for here, cells in APPLE_PLACES.items():
        places[_number(here)] = [ORCHARD + _number(cells[draw % len(cells)]) for draw in range(APPLE_DRAWS)]
    return places


SHELF_PLACES = np.array([LOOK_ROOM + _number(cell) for cell in SHELF])
NEXT_APPLE = _places_of_apples().ravel()


class BatchedThreePhase(BatchedEnv):
    """Copies of a task in three phases.

    :attr:`_scene` and the agent's place together tell what is seen, and all that can be seen is drawn beforehand.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env: ThreePhase
    episodes: ThreePhaseEpisodes

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        env, n_colours = self.env, self.env.n_colours
        self._open = np.array([self._open_moves(room) for room in (env._room, env._orchard, env._room)])
        steps = np.array([down * ROOM_SIDE + right for down, right in MOVES])
        places = np.arange(3 * CELLS).reshape(3, CELLS, 1)
        self._next = np.where(self._open, places + steps, places).ravel()
        self._open = self._open.reshape(-1, len(MOVES))
        # Which choice stands in a place, counted from 1; 0 for none.
        self._choice_at = np.zeros(3 * CELLS, np.int64)
        for number, cell in enumerate(CHOICES[:n_colours]):
            self._choice_at[CHOICE_ROOM + _number(cell)] = number + 1
        self._start = LOOK_ROOM + _number(env._start)
        self._digits = n_colours ** np.arange(n_colours)
        self._draw_all_views()

        self._place, self._scene, self._target, self._change, self._horizon, self._apples = (
            np.zeros(num_envs, np.int64) for _ in range(6)
        )
        self._ready, self._success = np.zeros(num_envs, np.bool_), np.zeros(num_envs, np.bool_)

    def _open_moves(self, room: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which moves no wall stops, ``(CELLS, 4)``; from walls themselves, none."""
        cells = [(row + REACH, column + REACH) for row, column in map(_cell, range(CELLS))]
        return np.array(
            [
                [room[cell] != WALL and room[cell[0] + down, cell[1] + right] != WALL for down, right in MOVES]
                for cell in cells
            ]
        )

    def _draw_all_views(self) -> None:
        """Draw what is seen from every place of every scene.

        A scene's number is where its views begin, less the number of the first place in its room.
        """
        env, n_colours = self.env, self.env.n_colours
        worlds = [(env._room, LOOK_ROOM, {})]
        for colour in range(n_colours):
            worlds += [(env._room, LOOK_ROOM, {cell: FIRST_THING + colour}) for cell in SHELF]
        n_looks = len(worlds)
        worlds += [(env._orchard, ORCHARD, {_cell(number): APPLE}) for number in range(CELLS)]
        orders = list(permutations(range(n_colours)))
        for order in orders:
            things = {cell: env._first_choice + colour for cell, colour in zip(CHOICES, order, strict=False)}
            worlds.append((env._room, CHOICE_ROOM, things))

        shape = env.observation_space.shape or ()
        self._views = np.zeros((len(worlds) * CELLS, *shape), env.observation_space.dtype)
        for scene, (room, _, things) in enumerate(worlds):
            world = room.copy()
            for (row, column), code in things.items():
                world[row + REACH, column + REACH] = code
            for number in range(CELLS):
                row, column = _cell(number)
                if room[row + REACH, column + REACH] != WALL:
                    self._views[scene * CELLS + number] = env._view.look(world, row, column)

        scenes = np.array([number * CELLS - room for number, (_, room, _) in enumerate(worlds)])
        self._empty_scene, self._look_scenes = scenes[0], scenes[1:n_looks]
        # By the apple's place, which is counted through all rooms, and by the digits of the order.
        self._apple_scenes = np.concatenate([np.zeros(ORCHARD, np.int64), scenes[n_looks : n_looks + CELLS]])
        self._choice_scenes = np.zeros(n_colours**n_colours, np.int64)
        self._choice_scenes[np.array(orders) @ self._digits] = scenes[n_looks + CELLS :]

    def _begin(self, which: NDArray[np.int64]) -> None:
        env, drawn, row = self.env, self.episodes, self.row[which]
        shelf = drawn.shelf[row]
        self._place[which] = self._start
        self._scene[which] = self._look_scenes[drawn.colour[row] * len(SHELF) + shelf]
        self._target[which] = SHELF_PLACES[shelf] if env._key_needed else NOWHERE
        self._change[which] = env.look_steps
        self._horizon[which] = env.look_steps + env.choice_steps + drawn.steps[row]
        self._apples[which] = 0
        self._ready[which] = not env._key_needed
        self._success[which] = False

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        move = self._place * len(MOVES)
        move += actions
        self._place = place = self._next.take(move)
        rewards = np.zeros(self.num_envs)
        met = (place == self._target).nonzero()[0]
        if met.size:
            self._meet(met, rewards)
        changing = (self.elapsed == self._change).nonzero()[0]
        if changing.size:
            choosing = place[changing] >= ORCHARD
            self._begin_apples(changing[~choosing])
            self._begin_choice(changing[choosing])
        # Where a phase has just begun, the agent stands in the middle, and no choice is there.
        touched = self._choice_at.take(self._place)
        over = (touched > 0) | (self.elapsed == self._horizon)
        ended = over.nonzero()[0]
        if ended.size:
            self._finish(ended, touched[ended], rewards)
        return rewards, over

    def _meet(self, which: NDArray[np.int64], rewards: NDArray[np.float64]) -> None:
        """Take a key or eat an apple."""
        eating = self._place[which] >= ORCHARD
        taking, eating = which[~eating], which[eating]
        self._ready[taking] = True
        self._target[taking] = NOWHERE
        self._scene[taking] = self._empty_scene
        if self.env.apple_total:
            rewards[eating] = self.env.apple_total / (self.episodes.steps[self.row[eating]] // 2)
        self._apples[eating] += 1
        self._grow_apples(eating)

    def _grow_apples(self, which: NDArray[np.int64]) -> None:
        draw = self.episodes.apples[self.row[which], self._apples[which]]
        self._target[which] = apple = NEXT_APPLE[(self._place[which] - ORCHARD) * APPLE_DRAWS + draw]
        self._scene[which] = self._apple_scenes[apple]

    def _begin_apples(self, which: NDArray[np.int64]) -> None:
        if which.size:
            self._place[which] = ORCHARD + _number(CENTRE)
            self._change[which] += self.episodes.steps[self.row[which]]
            self._grow_apples(which)

    def _begin_choice(self, which: NDArray[np.int64]) -> None:
        if which.size:
            self._place[which] = CHOICE_ROOM + _number(CENTRE)
            self._target[which], self._change[which] = NOWHERE, NEVER
            self._scene[which] = self._choice_scenes[self.episodes.order[self.row[which]] @ self._digits]

    def _finish(self, which: NDArray[np.int64], touched: NDArray[np.int64], rewards: NDArray[np.float64]) -> None:
        row = self.row[which]
        colour = self.episodes.order[row, touched - 1]
        self._success[which] = success = self._ready[which] & (touched > 0) & (colour == self.episodes.colour[row])
        rewards[which] = success

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self._views.take((self._scene + self._place)[which], axis=0)

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        success = self._success[which]
        infos: Infos = {
            "apples": self._apples[which],
            "final_reward": success.astype(np.float64),
            "is_success": success,
        }
        if self.env._key_needed:
            infos["key_taken"] = self._ready[which]
        return infos

    def action_masks(self) -> Masks:
        """Return which moves no wall stops, for each copy, ``(n, 4)``."""
        self.check_begun("action_masks")
        return self._open.take(self._place, axis=0)


class BatchedVisualMatch(BatchedThreePhase):
    """Copies of :class:`~memory_agents.envs.visual_match.VisualMatch`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = VisualMatch


class BatchedKeyToDoor(BatchedThreePhase):
    """Copies of :class:`~memory_agents.envs.key_to_door.KeyToDoor`.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env_class = KeyToDoor
