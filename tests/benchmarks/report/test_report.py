"""The command ``memory-bench report``: its files, and its page in a real browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from memory_agents.benchmarks.cli import run
from tests.benchmarks.browser import CHROMIUM, browser
from tests.benchmarks.report.runs import begun, finished, sweep

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of twelve runs in two agents, of one run with an awkward name, and of one that did not end."""
    folder = tmp_path_factory.mktemp("report")
    sweep(folder / "runs")
    begun(folder / "runs" / "running", 7)
    awkward = {"sign": "<script>alert(1)</script>" + "long" * 30}
    finished(folder / "runs" / "odd & <one>", 0.5, env="MemoryAgents/Copy-v0", env_kwargs=awkward)
    assert run(["report", str(folder / "runs"), "--out", str(folder / "out")]) == 0
    return folder / "out"


class Links(HTMLParser):
    """Where a page's links lead, and what can be led to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.names.add(found.get("id") or "")
        if tag == "a" and found.get("href"):
            self.targets.append(found["href"] or "")


def test_files(report: Path) -> None:
    assert {path.name for path in report.iterdir()} == {"index.html", "report.md", "figures", "tables"}
    figures = {path.name for path in (report / "figures").iterdir()}
    for name in ("final", "improvement", "training", "curve-1", "curve-2"):
        assert {f"comparison-1-{name}.png", f"comparison-1-{name}.svg"} <= figures
    tables = {path.stem for path in (report / "tables").iterdir()}
    names = ("aggregates", "improvement", "scores", "steps-to-threshold", "cost")
    assert {"runs", *(f"comparison-1-{name}" for name in names)} <= tables


def test_every_link_leads_somewhere(report: Path) -> None:
    links = Links()
    links.feed((report / "index.html").read_text())
    assert {"run-1", "run-13"} <= links.names
    for target in links.targets:
        if target.startswith("#"):
            assert target[1:] in links.names, target
        else:
            assert (report / unquote(target)).exists(), target
    raw = [target for target in links.targets if target.endswith("evaluation.json")]
    assert len(raw) == 13


def test_every_picture_of_the_markdown_is_there(report: Path) -> None:
    text = (report / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) >= 6
    assert all((report / picture).is_file() for picture in pictures)
    assert "| CompressiveMemoryPolicy | 0.97 [0.96, 0.98]" in text
    assert "not finished: no evaluation.json" in text
    links = re.findall(r"(?<!!)\[[^]]*\]\(([^)#]+)\)", text)
    assert all((report / unquote(link)).exists() for link in links)
    assert len(links) > 20
    assert "memory-bench train --env MemoryAgents/TMaze-v0" in text
    assert f"memory-bench report {report.parent / 'runs'} --out {report}" in text


def test_the_page_needs_nothing_else(report: Path) -> None:
    text = (report / "index.html").read_text()
    assert not re.search(r'(?:src|xlink:href)="(?!data:|#)', text)
    assert "@import" not in text
    assert "<script>alert(1)" not in text
    assert len(text) < 1_000_000


def test_equal_runs_give_equal_files(report: Path, tmp_path: Path) -> None:
    (report / "figures" / "comparison-9-final.png").write_text("of an earlier report")
    (report / "figures" / "mine.png").write_text("not of a report")
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert run(["report", str(report.parent / "runs"), "--out", str(report)]) == 0
    after = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert {path.name for path in before.keys() - after.keys()} == {"comparison-9-final.png"}
    (report / "figures" / "mine.png").unlink()
    assert [path.name for path in before if path in after and before[path] != after[path]] == []


def test_options(report: Path, tmp_path: Path) -> None:
    finished(tmp_path / "runs" / "ours-s0", 1.0)
    finished(tmp_path / "runs" / "theirs-s0", 0.5, policy="MlpPolicy")
    options = ["--title", "Our title", "--threshold", "0.25", "--label", "folder"]
    assert run(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), *options]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert text.startswith("# Our title\n")
    assert "### Steps and seconds to 0.25" in text
    assert "| ours | 1.00 |" in text
    assert "--title 'Our title' --threshold 0.25 --label folder" in text
    page = (tmp_path / "out" / "index.html").read_text()
    assert "nothing can be said of how much runs differ" in page


def test_complaints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "no finished run" in capsys.readouterr().err
    assert run(["report", str(tmp_path), "--out", str(tmp_path / "out"), "--label", "seed"]) == 2
    assert "--label 'seed' is unknown" in capsys.readouterr().err


@needs_chromium
def test_the_page_in_a_browser(report: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        for width, dark in ((1280, False), (390, True)):
            page.open(report / "index.html", width, dark=dark)
            assert page.complaints() == []
            assert page.requests() == [(report / "index.html").resolve().as_uri()]
            assert page.overflow() <= 0
            ground = page.run("getComputedStyle(document.documentElement).backgroundColor")
            assert ground == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
        figures = page.run("[...document.querySelectorAll('figure svg')].map(svg => svg.getBoundingClientRect().width)")
        assert len(figures) >= 6
        assert all(200 < width <= 390 for width in figures)
        assert page.run("[...document.querySelectorAll('figure svg')].every(svg => svg.getAttribute('aria-label'))")
        assert page.run(
            "[...document.querySelectorAll('table')].every(table => table.querySelector('thead th[scope]'))"
        )

        seen = "getComputedStyle(document.querySelector('#comparison-1 figure .s-1')).display"
        assert page.run(seen) != "none"
        page.run("document.querySelector('#comparison-1 input[data-agent=\"1\"]').click()")
        assert page.run(seen) == "none"
        assert page.run(seen.replace("s-1", "s-0")) != "none"
        page.run("document.querySelector('#comparison-1 input[data-agent=\"1\"]').click()")
        assert page.run(seen) != "none"

        row = "document.querySelector('#comparison-1 tbody tr details')"
        assert page.run(f"{row}.querySelector('ul').checkVisibility()") is False
        page.run(f"{row}.querySelector('summary').click()")
        assert page.run(f"{row}.querySelector('ul').checkVisibility()") is True
        assert page.overflow() <= 0
        assert page.complaints() == []
