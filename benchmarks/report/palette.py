"""Colours of figures and pages, light and dark; each pair reads on its background with a contrast of 4.5 or more."""

from __future__ import annotations

#: Name of a CSS variable: colour on a light page, and colour on a dark page.
COLORS = {
    "page": ("#ffffff", "#14171c"),
    "panel": ("#f5f6f8", "#1c2027"),
    "ink": ("#1d2430", "#e4e7ec"),
    "muted": ("#5a6472", "#a0a9b6"),
    "rule": ("#d5dae1", "#363d48"),
    "accent": ("#1f5fb4", "#7db8f5"),
    "warn": ("#8a4b00", "#f0b35c"),
    "good": ("#1f7040", "#6cc788"),
    "bad": ("#b3261e", "#f58a83"),
    "series-0": ("#1e69b3", "#6db3f3"),
    "series-1": ("#b54a08", "#f5985a"),
    "series-2": ("#26763a", "#6dc788"),
    "series-3": ("#8547b8", "#c39bee"),
    "series-4": ("#bd2530", "#f47c7c"),
    "series-5": ("#126e79", "#5cc8d2"),
    "series-6": ("#ad2f70", "#f08cc0"),
    "series-7": ("#735600", "#d9b44a"),
    "series-8": ("#4757cc", "#9aa8ff"),
    "series-9": ("#55631a", "#b3c463"),
}
N_SERIES = sum(name.startswith("series-") for name in COLORS)
#: More agents than colours differ by their dashes, and so do neighbours for those who tell colours badly.
DASHES = ("solid", "solid", "solid", "dashed", "dashed", "dashed", "dotted", "dotted", "dotted", "dashdot")


def light(name: str) -> str:
    """
    :param name: name of a colour
    :return: the colour on a light page
    """
    return COLORS[name][0]


def series(index: int) -> str:
    """
    :param index: number of an agent
    :return: the name of its colour
    """
    return f"series-{index % N_SERIES}"


def dash(index: int) -> str:
    """
    :param index: number of an agent
    :return: the style of its lines
    """
    return DASHES[(index + 3 * (index // N_SERIES)) % len(DASHES)]


def stylesheet() -> str:
    """
    :return: the colours as CSS variables, dark where the reader's system is dark
    """
    light_rules, dark_rules = ("".join(f"--{name}:{pair[side]};" for name, pair in COLORS.items()) for side in (0, 1))
    return (
        f":root{{color-scheme:light dark;{light_rules}}}\n@media (prefers-color-scheme:dark){{:root{{{dark_rules}}}}}"
    )


def contrast(one: str, other: str) -> float:
    """
    :param one: a colour, #rrggbb
    :param other: another
    :return: contrast ratio by the Web Content Accessibility Guidelines 2, 1 to 21
    """
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(color: str) -> float:
    parts = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
