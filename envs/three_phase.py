"""What tasks in three phases share: something to meet, apples to distract, a choice that pays."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_integer, check_option, check_span
from memory_agents.envs.base import Action, Frame, Masks, MemoryEnv, Observation
from memory_agents.envs.chance import below, orders
from memory_agents.envs.grid_view import MOVES, NORTH, REACH, GridView, towards
from memory_agents.envs.three_phase_chances import apples_eaten, chance_to_touch
from memory_agents.envs.three_phase_frame import COLOURS, Scene, cell_tile, draw

LOOK, APPLES, CHOOSE = range(3)
FLOOR, WALL, APPLE, FIRST_THING = range(4)

Cell = tuple[int, int]

# Rooms lie in the middle of a square of cells, with walls around them.
WORLD_SIDE, ROOM_SIDE, ORCHARD_SIDE = 7, 5, 3
ROOM_EDGE, ORCHARD_EDGE = (WORLD_SIDE - ROOM_SIDE) // 2, (WORLD_SIDE - ORCHARD_SIDE) // 2
CENTRE: Cell = (3, 3)
SOUTH_END: Cell = (5, 3)
SHELF: tuple[Cell, ...] = tuple((1, column) for column in range(1, 6))
# All two steps from the centre, and no shortest way to one leads across another.
CHOICES: tuple[Cell, ...] = ((1, 3), (3, 1), (3, 5), (5, 3), (2, 2), (2, 4))


def _apple_places() -> dict[Cell, list[Cell]]:
    """Return, for each cell of the orchard, the cells two steps away from it."""
    cells = [(row, column) for row in range(2, 5) for column in range(2, 5)]
    return {here: [cell for cell in cells if abs(cell[0] - here[0]) + abs(cell[1] - here[1]) == 2] for here in cells}


APPLE_PLACES = _apple_places()
# A cell has three or four places to choose from, so a number below this picks one without bias.
APPLE_DRAWS = 12


def _walls(side: int) -> NDArray[np.intp]:
    world = np.full((WORLD_SIDE + 2 * REACH,) * 2, WALL, np.intp)
    edge = (WORLD_SIDE - side) // 2 + REACH
    world[edge : edge + side, edge : edge + side] = FLOOR
    return world


class ThreePhaseEpisodes(NamedTuple):
    """What is drawn for some episodes.

    :param steps: Steps of the second phase, ``(episodes,)``.
    :param colour: The colour to remember, ``(episodes,)``.
    :param shelf: The place of what is met, ``(episodes,)``.
    :param order: The colours of the choices, place by place, ``(episodes, n_colours)``.
    :param apples: What picks the place of each apple, ``(episodes, apples)``, below :data:`APPLE_DRAWS`.
    """

    steps: NDArray[np.int64]
    colour: NDArray[np.int64]
    shelf: NDArray[np.int64]
    order: NDArray[np.int64]
    apples: NDArray[np.int64]


class ThreePhase(MemoryEnv):
    """The rules that tasks in three phases share; a subclass says what is met first and what is chosen last.

    :param active: Whether what is met lies out of sight at first.
    :param least_look_steps: The fewest steps in which the first phase can be played.
    :param n_colours: Number of colours.
    :param look_steps: Steps of the first phase.
    :param distractor_steps: Steps of the second phase, or an inclusive range.
    :param choice_steps: Steps of the third phase.
    :param apple_total: Reward of all apples that can be eaten.
    :param observation: ``"symbolic"`` or ``"image"``.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"distractor_steps": 30},
        "interpolate": {"distractor_steps": (10, 30)},
        "extrapolate": {"distractor_steps": (60, 300)},
    }

    #: What is met in the first phase and what stands in the last: ``"square"``, ``"key"`` or ``"door"``.
    met: ClassVar[str]
    chosen: ClassVar[str]

    def __init__(
        self,
        *,
        active: bool,
        least_look_steps: int,
        n_colours: int,
        look_steps: int,
        distractor_steps: Span,
        choice_steps: int,
        apple_total: float,
        observation: str,
        render_mode: str | None,
    ) -> None:
        super().__init__(render_mode=render_mode)
        self.active = active
        self.n_colours = check_integer("n_colours", n_colours, 2, len(COLOURS))
        self.look_steps = check_integer("look_steps", look_steps, least_look_steps)
        self.distractor_steps = check_span("distractor_steps", distractor_steps, 2)
        self.choice_steps = check_integer("choice_steps", choice_steps, 2)
        if (
            isinstance(apple_total, bool)
            or not isinstance(apple_total, (int, float, np.integer, np.floating))
            or not 0 <= apple_total < inf
        ):
            raise ValueError(f"apple_total={apple_total!r} is no reward: pass a finite number of at least 0.")
        self.apple_total = float(apple_total)
        self.observation = check_option("observation", observation, ("symbolic", "image"))

        # Steps of the second phase, the colour, the place on the shelf; then the order of choices, and apples: one more
        # than can be eaten, as another appears after the last.
        low, high = self.distractor_steps
        self._bounds = np.array([high - low + 1, self.n_colours, len(SHELF)])
        self.draws = len(self._bounds) + self.n_colours + high // 2 + 1

        self._start = SOUTH_END if active else CENTRE
        self._key_needed = self.met == "key"
        kinds = dict.fromkeys((self.met, self.chosen))
        self._things = [("floor", 0), ("wall", 0), ("apple", 0)]
        self._things += [(kind, colour) for kind in kinds for colour in range(self.n_colours)]
        self._first_choice = len(self._things) - self.n_colours
        self._view = self._make_view(["wall", "apple", *kinds])
        self.observation_space = self._view.space
        self.action_space = spaces.Discrete(len(MOVES))
        self._room, self._orchard = _walls(ROOM_SIDE), _walls(ORCHARD_SIDE)

    def _make_view(self, kinds: list[str]) -> GridView:
        features = np.zeros((len(self._things), len(kinds) + self.n_colours), np.float32)
        for code, (kind, colour) in enumerate(self._things):
            if kind in kinds:
                features[code, kinds.index(kind)] = 1.0
            if code >= FIRST_THING:
                features[code, len(kinds) + colour] = 1.0
        return GridView(features, np.stack([cell_tile(*thing) for thing in self._things]), self.observation)

    @property
    def optimal_return(self) -> float:
        return self.apple_total + 1.0

    @property
    def memoryless_return(self) -> float:
        return self.apple_total + 1.0 / self.n_colours

    @property
    def random_return(self) -> float:
        low, high = self.distractor_steps
        places = [[(r - ORCHARD_EDGE, c - ORCHARD_EDGE) for r, c in cells] for cells in APPLE_PLACES.values()]
        eaten = apples_eaten(ORCHARD_SIDE, _inside(CENTRE, ORCHARD_EDGE), places, high)
        share = float(np.mean([eaten[steps] / (steps // 2) for steps in range(low, high + 1)]))
        choices = tuple(_inside(cell, ROOM_EDGE) for cell in CHOICES[: self.n_colours])
        chosen = chance_to_touch(ROOM_SIDE, _inside(CENTRE, ROOM_EDGE), choices, self.choice_steps)
        return self.apple_total * share + self._chance_of_key() * chosen / self.n_colours

    def _chance_of_key(self) -> float:
        if not self._key_needed:
            return 1.0
        start = _inside(self._start, ROOM_EDGE)
        keys = [_inside(cell, ROOM_EDGE) for cell in SHELF]
        return float(np.mean([chance_to_touch(ROOM_SIDE, start, (key,), self.look_steps) for key in keys]))

    def oracle(self) -> ThreePhaseOracle:
        return ThreePhaseOracle(self._view, self.n_colours, self._first_choice)

    def plan(self, uniforms: NDArray[np.float64]) -> ThreePhaseEpisodes:
        """Draw episodes from uniform numbers.

        :param uniforms: ``(episodes, draws)``, a row for each episode.
        """
        n_numbers, n_colours = len(self._bounds), self.n_colours
        steps, colour, shelf = below(uniforms[:, :n_numbers], self._bounds).T
        order = orders(uniforms[:, n_numbers : n_numbers + n_colours])
        apples = below(uniforms[:, n_numbers + n_colours :], APPLE_DRAWS)
        return ThreePhaseEpisodes(self.distractor_steps[0] + steps, colour, shelf, order, apples)

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        drawn = self.plan(uniforms[None])
        steps, self._colour, shelf = int(drawn.steps[0]), int(drawn.colour[0]), int(drawn.shelf[0])
        self._order: list[int] = drawn.order[0].tolist()
        self._apple_draws: list[int] = drawn.apples[0].tolist()
        self._apple_reward = self.apple_total / (steps // 2)
        self._look_end = self.look_steps
        self._apples_end = self.look_steps + steps
        self._horizon = self._apples_end + self.choice_steps

        self._time, self._phase, self._apples = 0, LOOK, 0
        self._ready = not self._key_needed
        self._touched: int | None = None
        self._success = False
        self._world = self._room.copy()
        row, column = SHELF[shelf]
        self._world[row + REACH, column + REACH] = FIRST_THING + self._colour
        self._row, self._column = self._start
        return self._view.look(self._world, self._row, self._column)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, len(MOVES))
        self._time += 1
        down, right = MOVES[action]
        here = self._world.item(self._row + down + REACH, self._column + right + REACH)
        if here != WALL:
            self._row += down
            self._column += right
        reward = 0.0
        if self._phase == APPLES:
            if here == APPLE:
                reward = self._apple_reward
                self._apples += 1
                self._world[self._row + REACH, self._column + REACH] = FLOOR
                self._grow_apple()
            if self._time == self._apples_end:
                self._begin_choice()
        elif self._phase == LOOK:
            if here >= FIRST_THING and self._key_needed:
                self._ready = True
                self._world[self._row + REACH, self._column + REACH] = FLOOR
            if self._time == self._look_end:
                self._begin_apples()
        elif here >= FIRST_THING or self._time == self._horizon:
            return self._finish(here)
        return self._view.look(self._world, self._row, self._column), reward, False, False, {}

    def action_masks(self) -> Masks:
        """Return which moves no wall stops, ``(4,)``. The observation tells as much."""
        self._check_begun("action_masks")
        row, column = self._row + REACH, self._column + REACH
        return np.array([self._world[row + down, column + right] != WALL for down, right in MOVES])

    def _begin_apples(self) -> None:
        self._phase = APPLES
        self._world = self._orchard.copy()
        self._row, self._column = CENTRE
        self._grow_apple()

    def _grow_apple(self) -> None:
        places = APPLE_PLACES[self._row, self._column]
        row, column = places[self._apple_draws[self._apples] % len(places)]
        self._world[row + REACH, column + REACH] = APPLE

    def _begin_choice(self) -> None:
        self._phase = CHOOSE
        self._world = self._room.copy()
        self._row, self._column = CENTRE
        for colour, (row, column) in zip(self._order, CHOICES, strict=False):
            self._world[row + REACH, column + REACH] = self._first_choice + colour

    def _finish(self, here: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self._playing = False
        self._touched = here - self._first_choice if here >= FIRST_THING else None
        self._success = self._ready and self._touched == self._colour
        info: dict[str, Any] = {
            "apples": self._apples,
            "final_reward": float(self._success),
            "is_success": self._success,
        }
        if self._key_needed:
            info["key_taken"] = self._ready
        return self._view.look(self._world, self._row, self._column), float(self._success), True, False, info

    def _frame(self) -> Frame:
        ends = (0, self._look_end, self._apples_end, self._horizon)
        codes = self._world[REACH:-REACH, REACH:-REACH].tolist()
        return draw(
            Scene(
                cells=tuple(tuple(self._things[code] for code in row) for row in codes),
                row=self._row,
                column=self._column,
                phase=self._phase,
                step=self._time - ends[self._phase],
                steps=(ends[1], ends[2] - ends[1], ends[3] - ends[2]),
                asked=(self.met, self._colour),
                key=self._ready if self._key_needed else None,
                apples=self._apples,
                right=None if self._playing else CHOICES[self._order.index(self._colour)],
                touched=self._touched is not None,
                success=self._success,
            )
        )


def _inside(cell: Cell, edge: int) -> Cell:
    """Return a cell's row and column within the room."""
    return cell[0] - edge, cell[1] - edge


class ThreePhaseOracle:
    """Walks to what the first phase shows, eats every apple on the shortest way, and chooses the colour it saw.

    :param view: How observations show cells.
    :param n_colours: Number of colours.
    :param first_choice: The code of a choice in the first colour.
    """

    def __init__(self, view: GridView, n_colours: int, first_choice: int) -> None:
        self.view = view
        self.n_colours = n_colours
        self.first_choice = first_choice
        self.reset()

    def reset(self) -> None:
        self.colour = 0
        self.has_eaten = False

    def act(self, observation: Observation) -> int:
        codes = self.view.read(observation)
        if (codes == APPLE).any():
            self.has_eaten = True
            wanted = APPLE
        elif self.has_eaten:
            wanted = self.first_choice + self.colour
        else:
            wanted = int(codes.max())
            if wanted < FIRST_THING:
                return NORTH
            self.colour = (wanted - FIRST_THING) % self.n_colours
        down, right = (int(offset) - REACH for offset in np.argwhere(codes == wanted)[0])
        return towards(down, right) if (down, right) != (0, 0) else NORTH
