from __future__ import annotations

from collections import defaultdict
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs import HiddenGoal
from memory_agents.envs.grid_view import EAST, NORTH, SOUTH, WEST
from memory_agents.envs.hidden_goal import closed_tour, entry_of, neighbours
from tests.envs.every_draw import EveryDraw
from tests.envs.playing import Policy, play, play_oracle, returns_of

# Found for size 8 and horizon 200 by simulated annealing over deterministic policies.
BEST_KNOWN = """
> v v v v v < <
> v v v v v < ^
> > v < < < < ^
> > v < ^ ^ < ^
> > v < < > > ^
> > v < < ^ < <
v < < ^ < > v ^
> > > > > ^ > ^
"""


def expected_return(moves: Any, horizon: int) -> Any:
    """Exact returns of memoryless policies: follow where the agent is, for every goal.

    :param moves: The probability of each next cell from each cell, ``(policies, cells, cells)``.
    """
    n_cells = moves.shape[-1]
    others = (1.0 - np.eye(n_cells)) / (n_cells - 1)
    whereabouts, total = np.broadcast_to(others, moves.shape), np.zeros(len(moves))
    for _ in range(horizon):
        whereabouts = whereabouts @ moves
        hits = np.einsum("pgg->pg", whereabouts)
        total += hits.mean(axis=1)
        whereabouts = whereabouts * (1.0 - np.eye(n_cells)) + hits[:, :, None] * others
    return total


def moves_of(successors: list[int]) -> Any:
    return np.eye(len(successors))[None, successors]


def tour_successors(size: int) -> list[int]:
    tour = closed_tour(size)
    successors = dict(zip(tour, (*tour[1:], tour[0]), strict=True))
    return [successors.get(cell, entry_of(cell, size)) for cell in range(size * size)]


@pytest.mark.parametrize("size", range(2, 13))
def test_the_tour_is_closed_and_takes_single_steps(size: int) -> None:
    tour = closed_tour(size)
    left_out = set(range(size * size)) - set(tour)
    assert len(tour) == len(set(tour)) == size * size - size % 2
    assert left_out == ({size * size - 1} if size % 2 else set())
    for cell, successor in enumerate(tour_successors(size)):
        assert successor in neighbours(size)[cell]
        assert successor != cell


@pytest.mark.parametrize(("size", "horizon"), [(2, 2), (2, 40), (3, 7), (3, 50), (4, 11), (4, 60), (5, 20), (5, 90)])
def test_memoryless_and_random_returns_follow_from_the_chain_of_cells(size: int, horizon: int) -> None:
    env = HiddenGoal(size=size, horizon=horizon)
    assert env.memoryless_return == pytest.approx(expected_return(moves_of(tour_successors(size)), horizon)[0])
    uniform = np.eye(env.n_cells)[neighbours(size)].mean(axis=1)[None]
    assert env.random_return == pytest.approx(expected_return(uniform, horizon)[0])


@pytest.mark.parametrize(("size", "horizon"), [(2, 9), (3, 12), (3, 40)])
def test_no_deterministic_policy_beats_the_tour_on_the_smallest_grids(size: int, horizon: int) -> None:
    """Try all. Walking into a wall is left out: who does so stays there, and any other move could only add hits."""
    options = [sorted(set(cells) - {cell}) for cell, cells in enumerate(neighbours(size).tolist())]
    policies = np.array(list(product(*options)))
    assert len(policies) == {2: 2**4, 3: 2**4 * 3**4 * 4}[size]
    best = max(expected_return(np.eye(size * size)[some], horizon).max() for some in np.array_split(policies, 8))
    assert best == pytest.approx(HiddenGoal(size=size, horizon=horizon).memoryless_return)


def test_no_small_change_improves_the_tour() -> None:
    env = HiddenGoal(size=4, horizon=100)
    tour = tour_successors(4)
    options = neighbours(4)
    changed = []
    for first, second in combinations(range(16), 2):
        for actions in product(range(4), repeat=2):
            policy = tour.copy()
            policy[first], policy[second] = options[first, actions[0]], options[second, actions[1]]
            changed.append(policy)
    returns = expected_return(np.eye(16)[np.unique(changed, axis=0)], env.horizon)
    assert returns.max() == pytest.approx(env.memoryless_return)
    assert np.sort(returns)[-2] < env.memoryless_return


@pytest.mark.parametrize("size", [2, 3, 4])
def test_no_stochastic_policy_of_many_beats_the_tour(size: int) -> None:
    """Near the tour, near other deterministic policies, and far from all."""
    rng = np.random.default_rng(size)
    n_cells = size * size
    to_cells = np.eye(n_cells)[neighbours(size)]
    toward_tour = (neighbours(size) == np.array(tour_successors(size))[:, None]).astype(float)
    logits = rng.normal(size=(600, n_cells, 4)) * rng.choice([0.3, 1.0, 4.0, 20.0], size=(600, 1, 1))
    logits += toward_tour * rng.choice([0.0, 2.0, 6.0, 30.0], size=(600, 1, 1))
    odds = np.exp(logits - logits.max(axis=2, keepdims=True))
    moves = np.einsum("pca,cad->pcd", odds / odds.sum(axis=2, keepdims=True), to_cells)
    returns = expected_return(moves, 40)
    bound = HiddenGoal(size=size, horizon=40).memoryless_return
    assert 0.97 * bound < returns.max() < bound + 1e-9


def test_the_best_policy_known_scores_hardly_above_the_tour() -> None:
    env = HiddenGoal()
    cells = neighbours(8)
    arrows = [cells[cell, ">^<v".index(arrow)] for cell, arrow in enumerate(BEST_KNOWN.split())]
    best_known = expected_return(moves_of(arrows), env.horizon)[0]
    assert best_known == pytest.approx(6.18, abs=0.005)
    assert 0.0 < env.normalized_score(best_known) < 0.01


@pytest.mark.parametrize(("size", "horizon"), [(2, 10), (3, 12), (3, 24)])
def test_the_oracle_is_the_best_player_or_close_to_it(size: int, horizon: int) -> None:
    """Search all ways to look for the goal; once it is known, shortest paths cannot be improved on."""
    n_cells = size * size
    cells = neighbours(size).tolist()
    distances = np.abs(np.subtract.outer(*[np.arange(size)] * 2))
    apart = (distances[:, None, :, None] + distances[None, :, None, :]).reshape(n_cells, n_cells)

    @cache
    def known(goal: int, steps: int) -> float:
        """Expected hits from a random place when the goal is known."""
        return sum(
            1.0 + known(goal, steps - int(apart[goal, start]))
            for start in range(n_cells)
            if start != goal and apart[goal, start] <= steps
        ) / (n_cells - 1)

    @cache
    def searching(cell: int, visited: frozenset[int], steps: int) -> float:
        """The sum over all goals still possible of the expected hits."""
        if not steps:
            return 0.0
        return max(
            searching(to, visited | {to}, steps - 1) + (0.0 if to in visited else 1.0 + known(to, steps - 1))
            for to in set(cells[cell])
        )

    best = sum(searching(start, frozenset({start}), horizon) for start in range(n_cells)) / (n_cells * (n_cells - 1))
    optimal = HiddenGoal(size=size, horizon=horizon).optimal_return
    assert 0.0 <= best / optimal - 1.0 + 1e-12 < (1e-11 if size == 2 else 0.025)


@given(st.integers(2, 7), st.integers(2, 150), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_the_oracle_finds_the_goal_when_it_said_and_then_goes_straight(size: int, horizon: int, seed: int) -> None:
    env = HiddenGoal(size=size, horizon=horizon)
    oracle = env.oracle()
    observation, _ = env.reset(seed=seed)
    start, over, since, found = int(observation.argmax()), False, 0, False
    due = env._search_times(start)[env._goal]
    while not over:
        observation, reward, over, _, _ = env.step(oracle.act(observation))
        since += 1
        if reward:
            assert since == due
            found, since = True, 0
            due = env._distance(int(observation.argmax()), env._goal)
    assert found == (env._search_times(start)[env._goal] <= horizon)


def test_walking_the_tour_earns_the_memoryless_return() -> None:
    env = HiddenGoal(size=4, horizon=30)
    returns = returns_of(env, walk(tour_successors(4), env), 1500)
    assert abs(returns.mean() - env.memoryless_return) < 4 * returns.std() / np.sqrt(len(returns))


def walk(successors: list[int], env: HiddenGoal) -> Policy:
    options = neighbours(env.size).tolist()
    return lambda observation: options[int(observation.argmax())].index(successors[int(observation.argmax())])


def test_moves_and_walls() -> None:
    env = HiddenGoal(size=3, horizon=50)
    for seed in range(100):
        observation, _ = env.reset(seed=seed)
        if env._goal == 8 and env._cell == 0:
            break
    seen = []
    for action in (NORTH, WEST, SOUTH, EAST, EAST, EAST, NORTH, WEST):
        observation, reward, terminated, truncated, info = env.step(action)
        assert observation.sum() == 1.0
        assert (reward, terminated, truncated, info) == (0.0, False, False, {})
        seen.append(int(observation.argmax()))
    assert seen == [0, 0, 3, 4, 5, 5, 2, 1]


def test_the_goal_stays_and_sends_the_agent_anywhere_else() -> None:
    env = HiddenGoal(size=3, horizon=4000)
    oracle = env.oracle()
    observation, _ = env.reset(seed=0)
    goal, places, over = env._goal, [], False
    while not over:
        observation, reward, over, _, info = env.step(oracle.act(observation))
        assert env._goal == goal
        if reward:
            assert reward == 1.0
            places.append(int(observation.argmax()))
    assert info["goals_reached"] == len(places)
    counts = np.bincount(places, minlength=9)
    assert counts[goal] == 0
    expected = len(places) / 8
    assert (np.abs(np.delete(counts, goal) - expected) < 5 * np.sqrt(expected)).all()


def test_goals_and_places_are_uniform_and_independent() -> None:
    """Go through every draw: of four cells one is the goal, and the others are all that one is put into."""
    env = HiddenGoal(size=2, horizon=2)
    draws = EveryDraw.given_to(env)
    chances: dict[tuple[int, ...], float] = defaultdict(float)
    while True:
        cell = int(env.reset()[0].argmax())
        assert cell == env._places[0]
        chances[(env._goal, *env._places)] += draws.probability
        if not draws.advance():
            break
    assert all(goal not in places for goal, *places in chances)
    assert list(chances.values()) == pytest.approx([1 / (4 * 3**3)] * (4 * 3**3))


def test_success_is_half_the_way_to_the_optimum() -> None:
    env = HiddenGoal()
    half = (env.optimal_return + env.memoryless_return) / 2
    outcomes = [play_oracle(env, seed) for seed in range(60)]
    outcomes += [play(env, walk(tour_successors(8), env), seed) for seed in range(20)]
    for episode_return, info in outcomes:
        assert info == {"goals_reached": episode_return, "is_success": episode_return >= half}
    assert {info["is_success"] for _, info in outcomes} == {True, False}


def test_frames_show_that_the_goal_was_reached() -> None:
    frames = []
    for action in range(4):
        env = HiddenGoal(size=2, horizon=5, render_mode="rgb_array")
        env.reset(seed=0)
        env.step(action)
        frames.append((env._hits, env.render()))
    greens = {hits: int((frame == (32, 150, 84)).all(axis=2).sum()) for hits, frame in frames}
    assert greens[1] > greens[0] + 1000


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size": 1}, "size=1 is out of bounds: pass an integer from 2 to 20"),
        ({"size": 21}, "size=21 is out of bounds"),
        ({"size": 4.0}, "size=4.0 is not an integer"),
        ({"horizon": 1}, "horizon=1 is out of bounds: pass an integer of at least 2"),
    ],
)
def test_bad_arguments_say_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HiddenGoal(**kwargs)
