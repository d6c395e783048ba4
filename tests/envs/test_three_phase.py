"""What holds for both tasks in three phases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import KeyToDoor, VisualMatch
from memory_agents.envs.base import Observation
from memory_agents.envs.grid_view import NORTH, REACH, SOUTH, towards
from memory_agents.envs.three_phase import (
    APPLE,
    APPLE_DRAWS,
    APPLE_PLACES,
    APPLES,
    CHOOSE,
    FIRST_THING,
    SHELF,
    WALL,
    ThreePhase,
)
from memory_agents.envs.three_phase_chances import apples_eaten, chance_to_touch
from tests.envs.every_draw import EveryDraw
from tests.envs.playing import Policy, play, play_oracle

Task = type[VisualMatch] | type[KeyToDoor]
# Where apples may appear, counted from the corner of their room.
ORCHARD = [[(row - 2, column - 2) for row, column in places] for places in APPLE_PLACES.values()]

over_tasks = pytest.mark.parametrize("task", [VisualMatch, KeyToDoor])


def arguments() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "active": st.booleans(),
            "n_colours": st.integers(2, 6),
            "look_steps": st.integers(6, 9),
            "distractor_steps": st.one_of(st.integers(2, 20), st.tuples(st.integers(2, 5), st.integers(5, 9))),
            "choice_steps": st.integers(2, 9),
            "apple_total": st.floats(0.0, 5.0),
            "observation": st.sampled_from(["symbolic", "image"]),
        }
    )


@over_tasks
@given(arguments(), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_oracle_is_optimal_for_all_arguments(task: Task, kwargs: dict[str, Any], seed: int) -> None:
    env = task(**kwargs)
    episode_return, info = play_oracle(env, seed)
    assert episode_return == pytest.approx(env.optimal_return)
    assert (info["is_success"], info["final_reward"]) == (True, 1.0)
    assert info["apples"] == (env._apples_end - env._look_end) // 2


@pytest.mark.parametrize(("task", "active", "steps"), [(VisualMatch, 0, 1), (VisualMatch, 1, 3), (KeyToDoor, 0, 4)])
def test_the_tightest_times_are_enough(task: Task, active: int, steps: int) -> None:
    kwargs: dict[str, Any] = {"active": bool(active), "distractor_steps": 2, "choice_steps": 2, "n_colours": 6}
    env = task(look_steps=steps, **kwargs)
    assert all(play_oracle(env, seed)[0] == 1.0 for seed in range(40))
    with pytest.raises(ValueError, match=rf"look_steps={steps - 1} is out of bounds"):
        task(look_steps=steps - 1, **kwargs)


def begin(env: ThreePhase, colour: int, order: Sequence[int]) -> Observation:
    """Begin an episode with this colour and this order of choices."""
    for seed in range(2000):
        observation, _ = env.reset(seed=seed)
        if (env._colour, env._order) == (colour, list(order)):
            return observation
    raise AssertionError("no such episode")


def reactive(env: ThreePhase) -> Policy:
    """Go to an apple or a key in sight, otherwise north; nothing is remembered."""

    def act(observation: Observation) -> int:
        codes = env._view.read(observation)
        wanted = (codes == APPLE) | (codes >= FIRST_THING) & (codes < env._first_choice)
        if not wanted.any():
            return NORTH
        down, right = (int(offset) - REACH for offset in np.argwhere(wanted)[0])
        return towards(down, right)

    return act


@over_tasks
@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("n_colours", [2, 3])
def test_a_player_without_memory_earns_the_anchor(task: Task, active: bool, n_colours: int) -> None:
    """All episodes of equal chance: each colour with each order."""
    env = task(active=active, n_colours=n_colours, distractor_steps=5, apple_total=0.7)
    returns = []
    for colour, order in product(range(n_colours), permutations(range(n_colours))):
        begin(env, colour, order)
        returns.append(play(env, reactive(env), env.np_random_seed)[0])
    assert np.mean(returns) == pytest.approx(env.memoryless_return)


@over_tasks
@pytest.mark.parametrize("n_colours", [2, 3])
def test_no_way_through_the_last_phase_beats_a_guess(task: Task, n_colours: int) -> None:
    """Without memory the colour makes no difference to what is seen before the end, and so none to what is done.

    Then a way of playing is, for each order of the choices, a row of actions (or a mixture of rows). All are tried, and
    a key is taken whenever that is better.
    """
    env = task(n_colours=n_colours, look_steps=6, distractor_steps=2, choice_steps=3)
    rows = list(product(range(4), repeat=3))
    total = 0.0
    for order in permutations(range(n_colours)):
        successes = np.zeros((n_colours, len(rows)))
        for colour in range(n_colours):
            begin(env, colour, order)
            seed = env.np_random_seed
            for number, row in enumerate(rows):
                walk_to_choice(env, seed, oracle=True)
                successes[colour, number] = finish(env, row)
        total += successes.mean(axis=0).max() / len(list(permutations(range(n_colours))))
    assert total == pytest.approx(env.memoryless_return)


def walk_to_choice(env: ThreePhase, seed: int | None, *, oracle: bool) -> Observation:
    """Play up to the last phase, by the oracle or by going south all the time."""
    player = env.oracle()
    observation, _ = env.reset(seed=seed)
    while env._phase != CHOOSE:
        observation = env.step(player.act(observation) if oracle else SOUTH)[0]
    return observation


def finish(env: ThreePhase, actions: Sequence[int]) -> float:
    for action in actions:
        _, reward, terminated, _, _ = env.step(action)
        if terminated:
            break
    return float(reward)


@over_tasks
@given(st.integers(0, 2**31), st.lists(st.integers(0, 3), min_size=8, max_size=8))
@settings(max_examples=30, deadline=None)
def test_nothing_done_before_is_seen_in_the_last_phase(task: Task, seed: int, actions: list[int]) -> None:
    one, other = task(distractor_steps=7), task(distractor_steps=7)
    first, second = walk_to_choice(one, seed, oracle=True), walk_to_choice(other, seed, oracle=False)
    assert first.tolist() == second.tolist()
    for action in actions:
        (seen, _, over, *_), (also_seen, _, also_over, *_) = one.step(action), other.step(action)
        assert (seen.tolist(), over) == (also_seen.tolist(), also_over)
        if over:
            break


@over_tasks
def test_the_order_of_choices_and_the_colour_are_independent(task: Task) -> None:
    env = task(n_colours=2)
    env.reset(seed=0)
    counts = np.zeros((2, 2))
    for _ in range(2000):
        env.reset()
        counts[env._colour, env._order[0]] += 1
    assert abs(counts - 500).max() < 4 * np.sqrt(2000 * 0.25 * 0.75)


@over_tasks
def test_colour_place_order_and_apples_are_independent_and_alike_likely(task: Task) -> None:
    env = task(n_colours=2, distractor_steps=(2, 3))
    draws = EveryDraw.given_to(env)
    chances: dict[tuple[int, ...], float] = defaultdict(float)
    more = True
    while more:
        drawn = env.plan(env.np_random.random((1, env.draws)))
        kept = (drawn.steps[0], drawn.colour[0], drawn.shelf[0], *drawn.order[0], drawn.apples[0, 1])
        chances[kept] += draws.probability
        more = draws.advance()
    assert list(chances.values()) == pytest.approx([1 / (2 * 2 * 5 * 2 * APPLE_DRAWS)] * (2 * 2 * 5 * 2 * APPLE_DRAWS))


def test_apples_appear_two_steps_away_without_bias() -> None:
    for (row, column), places in APPLE_PLACES.items():
        assert {abs(r - row) + abs(c - column) for r, c in places} == {2}
        assert APPLE_DRAWS % len(places) == 0
        assert len(set(places)) == len(places) >= 3


@over_tasks
def test_nobody_eats_more_apples_than_the_anchors_say(task: Task) -> None:
    env = task(look_steps=6, distractor_steps=5, apple_total=1.0)
    most = 0.0
    for seed, actions in product(range(3), product(range(4), repeat=5)):
        env.reset(seed=seed)
        for _ in range(6):
            env.step(SOUTH)
        most = max(most, sum(env.step(action)[1] for action in actions))
    assert most == pytest.approx(1.0)


@over_tasks
def test_an_eaten_apple_pays_and_another_appears(task: Task) -> None:
    env = task(look_steps=6, distractor_steps=6, apple_total=1.5)
    observation, _ = env.reset(seed=1)
    player, met = env.oracle(), []
    while env._phase != CHOOSE:
        phase = env._phase
        observation, reward, terminated, truncated, info = env.step(player.act(observation))
        assert (terminated, truncated, info) == (False, False, {})
        if phase == APPLES:
            met.append((reward, int((env._view.read(observation) == APPLE).sum())))
    assert met == [(0.0, 1), (0.5, 1), (0.0, 1), (0.5, 1), (0.0, 1), (0.5, 0)]


@over_tasks
def test_phases_follow_the_clock(task: Task) -> None:
    env = task(look_steps=7, distractor_steps=4, choice_steps=3)
    observation, _ = env.reset(seed=0)
    phases, floors = [], []
    for _ in range(13):
        phases.append(env._phase)
        floors.append(int((env._view.read(observation) != WALL).sum()))
        observation, _, terminated, *_ = env.step(SOUTH if env._phase != CHOOSE else NORTH if env._row > 2 else SOUTH)
        assert not terminated
    assert phases == [0] * 7 + [1] * 4 + [2] * 2
    assert floors[7:11] == [9, 9, 9, 9]
    assert env.step(NORTH)[1:4] == (0.0, True, False)


@over_tasks
def test_what_is_met_may_stand_anywhere_on_its_shelf(task: Task) -> None:
    env = task(n_colours=2)
    env.reset(seed=0)
    places = set()
    for _ in range(200):
        env.reset()
        row, column = np.argwhere(env._world >= FIRST_THING)[0] - REACH
        places.add((int(row), int(column)))
    assert places == set(SHELF)


@over_tasks
def test_lengths_fill_the_range(task: Task) -> None:
    env = task(distractor_steps=(3, 5))
    env.reset(seed=0)
    lengths = set()
    for _ in range(100):
        env.reset()
        lengths.add(env._apples_end - env._look_end)
    assert lengths == {3, 4, 5}


@over_tasks
def test_pictures_and_symbols_show_the_same(task: Task) -> None:
    symbols, pictures = task(observation="symbolic"), task(observation="image")
    (seen, _), (picture, _) = symbols.reset(seed=4), pictures.reset(seed=4)
    symbols.action_space.seed(0)
    over = False
    while not over:
        np.testing.assert_array_equal(symbols._view.read(seen), pictures._view.read(picture))
        action = symbols.action_space.sample()
        (seen, _, over, *_), (picture, *_) = symbols.step(action), pictures.step(action)


def test_chances_of_random_walkers() -> None:
    assert chance_to_touch(5, (2, 2), ((0, 2),), 1) == 0.0
    assert chance_to_touch(5, (2, 2), ((0, 2), (2, 0), (2, 4)), 2) == 3 / 16
    # Into the wall and there at the second try: a quarter of a quarter more.
    assert chance_to_touch(2, (0, 0), ((0, 1),), 1) == 0.25
    assert chance_to_touch(2, (0, 0), ((0, 1),), 2) == 0.25 + 0.5 * 0.25
    # The first apple lies in a corner: two ways of sixteen, and at the third step those that met a wall between.
    assert apples_eaten(3, (1, 1), ORCHARD, 3).tolist() == [0.0, 0.0, 1 / 8, 1 / 8 + 1 / 32]


def test_apples_of_random_walkers_by_trying_all_walks() -> None:
    """Every walk of five steps, with the first apple in one corner and the second in each place it may take."""
    env = VisualMatch(look_steps=1, distractor_steps=5)
    eaten = []
    for second, actions in product(range(3), product(range(4), repeat=5)):
        env.reset(seed=0)
        env._apple_draws = [0, second, 0]
        for action in (NORTH, *actions):
            env.step(action)
        eaten.append(env._apples)
    assert set(eaten) == {0, 1, 2}
    assert apples_eaten(3, (1, 1), ORCHARD, 5)[5] == pytest.approx(np.mean(eaten))


@over_tasks
def test_random_returns_of_all_actions_in_turn(task: Task) -> None:
    """The last phase, by trying every row of actions that a random player may take."""
    env = task(n_colours=3, look_steps=6, distractor_steps=2, choice_steps=4)
    begin(env, 1, (0, 1, 2))
    seed, successes = env.np_random_seed, []
    for row in product(range(4), repeat=4):
        walk_to_choice(env, seed, oracle=True)
        successes.append(finish(env, row))
    assert env.random_return == pytest.approx(np.mean(successes) * env._chance_of_key())


@over_tasks
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"active": 1}, "active=1 is not a boolean"),
        ({"n_colours": 1}, "n_colours=1 is out of bounds: pass an integer from 2 to 6"),
        ({"n_colours": 7}, "n_colours=7 is out of bounds"),
        ({"look_steps": 0}, "look_steps=0 is out of bounds"),
        ({"distractor_steps": 1}, "distractor_steps=1 is out of bounds: pass an integer of at least 2"),
        ({"distractor_steps": (9, 3)}, r"distractor_steps=\(9, 3\) is an empty range"),
        ({"choice_steps": 1}, "choice_steps=1 is out of bounds: pass an integer of at least 2"),
        ({"apple_total": -1.0}, "apple_total=-1.0 is no reward: pass a finite number of at least 0"),
        ({"apple_total": True}, "apple_total=True is no reward: pass a finite number of at least 0"),
        ({"apple_total": float("nan")}, "apple_total=nan is no reward"),
        ({"apple_total": "much"}, "apple_total='much' is no reward"),
        ({"observation": "sound"}, "observation='sound' is unknown: pass one of 'symbolic', 'image'"),
    ],
)
def test_bad_arguments_say_the_mend(task: Task, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**kwargs)


@over_tasks
@pytest.mark.parametrize("total", [2, np.int64(2), np.float32(2)])
def test_apples_take_numbers_of_any_kind(task: Task, total: Any) -> None:
    assert type(task(apple_total=total).apple_total) is float
    assert task(apple_total=total).optimal_return == 3.0
