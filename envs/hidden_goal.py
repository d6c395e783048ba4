"""A grid with a goal that cannot be seen: find it once, then go straight back to it."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import check_integer
from memory_agents.envs.base import Action, Frame, Masks, MemoryEnv, Observation
from memory_agents.envs.chance import below
from memory_agents.envs.grid_view import MOVES, towards
from memory_agents.envs.hidden_goal_frame import Scene, draw

MAX_SIZE = 20


class HiddenGoalEpisodes(NamedTuple):
    """What is drawn for episodes.

    :param goals: The cell of the goal, ``(episodes,)``.
    :param places: Where the agent begins, and where each hit puts it, ``(episodes, horizon + 1)``.
    """

    goals: NDArray[np.int64]
    places: NDArray[np.int64]


class HiddenGoal(MemoryEnv):
    """Find a goal that cannot be seen, again and again, in a grid where only one's own position is seen.

    **Task.** A grid world after the Dark Room of Laskin et al. (2023, https://arxiv.org/abs/2210.14215) and the water
    maze with its hidden platform (Morris 1984, https://doi.org/10.1016/0165-0270(84)90007-4). The goal is a cell drawn
    anew in every episode, and stays where it is. The agent starts in any other cell. Reaching the goal puts the
    agent into a cell drawn uniformly from all others. Nothing but this jump tells the agent that it was there.

    **Observation.** ``Box(0, 1, (size * size,), float32)``: the agent's cell as one-hot, row by row from the upper
    left corner. After the goal was reached it is the cell that the agent was put into.

    **Actions.** ``Discrete(4)``: 0 east, 1 north, 2 west, 3 south. Walls stop the agent, and :meth:`action_masks` has
    the moves that they do not stop.

    **Rewards.** 1 whenever the goal is reached, else 0.

    **Ends.** Terminated after ``horizon`` steps. The info of the last step holds ``goals_reached`` and ``is_success``
    (at least half the way from the memoryless to the optimal return).

    **Anchors.** Exact returns of definite players; by default 32.95, 5.93 and 1.38.

    - Optimal: the oracle, which walks through all cells along a closed tour until it meets the goal, and then takes
      shortest paths. From then on nobody is faster, and with an even ``size`` nobody meets the goal sooner on average.
      To search the middle first would pay a little, since from there the ways back are shorter: by default less than
      1.6%, which is the gain of the best order were jumps between cells free. (With an odd ``size`` a closed tour must
      leave out a cell, and the oracle goes there last.)
    - Memoryless: a walk around the same tour for ever. No deterministic policy beats it at sizes 2 and 3 (all were
      tried, at horizons from the number of cells upwards), and gradient ascent over stochastic policies ended near
      deterministic ones. On larger grids simulated annealing over deterministic policies found irregular ones, in which
      outer cells lead to a shorter loop, that are a little better: they reach 6.18 instead of 5.93 by default, a score
      of 0.01, and at most a score of 0.03 in ten settings with horizons from the number of cells upwards.
    - Random: a Markov chain over cells for every goal.

    With fewer steps than cells the first two do not hold: whoever walks in short loops, or searches the middle first,
    then finds goals that the tour does not come to in time, and has more.

    :param size: Cells along each side, 2 to 20.
    :param horizon: Steps of an episode.
    :param render_mode: None or ``"rgb_array"``. Frames show the goal.
    :raises ValueError: If an argument is out of bounds.
    """

    tags: ClassVar[tuple[str, ...]] = ("spatial",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"horizon": 200},
        "interpolate": {"horizon": 100},
        "extrapolate": {"horizon": 800},
    }
    optimum_varies: ClassVar[bool] = True

    def __init__(self, *, size: int = 8, horizon: int = 200, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.size = check_integer("size", size, 2, MAX_SIZE)
        self.horizon = check_integer("horizon", horizon, 2)
        self.n_cells = self.size * self.size
        self.observation_space = spaces.Box(0.0, 1.0, (self.n_cells,), np.float32)
        self.action_space = spaces.Discrete(4)
        # The goal, then the start and the place after every hit, which are other cells.
        self.draws = 1 + self.horizon + 1
        self._bounds = np.array([self.n_cells] + [self.n_cells - 1] * (self.horizon + 1))
        self._views = list(np.eye(self.n_cells, dtype=np.float32))
        self._neighbours = neighbours(self.size).tolist()

    @cached_property
    def optimal_return(self) -> float:
        cells = range(self.n_cells)
        distances = np.array([[self._distance(start, goal) for start in cells] for goal in cells])
        shortest = np.array([np.bincount(row, minlength=self.n_cells) for row in distances]) / (self.n_cells - 1)
        # To the searcher's first hit come those of the steps that are then left, [goal, steps left].
        hits = 1.0 + _expected_hits(shortest, self.horizon)
        total = 0.0
        for start in cells:
            for goal, time in enumerate(self._search_times(start)):
                if 0 < time <= self.horizon:
                    total += float(hits[goal, self.horizon - time])
        return total / (self.n_cells * (self.n_cells - 1))

    @cached_property
    def memoryless_return(self) -> float:
        starts_at = np.zeros((self.n_cells, self.n_cells))
        for start in range(self.n_cells):
            times = self._search_times(start)
            for goal in closed_tour(self.size):
                starts_at[goal, times[goal]] += 1.0
        return float(_expected_hits(starts_at / (self.n_cells - 1), self.horizon)[:, -1].mean())

    @cached_property
    def random_return(self) -> float:
        goals = np.arange(self.n_cells)
        others = (1.0 - np.eye(self.n_cells)) / (self.n_cells - 1)
        came_from = np.argsort(np.array(self._neighbours).ravel(), kind="stable").reshape(self.n_cells, 4) // 4
        whereabouts, total = others.copy(), 0.0  # [goal, cell]
        for _ in range(self.horizon):
            whereabouts = whereabouts[:, came_from].mean(axis=2)
            hits = whereabouts[goals, goals].copy()
            whereabouts[goals, goals] = 0.0
            whereabouts += hits[:, None] * others
            total += float(hits.mean())
        return total

    def _distance(self, start: int, goal: int) -> int:
        (row, column), (goal_row, goal_column) = divmod(start, self.size), divmod(goal, self.size)
        return abs(goal_row - row) + abs(goal_column - column)

    def _search_times(self, start: int) -> list[int]:
        """Return, for every goal, after how many steps the searching oracle meets it."""
        tour = closed_tour(self.size)
        times = [0] * self.n_cells
        entry = entry_of(start, self.size)
        first = tour.index(entry)
        for step, cell in enumerate(tour[first:] + tour[:first]):
            times[cell] = step + (entry != start)
            last = cell
        for cell in set(range(self.n_cells)) - {*tour, start}:
            times[cell] = len(tour) - 1 + self._distance(last, cell)
        return times

    def oracle(self) -> HiddenGoalOracle:
        return HiddenGoalOracle(self.size)

    def plan(self, uniforms: NDArray[np.float64]) -> HiddenGoalEpisodes:
        """Return what episodes hold.

        :param uniforms: Uniform numbers, ``(episodes, draws)``.
        """
        cells = below(uniforms, self._bounds)
        goals, places = cells[:, :1], cells[:, 1:]
        places += places >= goals
        return HiddenGoalEpisodes(goals[:, 0], places)

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        episode = self.plan(uniforms[None])
        places: list[int] = episode.places[0].tolist()
        self._goal, self._places = int(episode.goals[0]), places
        self._hits, self._time = 0, 0
        self._cell = places[0]
        self._trail = [self._cell]
        return self._views[self._cell].copy()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, 4)
        self._time += 1
        self._cell = self._neighbours[self._cell][action]
        reward = 0.0
        if self._cell == self._goal:
            reward = 1.0
            self._hits += 1
            self._cell = self._places[self._hits]
            self._trail.clear()
        self._trail.append(self._cell)
        observation = self._views[self._cell].copy()
        if self._time < self.horizon:
            return observation, reward, False, False, {}
        self._playing = False
        success = bool(self.normalized_score(self._hits) >= 0.5)
        return observation, reward, True, False, {"goals_reached": self._hits, "is_success": success}

    def action_masks(self) -> Masks:
        """Return which moves no wall stops, ``(4,)``. The observation tells as much."""
        self._check_begun("action_masks")
        return np.array([cell != self._cell for cell in self._neighbours[self._cell]])

    def _frame(self) -> Frame:
        return draw(
            Scene(
                size=self.size,
                goal=self._goal,
                trail=tuple(self._trail),
                hits=self._hits,
                just_hit=self._hits > 0 and len(self._trail) == 1,
                time=self._time,
                horizon=self.horizon,
            )
        )


def neighbours(size: int) -> NDArray[np.int64]:
    """Return the cell that each action leads to from each cell, ``(size * size, 4)``.

    :param size: Cells along each side.
    """
    cells = np.stack(np.divmod(np.arange(size * size), size), axis=1)
    rows, columns = np.clip(cells[:, None] + np.array(MOVES), 0, size - 1).transpose(2, 0, 1)
    cells_after: NDArray[np.int64] = rows * size + columns
    return cells_after


@cache
def closed_tour(size: int) -> tuple[int, ...]:
    """Return cells in the order of a closed walk through all of them; with an odd size all but the last cell.

    :param size: Cells along each side.
    """
    even = size - size % 2
    # Along the top, then down and up through the columns, the last of which ends below the start.
    tour = [(0, column) for column in range(even)]
    for column in reversed(range(even)):
        rows = range(1, size)
        tour += [(row, column) for row in (rows if column % 2 else reversed(rows))]
    if size % 2:
        # The column left over is taken two cells at a time, from the steps down beside it.
        for row in range(0, size - 1, 2):
            beside = tour.index((row, even - 1))
            tour[beside + 1 : beside + 1] = [(row, even), (row + 1, even)]
    return tuple(row * size + column for row, column in tour)


def entry_of(cell: int, size: int) -> int:
    """Return where someone in a cell begins to follow :func:`closed_tour`: there, or beside it if it is left out.

    :param cell: The cell.
    :param size: Cells along each side.
    """
    return cell - 1 if size % 2 and cell == size * size - 1 else cell


def _expected_hits(first_hits: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
    """Return the expected number of hits by goal and number of steps, ``(goals, horizon + 1)``.

    :param first_hits: For every goal the probabilities that the steps from a random place to it are 0, 1, 2, ...; the
        first is left out of account, as one is never put into the goal.
    :param horizon: Steps at most.
    """
    hits = np.zeros((len(first_hits), horizon + 1))
    reached = np.cumsum(first_hits[:, 1:], axis=1)
    for time in range(1, horizon + 1):
        reach = min(time, first_hits.shape[1] - 1)
        again = np.einsum("gd,gd->g", first_hits[:, 1 : reach + 1], hits[:, time - reach : time][:, ::-1])
        hits[:, time] = reached[:, reach - 1] + again
    return hits


class HiddenGoalOracle:
    """Follows the closed tour until a jump betrays the goal, then goes straight to it.

    :param size: Cells along each side.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        tour = closed_tour(size)
        self.successors = dict(zip(tour, (*tour[1:], tour[0]), strict=True))
        self.neighbours: list[list[int]] = neighbours(size).tolist()
        self.reset()

    def reset(self) -> None:
        self.visited: set[int] = set()
        self.expected: int | None = None
        self.goal: int | None = None

    def act(self, observation: Observation) -> int:
        cell = int(observation.argmax())
        if self.goal is None and self.expected not in (None, cell):
            self.goal = self.expected
        self.visited.add(cell)
        action = self._towards(cell, self._target(cell))
        self.expected = self.neighbours[cell][action]
        return action

    def _target(self, cell: int) -> int:
        if self.goal is not None:
            return self.goal
        if self.successors.keys() <= self.visited:
            return self.size * self.size - 1
        return self.successors[cell] if cell in self.successors else entry_of(cell, self.size)

    def _towards(self, cell: int, target: int) -> int:
        (row, column), (to_row, to_column) = divmod(cell, self.size), divmod(target, self.size)
        return towards(to_row - row, to_column - column)
