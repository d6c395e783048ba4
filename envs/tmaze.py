"""The T-maze: a sign at the start tells which arm to take at the end of a long corridor."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_flag, check_integer, check_span
from memory_agents.envs.base import Action, Frame, Masks, MemoryEnv, Observation
from memory_agents.envs.chance import below, within
from memory_agents.envs.grid_view import EAST, NORTH, SOUTH, WEST
from memory_agents.envs.tmaze_frame import Scene, draw

PLACES = ("start", "corridor", "junction", "arm")
START, CORRIDOR, JUNCTION, ARM = range(4)
MAX_CUE_BITS = 8


class TMazeEpisodes(NamedTuple):
    """What chance decides of episodes.

    :param lengths: Length of the corridor, ``(episodes,)``.
    :param goals: The arm that the sign names, ``(episodes,)``.
    """

    lengths: NDArray[np.int64]
    goals: NDArray[np.int64]


class TMaze(MemoryEnv):
    """Read a sign at the start, walk down a corridor, turn into the arm that the sign named.

    **Task.** After Bakker (2001), in the forms of Ni et al. (2023, https://arxiv.org/abs/2307.03864). The sign stands
    at the start and is seen once; the corridor looks the same everywhere; at its end, ``corridor`` steps after the
    start, lie ``2 ** cue_bits`` arms.

    - Default: the corridor walks itself and only the last action counts, so that memory alone is tested. (In the
      original form agents often settle on never turning, and then exploration, not memory, is what fails.)
    - ``active=True``: the sign is blank until read. The first action must be *look*; the sign is then seen in the
      second observation, and from there the corridor walks itself. Whoever does not look sees the
      blank sign once more and walks off; episodes are one step longer than with the passive sign.
    - ``auto_advance=False``: the original with four moves, two arms and a horizon that leaves no step to spare:
      ``corridor + 1`` moves, and with ``active=True``, where the agent starts one cell east of the sign, two more.

    **Observation.** ``Box(-1, 1, (4 + cue_bits,), float32)``: the place (start, corridor, junction, arm) as one-hot,
    then the number of the arm in binary, most significant bit first, +1 for 1 and -1 for 0; zeros while no sign is
    seen. (Ni et al. show the start without its sign as corridor.)

    **Actions.** ``Discrete(2 ** cue_bits)``: the arms; with ``active=True`` one more, the last, looks. With
    ``auto_advance=False`` it is ``Discrete(4)``: 0 east, 1 north, 2 west, 3 south. Arm 1 lies north of the junction
    and arm 0 south; walls stop the agent, and :meth:`action_masks` has the moves that they do not stop.

    **Rewards.** 1 at the last step for the arm the sign named, else 0. With ``auto_advance=False`` every earlier
    step ``t`` after which the agent is behind schedule (fewer than ``t`` cells from the start, or with
    ``active=True`` fewer than ``t - 1`` cells from the sign) costs ``1 / corridor``.

    **Ends.** Always terminated, never truncated: the horizon is part of the task. The info of the last step holds
    ``is_success``.

    **Anchors.** Optimal 1; memoryless ``2 ** -cue_bits`` in every form: who walks straight on and guesses is never
    behind schedule, and no step is left over to carry the sign's message in the position. Random: ``2 ** -cue_bits``;
    with ``active=True`` ``1 / (2 ** cue_bits + 1)``; with ``auto_advance=False`` computed exactly, close to -1.

    :param active: Whether the agent must go and read the sign.
    :param auto_advance: Whether the corridor walks itself. The original form is False.
    :param corridor: Steps from the start to the junction: a number, or an inclusive range ``(low, high)`` to draw
        from in every episode.
    :param cue_bits: Bits on the sign, 1 to 8; the original form has 1.
    :param render_mode: None or ``"rgb_array"``.
    :raises ValueError: If an argument is out of bounds, or ``cue_bits`` is not 1 with ``auto_advance=False``.
    """

    tags: ClassVar[tuple[str, ...]] = ("object",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"corridor": 20},
        "interpolate": {"corridor": (5, 20)},
        "extrapolate": {"corridor": (40, 200)},
    }

    def __init__(
        self,
        *,
        active: bool = False,
        auto_advance: bool = True,
        corridor: Span = 20,
        cue_bits: int = 1,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode=render_mode)
        self.active = check_flag("active", active)
        self.auto_advance = check_flag("auto_advance", auto_advance)
        self.corridor = check_span("corridor", corridor, 1)
        self.cue_bits = check_integer("cue_bits", cue_bits, 1, MAX_CUE_BITS)
        if self.cue_bits > 1 and not self.auto_advance:
            raise ValueError(
                f"cue_bits={cue_bits!r} does not fit the original T-maze, which has two arms: pass cue_bits=1 or "
                "auto_advance=True."
            )
        self.n_arms = 1 << self.cue_bits
        self.n_actions = self.n_arms + self.active if self.auto_advance else 4
        self.action_space = spaces.Discrete(self.n_actions)
        self.observation_space = spaces.Box(-1.0, 1.0, (len(PLACES) + self.cue_bits,), np.float32)

        self.draws = 2

        self._views = np.eye(len(PLACES), len(PLACES) + self.cue_bits, dtype=np.float32)
        places, powers = len(PLACES), 2 ** np.arange(self.cue_bits)[::-1]
        self._signs = np.tile(self._views[START], (self.n_arms, 1))
        self._signs[:, places:] = np.where(np.arange(self.n_arms)[:, None] & powers, 1.0, -1.0)

    @property
    def optimal_return(self) -> float:
        return 1.0

    @property
    def memoryless_return(self) -> float:
        return 1.0 / self.n_arms

    @property
    def random_return(self) -> float:
        if self.auto_advance:
            return 1 / self.n_actions
        low, high = self.corridor
        return float(np.mean([self._random_walk_return(length) for length in range(low, high + 1)]))

    def _random_walk_return(self, length: int) -> float:
        """Follow a uniformly random walk through the original maze: who is in which cell, and in one given arm."""
        cells = np.zeros(length + 1 + self.active)
        cells[int(self.active)] = 1.0
        horizon = length + 1 + 2 * self.active
        arms, penalties = 0.0, 0.0
        for time in range(1, horizon + 1):
            walked = 0.5 * cells
            walked[1:] += 0.25 * cells[:-1]
            walked[:-1] += 0.25 * cells[1:]
            walked[0] += 0.25 * cells[0]
            # At the junction east is a wall and north and south are not; a quarter comes back from each arm.
            walked[-1] += (0.25 - 0.5) * cells[-1] + 0.5 * arms
            arms = 0.75 * arms + 0.25 * float(cells[-1])
            cells = walked
            if time < horizon:
                penalties += float(cells[: time - self.active].sum()) / length
        return arms - penalties

    def oracle(self) -> TMazeOracle:
        return TMazeOracle(self.active, self.auto_advance, self.cue_bits)

    def plan(self, uniforms: NDArray[np.float64]) -> TMazeEpisodes:
        return TMazeEpisodes(within(uniforms[:, 0], self.corridor), below(uniforms[:, 1], self.n_arms))

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        # The plan of one episode; arrays of one number would take several times as long as numbers.
        for_length, for_goal = uniforms.tolist()
        low, high = self.corridor
        self._length = low + int(for_length * (high - low + 1))
        self._goal = int(for_goal * self.n_arms)
        self._horizon = self._length + 1 + self.active * (1 if self.auto_advance else 2)
        self._time = 0
        # Counted in cells east of the sign; in the original form the agent that must read it sets out one cell away.
        self._cell = int(self.active and not self.auto_advance)
        self._junction = self._length + self._cell
        self._arm: int | None = None
        self._sign_seen = not self.active
        self._reading = not self.active
        return self._observe()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, self.n_actions)
        self._time += 1
        self._reading = False
        if self.auto_advance:
            self._walk_itself(action)
        else:
            self._move(action)
        if self._time < self._horizon:
            late = not self.auto_advance and self._cell < self._time - self.active
            return self._observe(), -1 / self._length if late else 0.0, False, False, {}
        self._playing = False
        success = self._arm == self._goal
        return self._observe(), float(success), True, False, {"is_success": success}

    def _walk_itself(self, action: int) -> None:
        if self._cell == self._junction:
            self._arm = action
        elif self._time == 1 and self.active:
            self._reading = action == self.n_arms
        else:
            self._cell += 1

    def _move(self, action: int) -> None:
        if self._arm is not None:
            if action == (NORTH, SOUTH)[self._arm]:
                self._arm = None
        elif action == EAST:
            self._cell = min(self._cell + 1, self._junction)
        elif action == WEST:
            self._cell = max(self._cell - 1, 0)
        elif self._cell == self._junction:
            self._arm = int(action == NORTH)
        if self._cell == 0 and not self._sign_seen:
            self._reading = self._sign_seen = True

    def action_masks(self) -> Masks:
        """Return which actions do something, ``(n_actions,)``: moves that no wall stops, otherwise all."""
        self._check_begun("action_masks")
        valid = np.ones(self.n_actions, np.bool_)
        if self.auto_advance:
            return valid
        if self._arm is not None:
            valid[:] = False
            valid[(NORTH, SOUTH)[self._arm]] = True
            return valid
        at_junction = self._cell == self._junction
        valid[EAST], valid[[NORTH, SOUTH]], valid[WEST] = not at_junction, at_junction, self._cell > 0
        return valid

    def _observe(self) -> Observation:
        view: Observation = self._signs[self._goal] if self._reading else self._views[self._place]
        return view.copy()

    @property
    def _place(self) -> int:
        if self._arm is not None:
            return ARM
        if self._cell == self._junction:
            return JUNCTION
        return CORRIDOR if self._cell else START

    def _frame(self) -> Frame:
        return draw(
            Scene(
                n_arms=self.n_arms,
                cell=self._cell,
                junction=self._junction,
                sign=self._goal if self._reading else None,
                arm=self._arm,
                goal=None if self._playing else self._goal,
                time=self._time,
                horizon=self._horizon,
            )
        )


class TMazeOracle:
    """Reads the sign when it is seen, walks to the junction and takes the arm that the sign named.

    :param active: Whether the sign must be gone to and read.
    :param auto_advance: Whether the corridor walks itself.
    :param cue_bits: Bits on the sign.
    """

    def __init__(self, active: bool, auto_advance: bool, cue_bits: int) -> None:
        self.powers = 2 ** np.arange(cue_bits)[::-1]
        self.auto_advance = auto_advance
        self.read_action = (2**cue_bits if auto_advance else WEST) if active else None
        self.reset()

    def reset(self) -> None:
        self.arm: int | None = None

    def act(self, observation: Observation) -> int:
        sign = observation[len(PLACES) :]
        if sign.any():
            self.arm = int(self.powers[sign > 0].sum())
        elif self.arm is None and self.read_action is not None:
            return self.read_action
        if self.auto_advance:
            return self.arm or 0
        return (SOUTH, NORTH)[self.arm or 0] if observation[JUNCTION] else EAST
