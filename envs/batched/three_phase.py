"""Many episodes of the tasks in three phases at once."""

from __future__ import annotations

from itertools import permutations
from typing import Any, NamedTuple

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
)
from memory_agents.envs.visual_match import VisualMatch

CELLS = ROOM_SIDE**2
# A place is a cell of a room, and the rooms follow each other.
LOOK_ROOM, ORCHARD, CHOICE_ROOM = (room * CELLS for room in range(3))
NOWHERE, NEVER = -1, np.iinfo(np.int64).max
# What a phase begins with: the agent's place, the scene, the place of key or apple, the step with which the phase ends,
# that with which the episode ends, and the place of the right choice.
COLUMNS = ("place", "scene", "target", "change", "horizon", "right")


def _number(cell: Cell) -> int:
    """Return the number of a cell within its room."""
    return (cell[0] - ROOM_EDGE) * ROOM_SIDE + cell[1] - ROOM_EDGE


def _cell(number: int) -> Cell:
    """Return the cell of a number: what :func:`_number` does, backwards."""
    return number // ROOM_SIDE + ROOM_EDGE, number % ROOM_SIDE + ROOM_EDGE


def _open_moves(room: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which moves no wall stops, ``(CELLS, 4)``; from walls themselves, none."""
    cells = [(row + REACH, column + REACH) for row, column in map(_cell, range(CELLS))]
    return np.array(
        [
            [room[row, column] != WALL and room[row + down, column + right] != WALL for down, right in MOVES]
            for row, column in cells
        ]
    )


MIDDLE = _number(CENTRE)
SHELF_PLACES = np.array([LOOK_ROOM + _number(cell) for cell in SHELF])


class ThreePhaseStages(NamedTuple):
    """What chance decides of some episodes, as rows of numbers that a copy takes over when a phase begins.

    :param stages: What holds from the beginning of each phase on, ``(episodes, 3, len(COLUMNS))``.
    :param apples: The place of each apple, ``(episodes, apples)``; each is eaten where the agent then stands.
    :param reward: The reward of an apple, ``(episodes,)``.
    """

    stages: NDArray[np.int64]
    apples: NDArray[np.int64]
    reward: NDArray[np.float64]


class BatchedThreePhase(BatchedEnv):
    """Copies of a task in three phases.

    A copy's scene and its agent's place together tell what is seen, and all that can be seen is drawn beforehand.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    env: ThreePhase
    episodes: ThreePhaseStages

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        self._stages = self.episodes.stages.reshape(-1, len(COLUMNS))
        self._apple_places, self._n_apples = self.episodes.apples.reshape(-1), self.episodes.apples.shape[1]
        #: Which apple is next, and which phase it is, numbered through all phases of all episodes.
        self._apple, self._stage = np.zeros((2, num_envs), np.int64)
        columns = np.zeros((len(COLUMNS), num_envs), np.int64)
        self._place, self._scene, self._target, self._change, self._horizon, self._right = columns
        self._now = columns.T
        self._ready, self._success = np.ones(num_envs, np.bool_), np.zeros(num_envs, np.bool_)

    def _make(self, **kwargs: Any) -> ThreePhase:
        env: ThreePhase = super()._make(**kwargs)
        rooms = (env._room, env._orchard, env._room)
        is_open = np.array([_open_moves(room) for room in rooms])
        places = np.arange(len(rooms) * CELLS).reshape(len(rooms), CELLS, 1)
        self._next = np.where(is_open, places + [down * ROOM_SIDE + right for down, right in MOVES], places).ravel()
        self._open = is_open.reshape(-1, len(MOVES))
        self._choice_places = np.array([CHOICE_ROOM + _number(cell) for cell in CHOICES[: env.n_colours]])
        self._is_choice = np.isin(np.arange(len(rooms) * CELLS), self._choice_places)

        scenes = Scenes(env)
        self._views = scenes.views
        self._look_scenes, self._choice_scenes, self._empty_scene = scenes.looks, scenes.choices, scenes.empty
        # By the place of the agent and what is drawn: where the next apple appears.
        next_apple = np.zeros((len(rooms) * CELLS, APPLE_DRAWS), np.int64)
        for here, cells in APPLE_PLACES.items():
            numbers = [_number(cells[draw % len(cells)]) for draw in range(APPLE_DRAWS)]
            next_apple[ORCHARD + _number(here)] = numbers
        self._next_apple = ORCHARD + next_apple.ravel()
        # By its place.
        self._apple_scenes = np.zeros(len(rooms) * CELLS, np.int64)
        self._apple_scenes[ORCHARD : ORCHARD + CELLS] = scenes.apples
        return env

    def _plan(self, uniforms: NDArray[np.float64]) -> ThreePhaseStages:
        env, drawn = self.env, self.env.plan(uniforms)
        look_end, steps = env.look_steps, drawn.steps
        apples = np.empty_like(drawn.apples)
        here: NDArray[np.int64] | int = ORCHARD + MIDDLE
        for apple, draws in zip(apples.T, drawn.apples.T, strict=True):
            apple[:] = here = self._next_apple[here * APPLE_DRAWS + draws]
        stages = np.empty((len(uniforms), 3, len(COLUMNS)), np.int64)
        place, scene, target, change, horizon, right = stages.transpose(2, 1, 0)
        place[:] = [[LOOK_ROOM + _number(env._start)], [ORCHARD + MIDDLE], [CHOICE_ROOM + MIDDLE]]
        scene[0] = self._look_scenes[drawn.colour, drawn.shelf]
        scene[1] = self._apple_scenes[apples[:, 0]]
        scene[2] = self._choice_scenes[drawn.order @ env.n_colours ** np.arange(env.n_colours)]
        target[0] = SHELF_PLACES[drawn.shelf] if env._key_needed else NOWHERE
        target[1], target[2] = apples[:, 0], NOWHERE
        change[0], change[1], change[2] = look_end, look_end + steps, NEVER
        horizon[:] = look_end + steps + env.choice_steps
        right[:] = self._choice_places[(drawn.order == drawn.colour[:, None]).argmax(axis=1)]
        return ThreePhaseStages(stages, apples, env.apple_total / (steps // 2))

    def _begin(self, which: NDArray[np.int64]) -> None:
        row = self.row[which]
        self._apple[which] = row * self._n_apples
        self._stage[which] = stage = 3 * row
        self._now[which] = self._stages.take(stage, axis=0)
        if self.env._key_needed:
            self._ready[which] = False

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        move = self._place * len(MOVES)
        move += actions
        # Moves are in bounds; the default mode would make a copy.
        place = self._next.take(move, out=self._place, mode="clip")
        self._success = place == self._right
        if self.env._key_needed:
            self._success &= self._ready
        rewards = self._success.astype(np.float64)
        over = self._is_choice.take(place)
        over |= self.elapsed == self._horizon
        met = (place == self._target).nonzero()[0]
        if met.size:
            self._meet(met, rewards)
        changing = (self.elapsed == self._change).nonzero()[0]
        if changing.size:
            self._stage[changing] = stage = self._stage[changing] + 1
            self._now[changing] = self._stages.take(stage, axis=0)
        return rewards, over

    def _meet(self, which: NDArray[np.int64], rewards: NDArray[np.float64]) -> None:
        """Take a key or eat an apple; another one appears."""
        if self.env._key_needed:
            eating = self._place[which] >= ORCHARD
            taking, which = which[~eating], which[eating]
            self._ready[taking] = True
            self._target[taking], self._scene[taking] = NOWHERE, self._empty_scene
        if self.env.apple_total:
            rewards[which] = self.episodes.reward[self.row[which]]
        self._apple[which] = apple = self._apple[which] + 1
        self._target[which] = place = self._apple_places.take(apple)
        self._scene[which] = self._apple_scenes.take(place)

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self._views.take(self._scene[which] + self._place[which], axis=0)

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        success = self._success[which]
        infos: Infos = {
            "apples": self._apple[which] - self.row[which] * self._n_apples,
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


class Scenes:
    """All that can be seen in a task in three phases.

    A scene's number is where its views begin, less the number of the first place in its room: the number and the
    agent's place together give the view.

    :param env: The task.
    """

    def __init__(self, env: ThreePhase) -> None:
        n_colours = env.n_colours
        worlds: list[tuple[NDArray[np.intp], int, dict[Cell, int]]] = [(env._room, LOOK_ROOM, {})]
        for colour in range(n_colours):
            worlds += [(env._room, LOOK_ROOM, {cell: FIRST_THING + colour}) for cell in SHELF]
        worlds += [(env._orchard, ORCHARD, {cell: APPLE}) for cell in APPLE_PLACES]
        orders = list(permutations(range(n_colours)))
        for order in orders:
            things = {cell: env._first_choice + colour for cell, colour in zip(CHOICES, order, strict=False)}
            worlds.append((env._room, CHOICE_ROOM, things))

        #: Observations, ``(n_views, ...)``.
        self.views = np.zeros((len(worlds) * CELLS, *(env.observation_space.shape or ())), env.observation_space.dtype)
        for number, (room, _, things) in enumerate(worlds):
            self._draw(env, room, things, self.views[number * CELLS :])
        scenes = np.array([number * CELLS - first for number, (_, first, _) in enumerate(worlds)])
        empty, looks, apples, choices = np.split(scenes, np.cumsum([1, n_colours * len(SHELF), len(APPLE_PLACES)]))
        #: The room of the first phase, when nothing is left in it.
        self.empty = int(empty[0])
        #: What is met in the first phase, by its colour and its place on the shelf.
        self.looks = looks.reshape(n_colours, len(SHELF))
        #: The orchard, by the number of the apple's cell.
        self.apples = np.zeros(CELLS, np.int64)
        self.apples[[_number(cell) for cell in APPLE_PLACES]] = apples
        #: The choices, by their colours as the digits of a number, the first place's first.
        self.choices = np.zeros(n_colours**n_colours, np.int64)
        self.choices[np.array(orders) @ n_colours ** np.arange(n_colours)] = choices

    def _draw(self, env: ThreePhase, room: NDArray[np.intp], things: dict[Cell, int], views: NDArray[Any]) -> None:
        world = room.copy()
        for (row, column), code in things.items():
            world[row + REACH, column + REACH] = code
        for number in range(CELLS):
            row, column = _cell(number)
            if room[row + REACH, column + REACH] != WALL:
                views[number] = env._view.look(world, row, column)


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
