"""Figures: what is drawn, and how it fits into a page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from memory_agents.benchmarks.curves import common_grid, lowest_to_highest, plot_seeds
from memory_agents.benchmarks.report import figures, palette
from memory_agents.benchmarks.report.statistics import Estimate
from memory_agents.benchmarks.report.study import Comparison, read_study
from memory_agents.benchmarks.report.svg import inline_svg, save_picture
from tests.benchmarks.report.runs import finished, sweep


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    sweep(tmp_path)
    return read_study([tmp_path]).comparisons[0]


def bare(comparison: Comparison, name: str = "curve") -> str:
    picture = figures.curve_picture(comparison, comparison.tasks[1], name)
    assert picture is not None
    return inline_svg(picture)


def test_curves_have_bands_of_confidence(comparison: Comparison) -> None:
    picture = figures.curve_picture(comparison, comparison.tasks[1], "curve")
    assert picture is not None
    (axes,) = picture.figure.axes
    line = axes.get_lines()[0]
    # Returns 0.5 + 0.05 step + 0.004 seed, normalised; the middle seed is the mean.
    assert np.asarray(line.get_ydata())[-1] == pytest.approx((0.5 + 0.004) / 0.5)
    band = next(part for part in axes.collections if isinstance(part, PolyCollection))
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert heights.max() <= (0.5 + 0.008) / 0.5 + 1e-9
    assert "CompressiveMemoryPolicy ends at 1.01" in picture.alt
    assert "TMaze-v0" in picture.alt


def test_a_single_point_is_seen() -> None:
    axes = Figure().subplots()
    (line,) = plot_seeds(axes, "a", [([64], [0.5])], None)
    assert isinstance(line, Line2D)
    assert line.get_marker() == "o"
    (line,) = plot_seeds(axes, "a", [([64, 128], [0.5, 1.0])], None)
    assert isinstance(line, Line2D)
    assert line.get_marker() == "None"


def test_a_band_is_what_it_is_asked_to_be() -> None:
    curves = [([1, 2], [0.0, 0.0]), ([1, 2], [1.0, 3.0])]
    for band, top in ((lowest_to_highest, 3.0), (lambda returns: (returns.mean(0), returns.mean(0) + 9), 10.5)):
        axes = Figure().subplots()
        _, area = plot_seeds(axes, "name", curves, None, band)
        assert isinstance(area, PolyCollection)
        assert np.asarray(area.get_paths()[0].vertices)[:, 1].max() == top
    axes = Figure().subplots()
    (line,) = plot_seeds(axes, "name", curves[:1], None, color="red", linestyle="dotted")
    assert axes.get_lines()[0].get_color() == "red"
    assert axes.get_lines()[0] is line


def test_curves_over_all_tasks(comparison: Comparison, tmp_path: Path) -> None:
    picture = figures.efficiency_picture(comparison, "all")
    assert picture is not None
    (axes,) = picture.figure.axes
    first, second = axes.get_lines()
    assert np.asarray(first.get_xdata())[-1] == 1
    # Six runs end at normalised returns of 1, 1, 1.008, 1.008, 1.016, 1.016.
    assert np.asarray(first.get_ydata())[-1] == pytest.approx(1.008)
    assert np.asarray(second.get_ydata())[-1] < 0.1
    finished(tmp_path / "one" / "a", 1.0)
    (alone,) = read_study([tmp_path / "one"]).comparisons
    assert figures.efficiency_picture(alone, "all") is None


def test_no_curve_no_picture(tmp_path: Path) -> None:
    finished(tmp_path / "a", 0.5, curve=[None, None])
    (comparison,) = read_study([tmp_path]).comparisons
    assert figures.curve_picture(comparison, comparison.tasks[0], "curve") is None


def test_intervals_are_drawn_where_they_are() -> None:
    rows = [(0, "wide", Estimate(0.5, 0.2, 0.9)), (1, "no interval " * 12, Estimate(0.3, None, None))]
    picture = figures.interval_picture("Title", "axis", rows, "intervals", guide=0.5)
    (axes,) = picture.figure.axes
    lines = [list(np.asarray(line.get_xdata())) for line in axes.get_lines()]
    assert lines == [[0.2, 0.9], [0.5], [0.3], [0.5, 0.5]]
    assert "wide 0.50 (0.20 to 0.90)" in picture.alt
    assert picture.alt.endswith("no interval  0.30.")


def test_svg_takes_on_the_colors_of_the_page(comparison: Comparison) -> None:
    text = bare(comparison)
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert "Learning curves on TMaze-v0" in root.get("aria-label", "")
    assert set(re.findall(r"#[0-9a-f]{6}\b", text)) <= {"#000000"}
    assert "var(--series-0)" in text
    assert "DejaVu" not in text
    assert "width" not in root.attrib
    assert 'class="s-0"' in text
    assert 'class="s-1"' in text
    # The page has the legend.
    assert "CompressiveMemoryPolicy" not in text.replace(root.get("aria-label", ""), "")


def test_figures_in_one_page_do_not_mix_up_their_names(comparison: Comparison) -> None:
    one, other = bare(comparison, "one"), bare(comparison, "other")
    names = [set(re.findall(r' id="([^"]+)"', text)) for text in (one, other)]
    assert names[0]
    assert names[0].isdisjoint(names[1])
    for text, known in zip((one, other), names, strict=True):
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
        assert used <= known


def test_files_of_a_figure(comparison: Comparison, tmp_path: Path) -> None:
    picture = figures.curve_picture(comparison, comparison.tasks[0], "curve")
    assert picture is not None
    inline_svg(picture)
    png, svg = save_picture(picture, tmp_path)
    with Image.open(png) as image:
        assert image.width == round(figures.WIDTH * 200)
    text = svg.read_text()
    assert "CompressiveMemoryPolicy" in text
    assert "dc:date" not in text
    again = figures.curve_picture(comparison, comparison.tasks[0], "again")
    assert again is not None
    inline_svg(again)
    assert save_picture(again, tmp_path)[1].read_text() == text


@pytest.mark.parametrize("side", [0, 1])
def test_everything_can_be_read(side: int) -> None:
    for name, pair in palette.COLORS.items():
        if name not in ("page", "panel", "rule"):
            for ground in ("page", "panel"):
                assert palette.contrast(pair[side], palette.COLORS[ground][side]) >= 4.5, name


def test_contrast_by_hand() -> None:
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#777777") == 1


def test_agents_look_different() -> None:
    looks = [(palette.series(index), palette.dash(index)) for index in range(30)]
    assert len(set(looks)) == 30


def test_a_run_that_broke_off_does_not_set_the_end() -> None:
    grid, returns = common_grid([([1, 2, 3], [0.0, 0.5, 1.0]), ([4, 8], [0.0, 2.0])])
    assert grid.tolist() == [4, 8]
    assert returns.tolist() == [[1.0, 1.0], [0.0, 2.0]]
