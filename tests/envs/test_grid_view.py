from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.envs.drawing import box
from memory_agents.envs.grid_view import (
    EAST,
    MOVES,
    NORTH,
    REACH,
    SIDE,
    SOUTH,
    TILE,
    WEST,
    GridView,
    draw_tile,
    towards,
)

FEATURES = np.array([[0, 0], [1, 0], [1, 1]], np.float32)
TILES = np.stack([draw_tile((10 * code, 20, 30), (box(0.5, 0.9), (200, 0, 90 * code))) for code in range(3)])


@pytest.mark.parametrize("observation", ["symbolic", "image"])
@given(st.integers(0, 2**31), st.integers(0, 4), st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_what_is_looked_at_can_be_read(observation: str, seed: int, row: int, column: int) -> None:
    world = np.random.default_rng(seed).integers(3, size=(5 + 2 * REACH, 7 + 2 * REACH))
    view = GridView(FEATURES, TILES, observation)
    seen = view.look(world, row, column)
    assert view.space.contains(seen)
    np.testing.assert_array_equal(view.read(seen), world[row : row + SIDE, column : column + SIDE])


def test_cells_stand_row_by_row_with_north_first() -> None:
    world = np.zeros((SIDE, SIDE), np.intp)
    world[0, 3], world[4, 1] = 1, 2
    symbols = GridView(FEATURES, TILES, "symbolic").look(world, 0, 0)
    assert np.flatnonzero(symbols).tolist() == [2 * 3, 2 * 21, 2 * 21 + 1]
    picture = GridView(FEATURES, TILES, "image").look(world, 0, 0)
    assert picture.shape == (40, 40, 3)
    np.testing.assert_array_equal(picture[:TILE, 3 * TILE : 4 * TILE], TILES[1])
    np.testing.assert_array_equal(picture[4 * TILE :, TILE : 2 * TILE], TILES[2])
    np.testing.assert_array_equal(picture[TILE : 2 * TILE, :TILE], TILES[0])


def test_a_tile_has_its_shape_in_the_middle() -> None:
    tile = draw_tile((0, 0, 0), (box(0.5, 0.5), (255, 0, 0)))
    expected = np.zeros((TILE, TILE))
    expected[2:6, 2:6] = 255
    np.testing.assert_array_equal(tile[..., 0], expected)
    assert not tile[..., 1:].any()


def test_moves_lead_towards_a_cell() -> None:
    assert [towards(-2, 1), towards(1, -2), towards(0, 2), towards(0, -1)] == [NORTH, SOUTH, EAST, WEST]
    for down, right in [(2, 1), (-1, 2), (0, -2)]:
        row, column = MOVES[towards(down, right)]
        assert abs(down - row) + abs(right - column) == abs(down) + abs(right) - 1
