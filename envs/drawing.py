"""Anti-aliased shapes, twelve glyphs and text, in NumPy alone.

A shape is a signed distance function: it maps coordinate arrays to the distance from the outline, negative inside.
Coverage follows from the distance, so edges come out smooth at any size without drawing more pixels than there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memory_agents.envs.font import rasterise

Plane: TypeAlias = NDArray[np.floating[Any]]
Shape: TypeAlias = Callable[[Plane, Plane], Plane]
Colour: TypeAlias = tuple[int, int, int]

PAPER: Colour = (250, 249, 246)
INK: Colour = (52, 58, 70)
FAINT: Colour = (214, 216, 222)
WHITE: Colour = (255, 255, 255)
GOOD: Colour = (32, 150, 84)
BAD: Colour = (208, 52, 60)
ACCENT: Colour = (245, 166, 35)
# Okabe and Ito's blue, vermilion and bluish green, which colour-blind eyes tell apart.
OBJECT_COLOURS: tuple[Colour, ...] = ((0, 114, 178), (213, 94, 0), (0, 158, 115))


def disc(radius: float) -> Shape:
    """A filled circle around the origin."""
    return lambda x, y: np.hypot(x, y) - radius


def ring(radius: float, width: float) -> Shape:
    """A circle around the origin drawn with a pen of the given width."""
    return lambda x, y: np.abs(np.hypot(x, y) - radius) - width / 2


def box(half_width: float, half_height: float, corner: float = 0.0) -> Shape:
    """A filled rectangle around the origin with rounded corners."""

    def distance(x: Plane, y: Plane) -> Plane:
        right, down = np.abs(x) - half_width + corner, np.abs(y) - half_height + corner
        outside = np.hypot(np.maximum(right, 0.0), np.maximum(down, 0.0))
        return outside + np.minimum(np.maximum(right, down), 0.0) - corner

    return distance


def polygon(points: Sequence[tuple[float, float]]) -> Shape:
    """A filled polygon; where it crosses itself, insides follow the even-odd rule."""
    corners = np.asarray(points, np.float64)

    def distance(x: Plane, y: Plane) -> Plane:
        nearest = np.full(np.broadcast(x, y).shape, np.inf)
        inside = np.zeros(nearest.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
            along = np.clip(along, 0.0, 1.0)
            nearest = np.minimum(nearest, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)))
            if ay != by:
                inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
        return np.where(inside, -nearest, nearest)

    return distance


def outline(shape: Shape, width: float) -> Shape:
    """The edge of a shape, drawn with a pen of the given width on its inner side."""
    return lambda x, y: np.abs(shape(x, y) + width / 2) - width / 2


def _crescent(x: Plane, y: Plane) -> Plane:
    distance: Plane = np.maximum(np.hypot(x - 0.12, y) - 0.9, 0.78 - np.hypot(x - 0.55, y))
    return distance


def _star(points: int, outer: float, inner: float) -> list[tuple[float, float]]:
    angles = np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2, inner, outer)
    return list(zip(radii * np.sin(angles), 0.06 - radii * np.cos(angles), strict=True))


def _heart() -> list[tuple[float, float]]:
    t = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return list(zip(0.9 * np.sin(t) ** 3, -0.056 * y - 0.08, strict=True))


def turned(shape: Shape, degrees: float) -> Shape:
    """A shape turned clockwise around the origin."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return lambda x, y: shape(cosine * x + sine * y, cosine * y - sine * x)


ARROW_UP = polygon([(0, -0.9), (0.8, -0.02), (0.32, -0.02), (0.32, 0.85), (-0.32, 0.85), (-0.32, -0.02), (-0.8, -0.02)])
TICK = polygon([(-0.85, 0.1), (-0.55, -0.2), (-0.2, 0.15), (0.55, -0.65), (0.85, -0.35), (-0.2, 0.75)])
CROSS = polygon(
    [
        (-0.26, -0.9),
        (0.26, -0.9),
        (0.26, -0.26),
        (0.9, -0.26),
        (0.9, 0.26),
        (0.26, 0.26),
        (0.26, 0.9),
        (-0.26, 0.9),
        (-0.26, 0.26),
        (-0.9, 0.26),
        (-0.9, -0.26),
        (-0.26, -0.26),
    ]
)
ARROW_RIGHT, ARROW_DOWN, ARROW_LEFT = (turned(ARROW_UP, degrees) for degrees in (90, 180, 270))
SALTIRE = turned(CROSS, 45)

# Glyphs fill the square from -1 to 1; y points down.
GLYPHS: tuple[Shape, ...] = (
    disc(0.86),
    box(0.76, 0.76, 0.06),
    polygon([(0, -0.88), (0.95, 0.74), (-0.95, 0.74)]),
    polygon(_star(5, 1.0, 0.42)),
    CROSS,
    ring(0.68, 0.36),
    polygon(_heart()),
    _crescent,
    polygon([(0, -1), (0.62, 0), (0, 1), (-0.62, 0)]),
    ARROW_UP,
    polygon([(-0.74, -0.9), (0.74, -0.9), (-0.74, 0.9), (0.74, 0.9)]),
    polygon([(0.3, -1), (-0.66, 0.18), (-0.06, 0.18), (-0.3, 1), (0.66, -0.24), (0.06, -0.24)]),
)


@lru_cache(maxsize=256)
def _glyph_coverage(index: int, size: int) -> Plane:
    axis = np.arange(-size, size + 1) / size
    coverage: Plane = np.clip(0.5 - size * GLYPHS[index](axis[None, :], axis[:, None]), 0.0, 1.0)
    return coverage


class Canvas:
    """A picture to draw on. Coordinates are pixels from the upper left corner; later drawing covers earlier.

    :param width: Width in pixels.
    :param height: Height in pixels.
    :param background: The colour it starts with.
    """

    def __init__(self, width: int, height: int, background: Colour = PAPER) -> None:
        self.width, self.height = width, height
        self.pixels = np.empty((height, width, 3), np.float64)
        self.pixels[:] = background

    def fill(self, shape: Shape, x: float, y: float, size: float, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a shape that keeps within ``[-1.1, 1.1]`` of its origin.

        :param shape: The shape.
        :param x: Where its origin goes.
        :param y: Where its origin goes.
        :param size: Pixels per unit of the shape.
        :param colour: The colour.
        :param opacity: How much of the colour to take, from 0 to 1.
        """
        reach = 1.1 * size + 1
        left, right = max(int(x - reach), 0), min(int(x + reach) + 2, self.width)
        top, bottom = max(int(y - reach), 0), min(int(y + reach) + 2, self.height)
        across = (np.arange(left, right)[None, :] + 0.5 - x) / size
        down = (np.arange(top, bottom)[:, None] + 0.5 - y) / size
        coverage = np.clip(0.5 - size * shape(across, down), 0.0, 1.0)
        self._blend(top, left, coverage * opacity, colour)

    def panel(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        corner: float = 0.0,
        *,
        border: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill a rectangle, or draw only its border.

        :param left: Its left edge.
        :param top: Its upper edge.
        :param right: Its right edge.
        :param bottom: Its lower edge.
        :param colour: The colour.
        :param corner: Radius of the corners in pixels.
        :param border: Width of the border in pixels; 0 fills the rectangle.
        :param opacity: How much of the colour to take, from 0 to 1.
        """
        shape = box((right - left) / 2, (bottom - top) / 2, min(corner, (right - left) / 2, (bottom - top) / 2))
        if border:
            shape = outline(shape, border)
        x0, y0 = max(int(left) - 1, 0), max(int(top) - 1, 0)
        x1, y1 = min(int(right) + 2, self.width), min(int(bottom) + 2, self.height)
        across = np.arange(x0, x1)[None, :] + 0.5 - (left + right) / 2
        down = np.arange(y0, y1)[:, None] + 0.5 - (top + bottom) / 2
        self._blend(y0, x0, np.clip(0.5 - shape(across, down), 0.0, 1.0) * opacity, colour)

    def glyph(self, index: int, x: float, y: float, size: float, colour: Colour) -> None:
        """Draw one of the :data:`GLYPHS`.

        :param index: Which one.
        :param x: Its centre.
        :param y: Its centre.
        :param size: Half its width in pixels.
        :param colour: The colour.
        """
        half = round(size)
        self._blend(round(y) - half, round(x) - half, _glyph_coverage(index, half), colour)

    def text(self, words: str, x: float, y: float, colour: Colour = INK, scale: int = 2, anchor: float = 0.0) -> None:
        """Write capital letters.

        :param words: What to write, see :func:`~memory_agents.envs.font.rasterise`.
        :param x: The left edge, the middle or the right edge, as ``anchor`` says.
        :param y: The upper edge.
        :param colour: The colour.
        :param scale: Pixels per dot; letters are 7 dots high.
        :param anchor: 0 for the left edge, 0.5 for the middle, 1 for the right edge.
        """
        dots: NDArray[Any] = np.kron(rasterise(words), np.ones((scale, scale)))
        self._blend(round(y), round(x - anchor * dots.shape[1]), dots, colour)

    def image(self) -> NDArray[np.uint8]:
        """Return the picture, ``(height, width, 3)`` of bytes."""
        return np.rint(self.pixels).astype(np.uint8)

    def _blend(self, top: int, left: int, coverage: NDArray[Any], colour: Colour) -> None:
        """Mix a colour into the pixels from (top, left) on; what reaches beyond the picture is cut off."""
        coverage = coverage[max(-top, 0) :, max(-left, 0) :]
        top, left = max(top, 0), max(left, 0)
        area = self.pixels[top : top + coverage.shape[0], left : left + coverage.shape[1]]
        amount = coverage[: area.shape[0], : area.shape[1], None]
        area += amount * (np.asarray(colour, np.float64) - area)
