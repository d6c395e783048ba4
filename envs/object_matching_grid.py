"""Object matching on a grid: see an object, walk to another room, then go to the other object."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from memory_agents.envs.arguments import Span, check_integer, check_option, check_span
from memory_agents.envs.base import Action, Frame, MemoryEnv, Observation
from memory_agents.envs.grid_view import EAST, MOVES, REACH, GridView, towards
from memory_agents.envs.object_matching import CHOICE_REWARD, MAX_COLOURS, MAX_SHAPES, PAD_REWARD
from memory_agents.envs.object_matching_grid_frame import Pick, Scene, cell_tile, draw
from memory_agents.envs.object_matching_grid_map import CASE, FLOOR, PAD, PEDESTAL, WALL, GridMap
from memory_agents.envs.object_matching_grid_returns import expected_visits, random_times, shortest_times

DEFAULT_LOOPS = 4
N_KINDS = 4  # Wall, case, pad and pedestal.
FIRST_OBJECT = PEDESTAL + 1


class ObjectMatchingGrid(MemoryEnv):
    """See an object behind glass, walk to another room, and there choose between it and another one.

    **Task.** A grid form of DMLab's ``rooms_select_nonmatching_object``, the reinforcement-learning task of the
    Compressive Transformer paper (Rae et al. 2020, https://arxiv.org/abs/1911.05507). The agent begins at the western
    wall of room A, 7 x 7 cells; at the eastern wall opposite lies a pad, and two cells north and south of it stand
    glass cases, one of which, drawn in every loop, shows an object (the sample). The pad teleports into a corridor of
    ``corridor`` cells, closed behind the agent. It leads into room B, 5 x 5 cells, with a pedestal in each eastern
    corner: one holds the sample, the other another object (the foil). Stepping on a pedestal chooses its object, and
    the next loop begins in room A. Foil and sides are drawn anew in every loop, independently of one another and of
    the sample.

    The shortest way is straight east to the pad (6 steps), straight east through the corridor (``corridor``) and to a
    pedestal (6): a loop of ``corridor + 12``. Both cases are in view during the last two steps to the pad, so
    looking costs no step and memory alone is tested. From the last sight of the sample to the first sight of the
    pedestals pass ``corridor + 3`` steps, and no place in the map sees both.

    **Observation.** The 5 x 5 cells around the agent, which itself is not drawn.

    - ``observation="symbolic"``: ``Box(0, 1, (25 * (4 + n_shapes + n_colours),), float32)``, row by row from the
      upper left cell. Each cell has four channels for wall, glass case, pad and pedestal, all zeros on the floor,
      then the shape of the object in or on it as one-hot and the colour as one-hot, zeros without an object.
    - ``observation="image"``: ``Box(0, 255, (40, 40, 3), uint8)``, each cell a picture of 8 x 8 pixels.

    **Actions.** ``Discrete(4)``: 0 right (east), 1 up (north), 2 left (west), 3 down (south). Walls and
    glass cases stop the agent.

    **Rewards.** 0.1 on the pad; on a pedestal +1 for the correct object and -1 for the other (one to ten, as in the
    original).

    **Ends.** Terminated after ``time_limit`` steps, however many loops that is. The info of the last step holds
    ``choices`` (how many were made), ``correct_choices``, ``choice_accuracy`` (their ratio; 0.0 if none was made) and
    ``is_success`` (every choice correct, and at least one made).

    **Anchors.** Optimal: 0.1 for every pad and 1 for every choice on shortest paths within ``time_limit``, a pad
    without time for its choice included. Memoryless: the pads alone. The pad leads to one and the same place, so
    nothing of the sample is left in the agent's position, and a guess earns +1 and -1 equally often; who guesses is as
    fast as who knows. Random: 0.1 for every pad that a random walk steps on. All are exact: path lengths come from
    breadth-first search, the random walk's from its Markov chain, and the expected number of loops from the
    renewal equation. With a range for ``corridor`` episodes differ in how many loops fit, and optimal is a mean.

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

        self._first_pick = FIRST_OBJECT + len(self._objects)
        self._view = self._make_view()
        self.observation_space = self._view.space
        self.action_space = spaces.Discrete(len(MOVES))
        self._world = self._grid.world.copy()

    def _make_view(self) -> GridView:
        """Codes go on after the bare cells with the objects in cases, then with the objects on pedestals."""
        looks: list[tuple[int, tuple[int, int] | None]] = [(kind, None) for kind in range(FIRST_OBJECT)]
        looks += [(kind, thing) for kind in (CASE, PEDESTAL) for thing in self._objects]
        features = np.zeros((len(looks), N_KINDS + self.n_shapes + self.n_colours), np.float32)
        for row, (kind, thing) in zip(features, looks, strict=True):
            if kind != FLOOR:
                row[kind - WALL] = 1.0
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
        pads, _ = expected_visits(*random_times(self._grid, self.corridor[0], self.time_limit))
        return PAD_REWARD * pads

    def oracle(self) -> GridOracle:
        return GridOracle(self._view, self._first_pick, self.rule)

    def _begin(self) -> Observation:
        rng, loops, n_objects = self.np_random, self._max_loops, len(self._objects)
        low, high = self.corridor
        samples = rng.integers(n_objects, size=loops)
        if self.sample == "episode":
            samples[:] = samples[0]
        foils = (samples + 1 + rng.integers(n_objects - 1, size=loops)) % n_objects
        sides = rng.integers(2, size=(loops, 2))
        lengths = low + rng.integers(high - low + 1, size=loops)
        self._loops = [Loop(*draws) for draws in np.column_stack((samples, foils, sides, lengths)).tolist()]
        self._picks: list[Pick] = []
        self._time = 0
        self._begin_loop()
        return self._view.crop(self._painted, self._row, self._column)

    def _begin_loop(self) -> None:
        grid, loop = self._grid, self._loops[len(self._picks)]
        self._row, self._column = grid.start
        self._arrival = grid.arrival(loop.length)
        self._put(CASE, grid.cases[1 - loop.case_side])
        self._put(FIRST_OBJECT + loop.sample, grid.cases[loop.case_side])
        self._put(self._first_pick + loop.sample, grid.pedestals[loop.sample_side])
        self._put(self._first_pick + loop.foil, grid.pedestals[1 - loop.sample_side])
        row, door = grid.door
        hall = self._world[row + REACH, door - grid.longest + REACH : door + REACH]
        hall[:] = FLOOR
        hall[: grid.longest - loop.length] = WALL
        self._painted = self._view.paint(self._world)

    def _put(self, code: int, cell: tuple[int, int]) -> None:
        self._world[cell[0] + REACH, cell[1] + REACH] = code

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, len(MOVES))
        self._time += 1
        down, right = MOVES[action]
        row, column, reward = self._row + down, self._column + right, 0.0
        here = self._world.item(row + REACH, column + REACH)
        if here == FLOOR:
            self._row, self._column = row, column
        elif here == PAD:
            self._row, self._column = self._arrival
            reward = PAD_REWARD
        elif here >= self._first_pick:
            reward = self._choose(here - self._first_pick)
        observation = self._view.crop(self._painted, self._row, self._column)
        if self._time < self.time_limit:
            return observation, reward, False, False, {}
        self._playing = False
        return observation, reward, True, False, self._summary()

    def _choose(self, thing: int) -> float:
        is_sample = thing == self._loops[len(self._picks)].sample
        correct = is_sample == (self.rule == "match")
        self._picks.append(Pick(self._objects[thing], correct, self._time))
        self._begin_loop()
        return CHOICE_REWARD if correct else -CHOICE_REWARD

    def _summary(self) -> dict[str, Any]:
        choices, correct = len(self._picks), sum(pick.correct for pick in self._picks)
        return {
            "choices": choices,
            "correct_choices": correct,
            "choice_accuracy": correct / choices if choices else 0.0,
            "is_success": 0 < choices == correct,
        }

    def _frame(self) -> Frame:
        loop, grid = self._loops[len(self._picks)], self._grid
        sample, foil = self._objects[loop.sample], self._objects[loop.foil]
        return draw(
            Scene(
                grid=grid,
                cell=(self._row, self._column),
                arrival=self._arrival,
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
            # Side by side with the pedestals, the correct one is straight ahead.
            if column == REACH and is_sample == (self.rule == "match"):
                return towards(row - REACH, 0)
        return EAST
