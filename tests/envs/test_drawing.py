from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from memory_agents.envs.drawing import GLYPHS, INK, OBJECT_COLOURS, PAPER, Canvas, box, disc, polygon, turned
from memory_agents.envs.font import rasterise


def glyph(index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    canvas = Canvas(64, 64)
    canvas.glyph(index, 32, 32, 28, INK)
    return canvas.image().astype(np.float64)


def test_twelve_glyphs_differ_from_each_other() -> None:
    assert len(GLYPHS) == 12
    assert len(set(OBJECT_COLOURS)) == 3
    pictures = [glyph(index) for index in range(12)]
    full = abs(np.subtract(PAPER, INK)).sum() * 64 * 64
    for one, other in combinations(pictures, 2):
        assert abs(one - other).sum() > 0.05 * full


def test_edges_are_smooth() -> None:
    canvas = Canvas(40, 40, (0, 0, 0))
    canvas.fill(disc(1.0), 20.3, 19.9, 12, (255, 255, 255))
    levels = np.unique(canvas.image())
    assert levels[0] == 0
    assert levels[-1] == 255
    assert len(levels) > 10
    assert canvas.image()[..., 0].sum() / 255 == pytest.approx(np.pi * 12**2, rel=0.01)


def test_drawing_over_the_edge_is_cut_off() -> None:
    canvas = Canvas(20, 20)
    canvas.fill(disc(1.0), 0, 20, 8, INK)
    canvas.panel(-5, 5, 30, 9, INK, 3)
    canvas.glyph(1, 19, 0, 6, INK)
    canvas.text("WIDE", -4, 15)
    image = canvas.image()
    assert image.shape == (20, 20, 3)
    assert tuple(image[7, 10]) == INK
    assert tuple(image[0, 19]) == INK


def test_polygon_agrees_with_box() -> None:
    axis = np.linspace(-1, 1, 21) + 0.013
    x, y = axis[None, :], axis[:, None]
    square = polygon([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    np.testing.assert_allclose(square(x, y), box(0.5, 0.5)(x, y), atol=1e-12)
    np.testing.assert_allclose(turned(square, 90)(x, y), square(x, y), atol=1e-12)


def test_text() -> None:
    assert rasterise("A").shape == (7, 5)
    assert rasterise("ab").shape == (7, 11)
    canvas = Canvas(60, 20)
    canvas.text("HI", 30, 3, anchor=0.5)
    columns = (canvas.image() != PAPER).any(axis=(0, 2)).nonzero()[0]
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(29.5, abs=1.5)
