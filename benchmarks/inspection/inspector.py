"""The memory inspector: an episode as one HTML page, step by step."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memory_agents.benchmarks.inspection.episode import Episode, Thought
from memory_agents.benchmarks.report.page import render
from memory_agents.memory.compressive import Reading

#: Frames are scaled down until neither side is longer, in pixels.
LARGEST_FRAME = 420
#: Attention is told in thousandths; less is none.
PRECISION = 1000


def write_inspector(
    episode: Episode,
    path: Path,
    *,
    title: str,
    about: Sequence[tuple[str, str]],
    first_action: Sequence[int],
    command: str,
) -> None:
    """
    Write a page that needs nothing but itself: frames on a slider; at each step the probabilities of the actions, the
    value, what the attention goes to, what a judge decided. What an agent or an environment does not tell is left out,
    and the page says so.

    :param episode: the episode, played with ``think``
    :param path: where to write
    :param title: heading
    :param about: what to say of agent and episode, as pairs of a name and a text
    :param first_action: what the choices of each part of an action are counted from
    :param command: the command that makes this page
    """
    layers = _attentive_layers(episode)
    missing = _missing(episode)
    data = {
        "steps": len(episode),
        **_pictures(episode.frames),
        "actions": episode.actions,
        "firstAction": list(first_action),
        "rewards": episode.rewards,
        "thoughts": [_thought(thought, layers) for thought in episode.thoughts],
        "layers": [
            {
                "name": f"layer {layer + 1}",
                "rate": episode.shapes[layer].compression_rate,
                "stride": episode.shapes[layer].slot_stride,
            }
            for layer in layers
        ],
        "recentLength": max((episode.shapes[layer].memory_length for layer in layers), default=0),
        "blocks": _blocks(episode),
        "important": _important(episode),
    }
    # No "</script>" inside, whatever the data hold.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = render(
        "inspector.html",
        title=title,
        about=about,
        data=text,
        steps=len(episode),
        has_frames=bool(episode.frames),
        layers=data["layers"],
        has_choices=any(thought.probabilities for thought in episode.thoughts),
        has_numbers=any(thought.mean for thought in episode.thoughts),
        has_values=any(thought.value is not None for thought in episode.thoughts),
        has_judge=episode.judged is not None,
        tells_importance=bool(data["important"]),
        missing=missing,
        command=command,
    )
    path.write_text(page, encoding="utf-8")


def _attentive_layers(episode: Episode) -> list[int]:
    """Layers with a memory: one that sees the present step alone has nowhere to look."""
    return [index for index, shape in enumerate(episode.shapes) if shape.memory_length > 0]


def _missing(episode: Episode) -> list[str]:
    found = []
    if not episode.frames:
        found.append("Frames: the environment draws none.")
    if not any(thought.probabilities or thought.mean for thought in episode.thoughts):
        found.append("Probabilities of actions: the agent's policy tells none.")
    if all(thought.value is None for thought in episode.thoughts):
        found.append("Value: the agent has no critic of states, or one that does not tell.")
    if not _attentive_layers(episode):
        found.append("Attention: the agent has no memory that it attends to, or one that does not tell.")
    elif not any(shape.compressed_length for shape in episode.shapes):
        found.append("Compressed slots: the agent's memory has none.")
    if episode.judged is None:
        found.append("Judger: nobody judges the agent's memory.")
    return found


def _pictures(frames: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    """Every picture once, and which of them is seen at which step."""
    known: dict[bytes, int] = {}
    pictures: list[str] = []
    shown: list[int] = []
    for frame in frames:
        key = frame.tobytes()
        if key not in known:
            known[key] = len(pictures)
            pictures.append(_data_uri(frame))
        shown.append(known[key])
    return {"pictures": pictures, "shown": shown}


def _data_uri(frame: NDArray[np.uint8]) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((LARGEST_FRAME, LARGEST_FRAME), Image.Resampling.LANCZOS)
    if image.getcolors() is not None:
        # At most 256 colours: a palette loses nothing and saves two thirds.
        image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _thought(thought: Thought, layers: Sequence[int]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if thought.probabilities is not None:
        told["p"] = [[round(chance, 4) for chance in part] for part in thought.probabilities]
    if thought.mean is not None and thought.std is not None:
        told["mean"], told["std"] = ([round(x, 4) for x in part] for part in (thought.mean, thought.std))
    if thought.value is not None:
        told["v"] = round(thought.value, 4)
    if layers:
        told["a"] = [_reading(thought.readings[layer]) for layer in layers]
    return told


def _reading(reading: Reading) -> dict[str, Any]:
    """Weights of the recent memory by distance, and of each slot that is filled its first token and its weight."""
    recent = (reading.recent[0] * PRECISION).round().int().tolist()
    while recent and recent[-1] == 0:
        recent.pop()
    weights = (reading.slots[0] * PRECISION).round().int().tolist()
    slots = [
        [first, weight] for first, weight in zip(reading.slot_tokens[0].tolist(), weights, strict=True) if first >= 0
    ]
    return {"r": recent, "s": slots}


def _blocks(episode: Episode) -> list[dict[str, Any]]:
    if episode.judged is None:
        return []
    blocks = episode.judged.blocks
    return [
        {
            "step": int(step),
            "first": int(first),
            "last": int(last),
            "keep": bool(keep),
            "judged": bool(judged),
            "chance": round(float(np.exp(log_prob)), 4),
        }
        for step, first, last, keep, judged, log_prob, _ in zip(*blocks, strict=True)
    ]


def _important(episode: Episode) -> list[int]:
    if episode.judged is None or not episode.judged.tells_importance:
        return []
    return [int(step) for step in np.flatnonzero(episode.judged.important)]
