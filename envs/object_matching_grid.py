"""Object matching on a grid: see an object, walk to another room, then go to the other object."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_integer, check_option, check_span
from memory_agents.envs.base import Action, Frame, Masks, MemoryEnv, Observation
from memory_agents.envs.chance import below
from memory_agents.envs.grid_view import EAST, MOVES, NORTH, REACH, SOUTH, GridView, towards
from memory_agents.envs.object_matching import CHOICE_REWARD, MAX_COLOURS, MAX_SHAPES, PAD_REWARD
from memory_agents.envs.object_matching_grid_frame import Pick, Scene, cell_tile, draw
from memory_agents.envs.object_matching_grid_map import CASE, FLOOR, PAD, PEDESTAL, PLATE, WALL, Cell, GridMap
from memory_agents.envs.object_matching_grid_returns import expected_visits, random_times, shortest_times

DEFAULT_LOOPS = 4
N_KINDS = PEDESTAL  # All but the floor.
FIRST_OBJECT = PEDESTAL + 1
CHOOSING = (NORTH, SOUTH)


class ObjectMatchingGrid(MemoryEnv):
    """See an object behind glass, walk to another room, and there choose between it and another one.

    **Task.** A grid form of DMLab's ``rooms_select_nonmatching_object``, the reinforcement-learning task of the
    Compressive Transformer paper (Rae et al. 2020, https://arxiv.org/abs/1911.05507). The agent begins at the western
    wall of room A, 7 x 7 cells; at the eastern wall opposite lies a pad, with a glass case two cells north and one two
    cells south of it. When the agent steps on the pad, one of the cases, drawn in every loop, shows an object (the
    sample); the next step, whatever the action, teleports into a corridor of ``corridor`` cells, closed behind the
    agent. It leads into room B, 5 x 5 cells, with a plate at the eastern wall and a pedestal north and one south of
    it. When the agent steps on the plate, the pedestals show the sample and another object (the foil); the next
    step chooses, and a new loop begins in room A. Foil and sides are drawn anew in every loop, independently of one
    another and of the sample.

    The shortest way is straight east: 6 steps to the pad, one into the corridor, ``corridor + 4`` to the plate and one
    to choose, ``corridor + 12`` in all. From the sight of the sample to that of the choice pass ``corridor + 5`` steps,
    and no cell sees both. Unlike in the original the agent cannot linger in sight of objects. If it could, a player
    without memory would beat guessing: it would go on with some samples only and stay away with the others, and
    whatever then stands on the pedestals, it would know which samples are possible.

    **Observation.** The 5 x 5 cells around the agent, which itself is not drawn.

    - ``observation="symbolic"``: ``Box(0, 1, (25 * (5 + n_shapes + n_colours),), float32)``, row by row from the
      upper left cell. Each cell has five channels for pad, plate, wall, glass case and pedestal, all zeros on the
      floor, then the shape of the object in or on it as one-hot and the colour as one-hot, zeros without an object.
    - ``observation="image"``: ``Box(0, 255, (40, 40, 3), uint8)``, each cell a picture of 8 x 8 pixels.

    **Actions.** ``Discrete(4)``: 0 right (east), 1 up (north), 2 left (west), 3 down (south). Walls, cases and, except
    from the plate, pedestals stop the agent; :meth:`action_masks` has the moves that nothing stops.

    **Rewards.** 0.1 for stepping on the pad; on the plate +1 for the move to the correct object and -1 for any other
    move (one to ten, as in the original).

    **Ends.** Terminated after ``time_limit`` steps, however many loops that is. The info of the last step holds
    ``choices`` (how many were made), ``correct_choices``, ``choice_accuracy`` (their ratio; 0.0 if none was made) and
    ``is_success`` (every choice correct, and at least one made).

    **Anchors.** Optimal: 0.1 for every pad and 1 for every choice on shortest paths within ``time_limit``, a pad
    without time for its choice included. Memoryless: the pads alone. Where the agent can choose how to go on it sees no
    objects, so nothing of the sample is left in where it is or in whether it comes to the plate at all, and a guess
    earns +1 and -1 equally often; who guesses is as fast as who knows. Random: 0.1 for every pad that a random walk
    steps on, -1/2 for every choice. All are exact: path lengths come from breadth-first search, the random walk's
    from its Markov chain, and the expected number of loops from the renewal equation. With a range for
    ``corridor`` episodes may differ in how many loops fit, and optimal is a mean.

    :param n_shapes: Number of shapes, 1 to 12.
    :param n_colours: Number of colours, 1 to 3; every shape in every colour is an object of its own (the original
        has 12 shapes in 3 modifications).
    :param corridor: Cells of the corridor: a number, or an inclusive range ``(low, high)`` to draw from in every loop.
    :param time_limit: Steps of an episode; None means four shortest loops with the longest corridor. It must leave
        time for one.
    :param observation: ``"symbolic"`` or ``"image"``.
    :param rule: The object to choose: ``"nonmatch"`` the foil, ``"match"`` the sample.
    :param sample: When a sample is drawn: in every ``"trial"`` (loop), or once per ``"episode"`` as in the original.
    :param render_mode: None or ``"rgb_array"``. Frames show the map from above, and the agent's view outlined.
    :raises ValueError: If an argument is out of bounds, or there are fewer than two objects.
    """

    tags: ClassVar[tuple[str, ...]] = ("object",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"corridor": 6},
        "interpolate": {"corridor": (1, 6)},
        "extrapolate": {"corridor": (12, 60)},
    }

    def __init__(
        self,
        *,
        n_shapes: int = 4,
        n_colours: int = 1,
        corridor: Span = 6,
        time_limit: int | None = None,
        observation: str = "symbolic",
        rule: str = "nonmatch",
        sample: str = "trial",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode=render_mode)
        self.n_shapes = check_integer("n_shapes", n_shapes, 1, MAX_SHAPES)
        self.n_colours = check_integer("n_colours", n_colours, 1, MAX_COLOURS)
        self.corridor = check_span("corridor", corridor, 1)
        self.observation = check_option("observation", observation, ("symbolic", "image"))
        self.rule = check_option("rule", rule, ("nonmatch", "match"))
        self.sample = check_option("sample", sample, ("trial", "episode"))
        self._objects = [(shape, colour) for shape in range(self.n_shapes) for colour in range(self.n_colours)]
        if len(self._objects) < 2:
            raise ValueError(
                f"n_shapes={n_shapes!r} and n_colours={n_colours!r} make one object, and a choice needs 2: raise "
                "n_shapes or n_colours."
            )
        low, high = self.corridor
        self._grid = GridMap(high)
        shortest, longest = (self._grid.steps_to_pad + self._grid.steps_to_choice(length) for length in (low, high))
        if time_limit is None:
            time_limit = DEFAULT_LOOPS * longest
        self.time_limit = check_integer("time_limit", time_limit, longest)
        self._max_loops = self.time_limit // shortest + 1
        self.draws = len(Loop._fields) * self._max_loops

        self._first_pick = FIRST_OBJECT + len(self._objects)
        self._view = self._make_view()
        self.observation_space = self._view.space
        self.action_space = spaces.Discrete(len(MOVES))
        self._world = self._grid.world.copy()
        self._painted = self._view.paint(self._world)

    def _make_view(self) -> GridView:
        """Codes go on after the bare cells with the objects in cases, then with the objects on pedestals."""
        looks: list[tuple[int, tuple[int, int] | None]] = [(kind, None) for kind in range(FIRST_OBJECT)]
        looks += [(kind, thing) for kind in (CASE, PEDESTAL) for thing in self._objects]
        features = np.zeros((len(looks), N_KINDS + self.n_shapes + self.n_colours), np.float32)
        for row, (kind, thing) in zip(features, looks, strict=True):
            if kind != FLOOR:
                row[kind - PAD] = 1.0
            if thing is not None:
                row[[N_KINDS + thing[0], N_KINDS + self.n_shapes + thing[1]]] = 1.0
        return GridView(features, np.stack([cell_tile(*look) for look in looks]), self.observation)

    @property
    def optimum_varies(self) -> bool:
        shortest, longest = (self._shortest_loops(length) for length in self.corridor)
        return shortest != longest

    def _shortest_loops(self, length: int) -> tuple[int, bool]:
        """Return how many shortest loops fit if every corridor has this length, and whether one more pad does."""
        steps_to_pad = self._grid.steps_to_pad
        loops, rest = divmod(self.time_limit, steps_to_pad + self._grid.steps_to_choice(length))
        return loops, rest >= steps_to_pad

    @cached_property
    def _shortest_visits(self) -> tuple[float, float]:
        return expected_visits(*shortest_times(self._grid, self.corridor[0], self.time_limit))

    @property
    def optimal_return(self) -> float:
        pads, choices = self._shortest_visits
        return PAD_REWARD * pads + CHOICE_REWARD * choices

    @property
    def memoryless_return(self) -> float:
        return PAD_REWARD * self._shortest_visits[0]

    @cached_property
    def random_return(self) -> float:
        pads, choices = expected_visits(*random_times(self._grid, self.corridor[0], self.time_limit))
        return PAD_REWARD * pads + CHOICE_REWARD * choices * (2 / len(MOVES) - 1)

    def oracle(self) -> GridOracle:
        return GridOracle(self._view, self._first_pick, self.rule)

    def plan(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the loops of episodes, each with the fields of :class:`Loop`, ``(episodes, loops, 5)``.

        :param uniforms: Uniform numbers, ``(episodes, draws)``.
        """
        n_objects = len(self._objects)
        low, high = self.corridor
        bounds = np.array([n_objects, n_objects - 1, 2, 2, high - low + 1])
        loops = below(uniforms.reshape(len(uniforms), -1, bounds.size), bounds)
        samples, foils, lengths = loops[..., 0], loops[..., 1], loops[..., 4]
        if self.sample == "episode":
            samples[:] = samples[:, :1]
        foils += samples + 1
        foils %= n_objects
        lengths += low
        return loops

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        self._loops = [Loop(*loop) for loop in self.plan(uniforms[None])[0].tolist()]
        self._picks: list[Pick] = []
        self._time = 0
        self._begin_loop()
        return self._view.crop(self._painted, *self._cell)

    def _begin_loop(self) -> None:
        grid = self._grid
        self._loop = self._loops[len(self._picks)]
        self._cell, self._floor = grid.start, FLOOR
        if self.corridor[0] < self.corridor[1]:
            row, door = grid.door
            hall = self._world[row + REACH, door - grid.longest + REACH : door + REACH]
            hall[:] = FLOOR
            hall[: grid.longest - self._loop.length] = WALL
            self._painted = self._view.paint(self._world)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, len(MOVES))
        self._time += 1
        reward = 0.0
        if self._floor == PAD:
            self._cell, self._floor = self._grid.arrival(self._loop.length), FLOOR
        elif self._floor == PLATE:
            reward = self._choose(action)
        else:
            (row, column), (down, right) = self._cell, MOVES[action]
            here = self._world.item(row + down + REACH, column + right + REACH)
            if here < WALL:
                self._cell, self._floor = (row + down, column + right), here
                if here == PAD:
                    reward = PAD_REWARD
        observation = self._view.crop(self._painted, *self._cell) if self._floor == FLOOR else self._look_at_objects()
        if self._time < self.time_limit:
            return observation, reward, False, False, {}
        self._playing = False
        return observation, reward, True, False, self._summary()

    def action_masks(self) -> Masks:
        """Return which moves nothing stops, ``(4,)``; on the pad, which moves the agent itself, and on the plate all.

        The observation tells as much.
        """
        self._check_begun("action_masks")
        if self._floor != FLOOR:
            return np.ones(len(MOVES), np.bool_)
        row, column = self._cell[0] + REACH, self._cell[1] + REACH
        return np.array([self._world[row + down, column + right] < WALL for down, right in MOVES])

    def _choose(self, action: int) -> float:
        """The pedestals lie north and south of the plate."""
        loop = self._loop
        side = CHOOSING.index(action) if action in CHOOSING else None
        picked_sample = side == loop.sample_side
        correct = side is not None and picked_sample == (self.rule == "match")
        thing = None if side is None else self._objects[loop.sample if picked_sample else loop.foil]
        self._picks.append(Pick(thing, correct, self._time))
        self._begin_loop()
        return CHOICE_REWARD if correct else -CHOICE_REWARD

    def _look_at_objects(self) -> Observation:
        world = self._world.copy()
        for (row, column), code in self._shown().items():
            world[row + REACH, column + REACH] = code
        return self._view.look(world, *self._cell)

    def _shown(self) -> dict[Cell, int]:
        """Return where objects are in sight from the pad or the plate, with their codes."""
        grid, loop = self._grid, self._loop
        if self._floor == PAD:
            return {grid.cases[loop.case_side]: FIRST_OBJECT + loop.sample}
        return {
            grid.pedestals[loop.sample_side]: self._first_pick + loop.sample,
            grid.pedestals[1 - loop.sample_side]: self._first_pick + loop.foil,
        }

    def _summary(self) -> dict[str, Any]:
        choices, correct = len(self._picks), sum(pick.correct for pick in self._picks)
        return {
            "choices": choices,
            "correct_choices": correct,
            "choice_accuracy": correct / choices if choices else 0.0,
            "is_success": 0 < choices == correct,
        }

    def _frame(self) -> Frame:
        loop, grid = self._loop, self._grid
        sample, foil = self._objects[loop.sample], self._objects[loop.foil]
        return draw(
            Scene(
                grid=grid,
                cell=self._cell,
                arrival=grid.arrival(loop.length),
                objects={
                    grid.cases[loop.case_side]: sample,
                    grid.pedestals[loop.sample_side]: sample,
                    grid.pedestals[1 - loop.sample_side]: foil,
                },
                sample=sample,
                rule=self.rule,
                picks=tuple(self._picks),
                time=self._time,
                horizon=self.time_limit,
            )
        )


class Loop(NamedTuple):
    """What is drawn for one loop: objects by number, sides as 0 for north and 1 for south."""

    sample: int
    foil: int
    case_side: int
    sample_side: int
    length: int


class GridOracle:
    """Walks east, keeps the object seen behind glass, and goes to the pedestal that the rule asks for.

    :param view: Tells cells from observations.
    :param first_pick: Code of the first object on a pedestal; the same objects in cases have the codes before it.
    :param rule: ``"nonmatch"`` or ``"match"``.
    """

    def __init__(self, view: GridView, first_pick: int, rule: str) -> None:
        self.view = view
        self.first_pick = first_pick
        self.rule = rule
        self.reset()

    def reset(self) -> None:
        self.seen: int | None = None

    def act(self, observation: Observation) -> int:
        codes = self.view.read(observation)
        cased = codes[(codes >= FIRST_OBJECT) & (codes < self.first_pick)]
        if cased.size:
            self.seen = int(cased[0]) - FIRST_OBJECT
        for row, column in np.argwhere(codes >= self.first_pick).tolist():
            is_sample = codes[row, column] - self.first_pick == self.seen
            if is_sample == (self.rule == "match"):
                return towards(row - REACH, column - REACH)
        return EAST
