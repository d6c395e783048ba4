from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import ObjectMatchingGrid
from memory_agents.envs.grid_view import EAST, MOVES, NORTH, REACH, SIDE, SOUTH, WEST
from memory_agents.envs.object_matching_grid import FIRST_OBJECT, N_KINDS
from memory_agents.envs.object_matching_grid_map import CASE, PAD, PEDESTAL, PLATE, WALL, Cell, GridMap
from memory_agents.envs.object_matching_grid_returns import expected_visits
from tests.envs.every_draw import EveryDraw
from tests.envs.playing import always, play, play_oracle, returns_of

TO_PAD = [EAST] * 6
ROUND = 12  # Steps of a shortest loop besides the corridor.


def read(env: ObjectMatchingGrid, observation: Any) -> Any:
    return env._view.read(observation)


def objects_seen(env: ObjectMatchingGrid, observation: Any) -> tuple[list[int], list[int]]:
    """The objects in cases and those on pedestals, north first."""
    codes = read(env, observation).ravel()
    in_cases = codes[(codes >= FIRST_OBJECT) & (codes < env._first_pick)] - FIRST_OBJECT
    return in_cases.tolist(), (codes[codes >= env._first_pick] - env._first_pick).tolist()


@given(
    st.fixed_dictionaries(
        {
            "n_shapes": st.integers(2, 12),
            "n_colours": st.integers(1, 3),
            "corridor": st.one_of(st.integers(1, 9), st.tuples(st.integers(1, 3), st.integers(3, 9))),
            "time_limit": st.one_of(st.none(), st.integers(21, 90)),
            "observation": st.sampled_from(["symbolic", "image"]),
            "rule": st.sampled_from(["nonmatch", "match"]),
            "sample": st.sampled_from(["trial", "episode"]),
        }
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=30, deadline=None)
def test_oracle_is_optimal_for_all_arguments(kwargs: dict[str, Any], seed: int) -> None:
    env = ObjectMatchingGrid(**kwargs)
    episode_return, info = play_oracle(env, seed)
    lengths = [loop.length for loop in env._loops]
    pads = choices = time = 0
    for length in lengths:
        pads += time + 6 <= env.time_limit
        time += length + ROUND
        choices += time <= env.time_limit
    assert info == {"choices": choices, "correct_choices": choices, "choice_accuracy": 1.0, "is_success": True}
    assert episode_return == pytest.approx(0.1 * pads + choices)
    if not env.optimum_varies:
        assert episode_return == pytest.approx(env.optimal_return)


def test_a_loop_step_by_step() -> None:
    env = ObjectMatchingGrid(corridor=2, time_limit=15)
    observation, info = env.reset(seed=0)
    assert info == {}
    assert env.observation_space.shape == (SIDE * SIDE * (5 + 4 + 1),)
    assert (read(env, observation)[:, :REACH] == WALL).all()
    rewards, middles, seen = [], [], []
    for _ in range(13):
        observation, reward, terminated, _, info = env.step(EAST)
        assert (terminated, info) == (False, {})
        rewards.append(reward)
        middles.append(int(read(env, observation)[REACH, REACH]))
        seen.append(tuple(map(len, objects_seen(env, observation))))
    assert rewards == [0.0] * 5 + [0.1] + [0.0] * 7
    assert [middles.index(PAD), middles.index(PLATE)] == [5, 12]
    assert seen == [(0, 0)] * 5 + [(1, 0)] + [(0, 0)] * 6 + [(0, 2)]
    loop = env._loop
    side = NORTH if loop.sample_side else SOUTH
    observation, reward, terminated, _, _ = env.step(side)
    assert (reward, terminated) == (1.0, False)
    assert (read(env, observation)[:, :REACH] == WALL).all()
    assert env.step(WEST)[2:] == (
        True,
        False,
        {"choices": 1, "correct_choices": 1, "choice_accuracy": 1.0, "is_success": True},
    )


def test_the_layout_of_symbolic_cells() -> None:
    env = ObjectMatchingGrid(n_shapes=3, n_colours=2, corridor=1)
    env.reset(seed=1)
    for _ in range(6):
        observation = env.step(EAST)[0]
    cells = observation.reshape(SIDE, SIDE, 5 + 3 + 2)
    shape, colour = env._objects[env._loop.sample]
    north_case, south_case = cells[0, REACH], cells[-1, REACH]
    shown, empty = (south_case, north_case) if env._loop.case_side else (north_case, south_case)
    assert empty.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert np.flatnonzero(shown).tolist() == [CASE - PAD, 5 + shape, 5 + 3 + colour]
    assert np.flatnonzero(cells[REACH, REACH]).tolist() == [0]
    assert not cells[REACH, 0].any()
    assert (cells[:, -1] == np.eye(10)[WALL - PAD]).all()
    for _ in range(6):
        observation = env.step(EAST)[0]
    cells = observation.reshape(SIDE, SIDE, 5 + 3 + 2)
    assert cells[REACH, REACH].tolist() == np.eye(10)[PLATE - PAD].tolist()
    things = [env._objects[thing] for thing in (env._loop.sample, env._loop.foil)]
    for cell, (shape, colour) in zip(cells[[1, 3], REACH], things[:: -1 if env._loop.sample_side else 1], strict=True):
        assert np.flatnonzero(cell).tolist() == [PEDESTAL - PAD, 5 + shape, 5 + 3 + colour]


def test_image_and_symbolic_view_show_the_same() -> None:
    kwargs: dict[str, Any] = {"n_shapes": 12, "n_colours": 3, "corridor": (1, 4), "time_limit": 300}
    symbolic, image = ObjectMatchingGrid(**kwargs), ObjectMatchingGrid(**kwargs, observation="image")
    actions = np.random.default_rng(0).choice(4, 300, p=[0.7, 0.1, 0.1, 0.1])
    views = [env.reset(seed=3)[0] for env in (symbolic, image)]
    for action in actions:
        assert (read(symbolic, views[0]) == read(image, views[1])).all()
        (features, *rest), (picture, *same) = symbolic.step(action), image.step(action)
        assert rest == same
        views = [features, picture]
    assert len(image._picks) > 3


@pytest.mark.parametrize("observation", ["symbolic", "image"])
def test_a_cropped_view_is_what_looking_shows_and_no_two_cells_look_alike(observation: str) -> None:
    env = ObjectMatchingGrid(n_shapes=12, n_colours=3, corridor=3, observation=observation)
    for row, column in env._grid.distances(env._grid.start):
        looked = env._view.look(env._world, row, column)
        cropped = env._view.crop(env._painted, row, column)
        assert cropped.dtype == looked.dtype
        np.testing.assert_array_equal(cropped, looked)
        np.testing.assert_array_equal(read(env, looked), env._world[row : row + SIDE, column : column + SIDE])
    codes = np.arange(FIRST_OBJECT + 2 * 36)
    for start in range(0, len(codes), SIDE * SIDE):
        world = np.resize(codes[start : start + SIDE * SIDE], (SIDE, SIDE))
        assert (read(env, env._view.look(world, 0, 0)) == world).all()


@pytest.mark.parametrize("corridor", [1, (1, 3)])
def test_objects_are_seen_only_from_pad_and_plate_and_never_sample_and_choices_together(corridor: Any) -> None:
    env = ObjectMatchingGrid(n_shapes=2, corridor=corridor, time_limit=14_000)
    env.reset(seed=0)
    env.action_space.seed(0)
    places: set[tuple[int, Cell]] = set()
    met: dict[int, int] = defaultdict(int)
    for _ in range(env.time_limit):
        cells = env.step(env.action_space.sample())[0].reshape(SIDE * SIDE, -1)
        holders = cells[cells[:, N_KINDS:].any(axis=1)][:, :N_KINDS].argmax(axis=1) + PAD
        here = env._floor
        assert holders.tolist() == {PAD: [CASE], PLATE: [PEDESTAL, PEDESTAL]}.get(here, [])
        met[here] += 1
        places.add((env._loop.length, env._cell))
    assert met[PAD] > 20
    assert met[PLATE] > 20
    lengths = {length for length, _ in places}
    # Room A without its cases, room B without its pedestals, and the corridor.
    for length in lengths:
        assert len({cell for at, cell in places if at == length}) == 7 * 7 - 2 + 5 * 5 - 2 + length


@pytest.mark.parametrize("action", range(4))
def test_nobody_can_linger_in_sight_of_objects(action: int) -> None:
    env = ObjectMatchingGrid(corridor=4, time_limit=200)
    env.reset(seed=0)
    for _ in range(3):
        for _ in TO_PAD:
            env.step(EAST)
        assert env._cell == env._grid.pad
        env.step(action)
        assert env._cell == env._grid.arrival(4)
        for _ in range(4 + 4):
            env.step(EAST)
        assert env._cell == env._grid.plate
        reward = env.step(action)[1]
        assert reward in ((-1.0, 1.0) if action in (NORTH, SOUTH) else (-1.0,))
        assert env._cell == env._grid.start
    assert len(env._picks) == 3
    assert all((pick.thing is None) == (action in (EAST, WEST)) for pick in env._picks)


@pytest.mark.parametrize("rule", ["nonmatch", "match"])
@pytest.mark.parametrize("sample", ["trial", "episode"])
@pytest.mark.parametrize(("n_shapes", "loops"), [(3, 1), (2, 2)])
def test_what_is_seen_at_the_choice_says_nothing_of_the_correct_side(
    rule: str, sample: str, n_shapes: int, loops: int
) -> None:
    """Go through every draw of an episode; no move from the plate is better than a coin flip, whatever it shows."""
    env = ObjectMatchingGrid(n_shapes=n_shapes, corridor=1, time_limit=loops * 13, rule=rule, sample=sample)
    draws = EveryDraw.given_to(env)
    gains: dict[tuple[bytes, int], float] = defaultdict(float)
    probability = 0.0
    while True:
        observation, _ = env.reset()
        probability += draws.probability
        over = False
        while not over:
            action = EAST
            if env._floor == PLATE:
                sample_side = (NORTH, SOUTH)[env._loop.sample_side]
                action = sample_side if rule == "match" else NORTH + SOUTH - sample_side
                for move in range(4):
                    gains[observation.tobytes(), move] += draws.probability * (1 if move == action else -1)
            observation, reward, over, _, _ = env.step(action)
            assert reward >= 0.0
        if not draws.advance():
            break
    assert probability == pytest.approx(1.0)
    assert len(gains) == 4 * n_shapes * (n_shapes - 1)
    assert all(gain == pytest.approx(0.0) for (_, move), gain in gains.items() if move in (NORTH, SOUTH))
    assert sum(gain for (_, move), gain in gains.items() if move == EAST) == pytest.approx(-loops)


def best_return(env: ObjectMatchingGrid, choice: float) -> float:
    """The most that anyone can have who knows the map, the time and the corridor, when a choice is worth so much."""
    grid, (low, high) = env._grid, env.corridor

    @cache
    def value(length: int, cell: Cell, left: int) -> float:
        if left == 0:
            return 0.0
        if cell == grid.plate:
            return choice + begin(left - 1)
        if cell == grid.pad:
            return value(length, grid.arrival(length), left - 1)
        best = -np.inf
        for action in range(len(MOVES)):
            there = grid.move(cell, action)
            west_of_corridor = there[1] < grid.arrival(length)[1] <= cell[1]
            there = cell if west_of_corridor else there
            best = max(best, 0.1 * (there == grid.pad and there != cell) + value(length, there, left - 1))
        return best

    def begin(left: int) -> float:
        return float(np.mean([value(length, grid.start, left) for length in range(low, high + 1)]))

    for left in range(env.time_limit):  # From the end, so that recursion stays shallow.
        begin(left)
    return begin(env.time_limit)


@pytest.mark.parametrize(
    ("corridor", "time_limit"), [(1, 13), (1, 32), (2, 33), (3, None), ((1, 3), 15), ((1, 2), 40), ((2, 6), 45)]
)
def test_search_finds_nothing_better_than_the_anchors(corridor: Any, time_limit: int | None) -> None:
    """Where objects are out of sight nothing is to be known of them, so without memory a choice is worth 0 at most."""
    env = ObjectMatchingGrid(corridor=corridor, time_limit=time_limit)
    assert best_return(env, 1.0) == pytest.approx(env.optimal_return)
    assert best_return(env, 0.0) == pytest.approx(env.memoryless_return)


def test_a_player_without_memory_reaches_its_anchor() -> None:
    env = ObjectMatchingGrid(n_shapes=2, corridor=(1, 5), time_limit=40)

    def straight_on(observation: Any) -> int:
        middle = observation.reshape(SIDE, SIDE, -1)[REACH, REACH]
        return NORTH if middle[PLATE - PAD] else EAST

    returns = returns_of(env, straight_on, 700)
    assert abs(returns.mean() - env.memoryless_return) < 4 * returns.std() / np.sqrt(len(returns))


@pytest.mark.parametrize(("corridor", "time_limit"), [(1, 60), ((2, 4), 90)])
def test_random_return_is_that_of_a_walk_in_plain_loops(corridor: Any, time_limit: int) -> None:
    env = ObjectMatchingGrid(corridor=corridor, time_limit=time_limit)
    grid, (low, high) = env._grid, env.corridor
    lengths = range(low, high + 1)
    there: dict[tuple[int, Cell], float] = {(length, grid.start): 1 / len(lengths) for length in lengths}
    total = 0.0
    for _ in range(time_limit):
        then: dict[tuple[int, Cell], float] = defaultdict(float)
        for (length, cell), chance in there.items():
            if cell == grid.plate:
                total += chance * (0.25 * 1.0 - 0.75 * 1.0)
                for new in lengths:
                    then[new, grid.start] += chance / len(lengths)
            elif cell == grid.pad:
                then[length, grid.arrival(length)] += chance
            else:
                for action in range(4):
                    target = grid.move(cell, action)
                    if cell == grid.arrival(length) and action == WEST:
                        target = cell
                    total += 0.1 * chance / 4 * (target == grid.pad)
                    then[length, target] += chance / 4
        there = then
    assert env.random_return == pytest.approx(total, rel=1e-9)


def test_expected_visits_of_loops_worked_out_by_hand() -> None:
    certain = np.eye(7)
    # Pads at 1, 4; choices at 3, 6.
    assert expected_visits(certain[1], certain[2]) == pytest.approx((2.0, 2.0))
    # A loop of 2 or 3 steps, its pad at the first: at steps 1, 3 or 4, 5 to 7; choices at 2 or 3, 4 to 6, and 6.
    pads, choices = expected_visits(certain[1], (certain[1] + certain[2]) / 2)
    assert pads == pytest.approx(1 + 1 + (0.25 + 0.5))
    assert choices == pytest.approx(1 + 1 + 0.125)


def test_the_map() -> None:
    grid = GridMap(9)
    assert grid.steps_to_pad == 6
    assert [grid.steps_to_choice(length) for length in (1, 9)] == [7, 15]
    assert grid.move(grid.start, WEST) == grid.start
    assert grid.move(grid.pad, NORTH) == (grid.pad[0] - 1, grid.pad[1])
    for cell in (*grid.cases, *grid.pedestals):
        assert cell not in grid.distances(grid.start).keys() | grid.distances(grid.door).keys()
    assert not grid.distances(grid.start).keys() & grid.distances(grid.door).keys()


def test_corridors_fill_the_range_and_are_closed_behind_the_agent() -> None:
    env = ObjectMatchingGrid(corridor=(1, 4), time_limit=4000)
    observation, _ = env.reset(seed=0)
    oracle, steps, lengths = env.oracle(), 0, []
    over = False
    while not over:
        standing = env._floor
        observation, _, over, _, _ = env.step(oracle.act(observation))
        steps += 1
        if standing == PAD:
            steps = 0
            codes = read(env, observation)
            assert (codes[REACH, :REACH] == WALL).all()
        if env._floor == PLATE:
            lengths.append(steps - 4)
    counts = np.bincount(lengths)
    assert counts.size == 5
    assert counts[0] == 0
    assert counts[1:].min() > 35


@pytest.mark.parametrize(("sample", "kinds"), [("trial", 4), ("episode", 1)])
def test_how_often_a_sample_is_drawn(sample: str, kinds: int) -> None:
    env = ObjectMatchingGrid(sample=sample, corridor=1, time_limit=13 * 40)
    play_oracle(env, seed=0)
    loops = env._loops[:40]
    assert len({loop.sample for loop in loops}) == kinds
    assert all(loop.foil != loop.sample for loop in loops)
    assert len({loop.foil for loop in loops}) == (4 if sample == "trial" else 3)
    assert {(loop.case_side, loop.sample_side) for loop in loops} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_samples_foils_and_sides_are_independent() -> None:
    env = ObjectMatchingGrid(n_shapes=3, corridor=1, time_limit=13)
    draws = EveryDraw.given_to(env)
    counts: dict[tuple[int, ...], float] = defaultdict(float)
    while True:
        env.reset()
        counts[env._loops[0][:4]] += draws.probability
        if not draws.advance():
            break
    assert list(counts.values()) == pytest.approx([1 / 24] * 24)


def test_wrong_choices_are_counted() -> None:
    env = ObjectMatchingGrid(corridor=1, time_limit=13 * 3)
    observation, _ = env.reset(seed=0)
    oracle, over = env.oracle(), False
    while not over:
        action = oracle.act(observation)
        if env._floor == PLATE and len(env._picks) == 1:
            action = NORTH + SOUTH - action
        observation, _, over, _, info = env.step(action)
    assert info == {"choices": 3, "correct_choices": 2, "choice_accuracy": 2 / 3, "is_success": False}


def test_an_episode_without_a_choice() -> None:
    env = ObjectMatchingGrid(time_limit=20)
    assert play(env, always(WEST), seed=0) == (
        0.0,
        {"choices": 0, "correct_choices": 0, "choice_accuracy": 0.0, "is_success": False},
    )


def test_four_loops_fit_unless_told_otherwise() -> None:
    assert ObjectMatchingGrid().time_limit == 4 * (6 + ROUND)
    assert ObjectMatchingGrid(corridor=(2, 20)).time_limit == 4 * (20 + ROUND)
    assert ObjectMatchingGrid().optimal_return == pytest.approx(4.4)
    assert ObjectMatchingGrid().memoryless_return == pytest.approx(0.4)
    assert ObjectMatchingGrid(time_limit=72 + 6).optimal_return == pytest.approx(4.5)
    assert ObjectMatchingGrid(time_limit=72 + 5).optimal_return == pytest.approx(4.4)


@pytest.mark.parametrize(
    ("corridor", "time_limit", "varies"),
    [(6, None, False), ((1, 9), None, True), ((5, 6), 19, False), ((1, 2), 13 + 6, True), ((1, 2), 14 + 6, False)],
)
def test_the_optimum_varies_where_corridors_make_a_difference(
    corridor: Any, time_limit: int | None, varies: bool
) -> None:
    env = ObjectMatchingGrid(corridor=corridor, time_limit=time_limit)
    assert env.optimum_varies is varies
    returns = {round(play_oracle(env, seed)[0], 6) for seed in range(30)}
    assert (len(returns) > 1) == varies


def test_presets_extrapolate_to_longer_corridors_with_time_for_them() -> None:
    train, inside, beyond = (ObjectMatchingGrid(**preset) for preset in ObjectMatchingGrid.presets.values())
    assert inside.corridor[1] <= train.corridor[1]
    assert beyond.corridor[0] >= 2 * train.corridor[1]
    for env in (train, inside, beyond):
        info = play_oracle(env, seed=0)[1]
        assert info["choices"] >= 4
        assert info["is_success"]


def test_frames_tell_moves_choices_and_views_apart() -> None:
    frames = []
    for action in (NORTH, SOUTH, EAST):
        env = ObjectMatchingGrid(corridor=1, render_mode="rgb_array")
        env.reset(seed=0)
        for _ in range(12):
            env.step(EAST)
        env.step(action)
        frames.append(env.render())
    env = ObjectMatchingGrid(corridor=(1, 200), render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(8):
        frames.append(env.render())
        env.step(EAST)
    assert len({frame.tobytes() for frame in frames}) == 11


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_shapes": 13}, "n_shapes=13 is out of bounds: pass an integer from 1 to 12"),
        ({"n_colours": 4}, "n_colours=4 is out of bounds: pass an integer from 1 to 3"),
        ({"n_shapes": 1}, "n_shapes=1 and n_colours=1 make one object, and a choice needs 2: raise"),
        ({"corridor": 0}, "corridor=0 is out of bounds"),
        ({"corridor": (5, 2)}, r"corridor=\(5, 2\) is an empty range"),
        ({"time_limit": 17}, "time_limit=17 is out of bounds: pass an integer of at least 18"),
        ({"time_limit": 24, "corridor": (2, 13)}, "time_limit=24 is out of bounds: pass an integer of at least 25"),
        ({"observation": "pixels"}, "observation='pixels' is unknown: pass one of 'symbolic', 'image'"),
        ({"rule": "same"}, "rule='same' is unknown: pass one of 'nonmatch', 'match'"),
        ({"sample": "never"}, "sample='never' is unknown: pass one of 'trial', 'episode'"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ObjectMatchingGrid(**kwargs)
