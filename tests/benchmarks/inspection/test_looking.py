"""The commands ``memory-bench play`` and ``memory-bench inspect``, and the inspector in a real browser."""

from __future__ import annotations

import json
import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from memory_agents.benchmarks.animation import Recording, save_mp4
from memory_agents.benchmarks.cli import run
from tests.benchmarks.browser import CHROMIUM, browser
from tests.benchmarks.inspection.agents import JUDGED, SMALL, make_run
from tests.benchmarks.own_envs import write_modules

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "plain", memory_kwargs=SMALL)
    make_run(root / "judged", "MemoryAgents/CueStream-v0", env_kwargs={"length": 40}, memory_kwargs=JUDGED)
    make_run(root / "lstm", policy="MemoryPolicy", memory_class="lstm")
    return root


def content(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="episode">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    told: dict[str, Any] = json.loads(found[1])
    return told


def frames_of(path: Path) -> int:
    with Image.open(path) as image:
        return int(getattr(image, "n_frames", 1))


def test_play(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["play", str(folder / "plain")]) == 0
    told = capsys.readouterr().out
    assert re.search(r"Seed 1000003: (not )?solved after 13 steps, return [01]", told)
    with Image.open(folder / "plain" / "episode.gif") as image:
        # Pictures that do not change are one that stays longer.
        assert getattr(image, "n_frames", 1) <= 14
        assert image.info["duration"] == 250

    options = ["--episodes", "2", "--seed", "7", "--max-steps", "3", "--fps", "10"]
    assert run(["play", str(folder / "plain"), "--out", str(tmp_path / "a" / "b.gif"), *options]) == 0
    told = capsys.readouterr().out
    assert "Seed 7: cut after 3 steps" in told
    assert "Seed 8: cut after 3 steps" in told
    with Image.open(tmp_path / "a" / "b.gif") as image:
        assert image.info["duration"] == 100

    assert run(["play", str(folder / "plain"), "--env-kwargs", "corridor=20", "--out", str(tmp_path / "c.gif")]) == 0
    assert "after 21 steps" in capsys.readouterr().out


def test_drawn_actions_are_others(folder: Path, tmp_path: Path) -> None:
    pages = [tmp_path / name for name in ("likeliest.html", "drawn.html")]
    for page, options in zip(pages, ([], ["--sample"]), strict=True):
        assert run(["inspect", str(folder / "judged"), "--out", str(page), "--seed", "3", *options]) == 0
    likeliest, drawn = map(content, pages)
    assert likeliest["actions"] != drawn["actions"]
    assert "--sample" in pages[1].read_text()


@pytest.mark.skipif(find_spec("imageio_ffmpeg") is None, reason="imageio has no ffmpeg here")
def test_play_as_mp4(tmp_path: Path) -> None:
    frames = [np.full((33, 35, 3), shade, np.uint8) for shade in (0, 120, 240)]
    save_mp4([Recording(frames, True, 4.0)], tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp"


def test_complaints_of_play(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    assert run(["play", str(folder / "plain"), "--out", "a.avi"]) == 2
    assert "let it end in .gif or .mp4" in capsys.readouterr().err
    monkeypatch.setattr("memory_agents.benchmarks.animation.find_spec", lambda name: None)
    assert run(["play", str(folder / "plain"), "--out", "a.mp4"]) == 2
    assert "memory_agents[video]" in capsys.readouterr().err
    (folder / "plain" / "agent.zip").rename(tmp_path / "agent.zip")
    assert run(["play", str(folder / "plain")]) == 2
    assert "no agent.zip" in capsys.readouterr().err
    (tmp_path / "agent.zip").rename(folder / "plain" / "agent.zip")
    assert run(["inspect", str(tmp_path)]) == 2
    assert "is not the configuration of a training run" in capsys.readouterr().err


def test_what_the_inspector_knows(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "plain.html"
    assert run(["inspect", str(folder / "plain"), "--out", str(page), "--seed", "4"]) == 0
    assert "Seed 4" in capsys.readouterr().out
    told = content(page)
    assert told["steps"] == len(told["thoughts"]) == 13
    assert len(told["shown"]) == 14
    assert len(told["pictures"]) == len(set(told["shown"]))
    for step, thought in enumerate(told["thoughts"]):
        assert len(thought["a"]) == 2
        for reading in thought["a"]:
            assert sum(reading["r"]) + sum(weight for _, weight in reading["s"]) == pytest.approx(1000, abs=8)
            # M = 4, c = 2: a slot for every two tokens that have left, two at most.
            assert len(reading["s"]) == min(2, max(0, (step - 4 + 1) // 2))
    text = page.read_text()
    assert "Judger: nobody judges the agent's memory." in re.sub("&#39;", "'", text)
    assert "What the judger decided" not in text
    assert f"memory-bench inspect {folder / 'plain'} --out {page} --seed 4" in text


def test_cores_without_attention(folder: Path, tmp_path: Path) -> None:
    assert run(["inspect", str(folder / "lstm"), "--out", str(tmp_path / "lstm.html"), "--max-steps", "5"]) == 0
    text = (tmp_path / "lstm.html").read_text()
    assert "Attention: the agent has no memory that it attends to" in text
    assert "Where the attention goes" not in text
    assert content(tmp_path / "lstm.html")["steps"] == 5
    assert "--max-steps 5" in text
    assert "MemoryPolicy (memory_class=lstm), PPO" in text


@needs_chromium
@pytest.mark.parametrize("name", ["plain", "judged", "lstm"])
def test_the_inspector_in_a_browser(folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.html"
    assert run(["inspect", str(folder / name), "--out", str(path)]) == 0
    told = content(path)
    (tmp_path / "profile").mkdir()
    with browser(tmp_path / "profile") as page:
        for width, dark in ((1280, False), (390, True)):
            page.open(path, width, dark=dark)
            assert page.complaints() == []
            assert page.requests() == [path.resolve().as_uri()]
            assert page.overflow() <= 0
        now = "document.getElementById('now').textContent"
        assert page.run(now).startswith("step 0 of")
        for key, begins in (
            ("ArrowRight", "step 1 of"), ("ArrowRight", "step 2 of"), ("ArrowLeft", "step 1 of"), ("End", "end, after"),
            ("Home", "step 0 of"),
        ):  # fmt: skip
            page.press(key)
            assert page.run(now).startswith(begins)
        # With the slider itself chosen, a key is one step and not two.
        page.run("document.getElementById('slider').focus()")
        page.press("ArrowRight")
        assert page.run(now).startswith("step 1 of")
        page.run("go(9)")
        shown = page.run("document.getElementById('frame').src")
        assert shown == told["pictures"][told["shown"][9]]
        assert page.run("document.getElementById('frame').naturalWidth") > 50
        chances = page.run("[...document.querySelectorAll('#choices .fill')].map(bar => parseFloat(bar.style.width))")
        assert chances == pytest.approx([100 * chance for chance in told["thoughts"][9]["p"][0]], abs=0.01)
        chosen = page.run("document.querySelector('#choices .chosen').textContent")
        assert chosen == f"{told['actions'][9]} (taken)"
        if name == "lstm":
            assert page.run("document.getElementById('attention')") is None
        else:
            assert page.run("document.querySelectorAll('#attention rect').length") > 2
            before = page.run("document.getElementById('top').textContent")
            page.run("document.getElementById('layer').value = '1'")
            page.run("document.getElementById('layer').dispatchEvent(new Event('change'))")
            assert page.run("document.getElementById('top').textContent") != before
            painted = "document.getElementById('map').getContext('2d').getImageData(0, 0, 24, 24).data.some(x => x)"
            assert page.run(painted) is True
        if name == "judged":
            page.run(f"go({told['blocks'][0]['step']})")
            assert "as long as the slots are not full" in page.run("document.getElementById('decision').textContent")
            judged = next(block for block in told["blocks"] if block["judged"])
            page.run(f"go({judged['step']})")
            decision = page.run("document.getElementById('decision').textContent")
            assert ("kept, which" if judged["keep"] else "discarded, which") in decision
        assert page.complaints() == []


def test_environments_that_draw_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_modules(tmp_path, monkeypatch)
    make_run(tmp_path / "blind", "own_envs:Blind-v0", policy="MlpPolicy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(["inspect", "blind"]) == 0
        assert content(tmp_path / "blind" / "inspector.html")["pictures"] == []
        capfd.readouterr()
        assert run(["play", "blind"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "--env 'own_envs:Blind-v0' draws no pictures: its metadata has render_modes=[] without 'rgb_array'" in line
    assert "memory-bench inspect" in line
    assert not (tmp_path / "blind" / "episode.gif").exists()

    make_run(tmp_path / "modeless", "own_envs:Modeless-v0", policy="MlpPolicy")
    assert run(["inspect", "modeless"]) == 0
    capfd.readouterr()
    assert run(["play", "modeless"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "draws no pictures, as its constructor takes no render_mode; add that, or look at the run with" in line
