"""Figures as files, and as SVG inside an HTML page, whose colours and fonts they take on."""

from __future__ import annotations

import re
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from memory_agents.benchmarks.report.figures import Picture
from memory_agents.benchmarks.report.palette import COLORS

#: Text stays text, and names inside the file follow from its content, so that equal figures are equal files.
SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "memory_agents"}
DPI = 200


def save_picture(picture: Picture, folder: Path) -> tuple[Path, Path]:
    """
    :param picture: a picture
    :param folder: where to write
    :return: its PNG and its SVG file
    """
    png, svg = folder / f"{picture.name}.png", folder / f"{picture.name}.svg"
    picture.figure.savefig(png, dpi=DPI, facecolor="white", metadata={"Software": None})
    svg.write_text(_svg(picture.figure, "white"))
    return png, svg


def inline_svg(picture: Picture) -> str:
    """
    :param picture: a picture
    :return: an SVG element. Colours of the palette are CSS variables, fonts those of the page; what was marked
        ``series-N`` has the class ``s-N``
    """
    figure, legends, height = picture.figure, list(picture.figure.legends), picture.figure.get_figheight()
    # The page has one legend for all its figures.
    figure.legends.clear()
    figure.set_figheight(picture.bare_height)
    text = _svg(figure, "none")
    figure.legends.extend(legends)
    figure.set_figheight(height)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="series-(\d+)">', r'<g class="s-\1">', text)
    text = _with_own_names(text, picture.name)
    text = re.sub(r"font: (?:\w+ )*?([\d.]+)px [^;\"]+", r"font-size: \1px", text)
    text = re.sub(r" ?font-family: [^;\"]+;?", "", text)
    text = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", text)
    for name, (color, _) in COLORS.items():
        text = text.replace(f"{color};", f"var(--{name});").replace(f'{color}"', f'var(--{name})"')
    # A tenth of a point is less than can be seen.
    text = re.sub(r"(?<=[ \"(])(-?\d+\.\d)\d+(?=[ \",)\n])", r"\1", text)
    text = re.sub(r"\n\s*", "\n", text)
    label = escape(picture.alt, quote=True)
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', text, count=1
    )


def _with_own_names(text: str, prefix: str) -> str:
    """Elements of other figures in the page have the same names otherwise."""
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    names = {name for pair in used for name in pair if name}
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in names else "", text)
    for name in sorted(names):
        text = re.sub(rf'(id="|url\(#|href="#){re.escape(name)}(?=["\)])', rf"\g<1>{prefix}-{name}", text)
    return text.replace("xlink:href", "href")


def _svg(figure: Figure, background: str) -> str:
    buffer = StringIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format="svg", facecolor=background, metadata={"Date": None})
    return buffer.getvalue()
