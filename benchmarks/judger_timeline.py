"""A picture of what a judged memory did in an episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from memory_agents.common import JudgerRecord, LeavingBlocks, decision_summary

KEPT, DISCARDED, UNJUDGED = "#1f77b4", "#c9c9c9", "#a9d3f2"
RIGHT, WRONG = "#2ca02c", "#d62728"
#: Columns and rows of the heat map at most.
COLUMNS, ROWS = 900, 220
#: The smallest attention that has a colour.
FAINTEST = 1e-3
#: Reading distances this many times those of a queue are drawn in logarithms.
FAR = 5


def draw_timeline(record: JudgerRecord, path: Path, title: str = "") -> None:
    """
    Draw, over the steps of an episode: which blocks were kept and which were discarded, those that matter apart; how
    far back the memory reaches; which moments of the past are still in the slots, and how much they are attended to;
    how much of the attention goes to slots; when answers were asked for, or rewards given.

    :param record: the episode
    :param path: where to write, a PNG file
    :param title: heading
    """
    figure = Figure(figsize=(12, 10), layout="constrained")
    heights = [1.1, 2.2, 4.2, 1.3]
    blocks_axes, reach_axes, map_axes, use_axes = figure.subplots(
        4, 1, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    figure.suptitle("\n".join(filter(None, [title, _subtitle(record)])), fontsize=11)
    _draw_blocks(blocks_axes, record)
    _draw_reading_distance(reach_axes, record)
    _draw_attention(figure, map_axes, record)
    _draw_use(use_axes, record)
    use_axes.set_xlabel("step of the episode")
    use_axes.set_xlim(0, max(1, len(record)))
    use_axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    figure.align_ylabels([blocks_axes, reach_axes, map_axes, use_axes])
    figure.savefig(path, dpi=120)


def _subtitle(record: JudgerRecord) -> str:
    shape, figures = record.shape, decision_summary([record])
    drawn = "likeliest actions and decisions" if record.deterministic else "actions and decisions drawn"
    kept = "no decision" if figures["keep_rate"] is None else f"{figures['keep_rate']:.0%} of judged blocks kept"
    for name, text in (("keep_rate_important", "that matter"), ("keep_rate_other", "of the others")):
        if figures[name] is not None:
            kept += f", {figures[name]:.0%} {'of those ' if 'matter' in text else ''}{text}"
    return (
        f"{shape.memory_length} recent tokens, {shape.compressed_length} slots of {shape.compression_rate} tokens, "
        f"blocks of {shape.block_length}; {drawn}\n{kept}"
    )


def _draw_blocks(axes: Axes, record: JudgerRecord) -> None:
    """A lane for the blocks that matter and one for the others, each block where it left."""
    blocks = record.blocks
    lanes = [("blocks that\nmatter", blocks.important), ("other\nblocks", ~blocks.important)]
    if not record.tells_importance:
        lanes = [("blocks", np.ones_like(blocks.keep))]
    thinnest = len(record) / 600
    for row, (_, lane) in enumerate(lanes[::-1]):
        # What is rare is drawn last, and never thinner than can be seen.
        for color, chosen in _by_fate(blocks):
            here = lane & chosen
            width = max(record.shape.block_length, thinnest if here.sum() < 0.2 * len(here) else 0)
            spans = [(float(step), float(width)) for step in blocks.step[here]]
            axes.broken_barh(spans, (row + 0.08, 0.84), facecolors=color, linewidth=0)
    axes.set_ylim(0, len(lanes))
    axes.set_yticks([row + 0.5 for row in range(len(lanes))], [name for name, _ in lanes[::-1]])
    axes.tick_params(axis="y", length=0)
    axes.set_title("Blocks that leave the recent memory", loc="left", fontsize=10)
    names = {KEPT: "kept by the judge", DISCARDED: "discarded", UNJUDGED: "kept, slots not full yet"}
    axes.legend(
        handles=[Patch(color=color, label=name) for color, name in names.items()],
        loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, frameon=False, borderaxespad=0.2,
    )  # fmt: skip


def _by_fate(blocks: LeavingBlocks) -> list[tuple[str, NDArray[np.bool_]]]:
    kept, discarded = blocks.judged & blocks.keep, blocks.judged & ~blocks.keep
    rare_last = sorted([(DISCARDED, discarded), (KEPT, kept)], key=lambda fate: -int(fate[1].sum()))
    return [(UNJUDGED, ~blocks.judged), *rare_last]


def _draw_reading_distance(axes: Axes, record: JudgerRecord) -> None:
    steps, distance, queue = np.arange(len(record)), record.reading_distance, record.reading_distance_if_all_kept
    axes.fill_between(steps, distance, color=KEPT, alpha=0.15, linewidth=0)
    axes.plot(steps, distance, color=KEPT, linewidth=1.5, label="this memory")
    axes.plot(steps, queue, color="black", linestyle="--", linewidth=1, label="the same, keeping everything")
    axes.plot(steps, steps, color="grey", linestyle=":", linewidth=1, label="the whole episode")
    reach = int(queue.max()) if len(queue) else 0
    if len(record) > FAR * max(1, reach):
        axes.set_yscale("log")
        axes.set_ylim(max(1, record.shape.memory_length // 2), 1.3 * len(record))
    else:
        axes.set_ylim(0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylabel("steps")
    axes.set_title("Reading distance: age of the oldest token still in memory", loc="left", fontsize=10)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, frameon=False, borderaxespad=0.2)


def _draw_attention(figure: Figure, axes: Axes, record: JudgerRecord) -> None:
    n, m = len(record), record.shape.memory_length
    axes.set_title("Attention to compressed slots, by the time that they are of", loc="left", fontsize=10)
    axes.set_ylabel("time of the slot (step)")
    axes.set_ylim(0, max(1, n))
    axes.fill_between([0, n], [-m, n - m], [0, n], color="#fdf1d0", linewidth=0)
    axes.plot([0, n], [0, n], color="#e0b040", linewidth=1)
    handles: list[Patch | Line2D] = [
        Patch(color="#fdf1d0", label="recent memory"),
        Patch(color="#dddddd", label="in a slot, hardly attended to"),
    ]
    if record.slot_attention.shape[1]:
        held, weights = _heat(record)
        area = (0, n, 0, n)
        grey = np.ma.masked_where(~held, np.full(held.shape, 0.12))
        axes.imshow(grey, cmap="Greys", vmin=0, vmax=1, extent=area, origin="lower", aspect="auto", zorder=2)
        image = axes.imshow(
            np.ma.masked_where(weights < FAINTEST, weights), cmap="viridis_r", norm=LogNorm(FAINTEST, 1),
            extent=area, origin="lower", aspect="auto", interpolation="nearest", zorder=3,
        )  # fmt: skip
        bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.025, format=FuncFormatter(lambda x, _: f"{x:g}"))
        bar.set_label("attention, mean over layers")
    if record.important.any():
        when = np.flatnonzero(record.important)
        axes.plot(when, when, linestyle="none", marker="D", markersize=4, color="#ff7f0e", clip_on=False, zorder=4)
        handles.append(
            Line2D([], [], linestyle="none", marker="D", color="#ff7f0e", label="seen: something that matters")
        )
    axes.legend(handles=handles, loc="upper left", fontsize=8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _heat(record: JudgerRecord) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """
    :return: whether a time was in a slot, and the most attention that it had at a step, each (rows, columns)
    """
    steps = len(record)
    rows, columns = min(ROWS, -(-steps // record.shape.compression_rate)), min(COLUMNS, steps)
    column = np.arange(steps) * columns // steps
    attention = record.slot_attention.mean(axis=1)
    within = record.shape.slot_stride * np.arange(record.shape.compression_rate)
    held, weights = np.zeros((rows, columns), np.bool_), np.zeros((rows, columns))
    for step in range(steps):
        filled = record.slot_tokens[step] >= 0
        tokens = record.slot_tokens[step][filled][:, None] + within
        # Every row that a slot's tokens touch, so that no gaps are left between those of neighbours.
        touched = np.zeros((len(tokens), rows), np.bool_)
        np.put_along_axis(touched, tokens.clip(max=steps - 1) * rows // steps, True, axis=1)
        held[:, column[step]] |= touched.any(axis=0)
        sums = attention[step][filled] @ touched
        weights[:, column[step]] = np.maximum(weights[:, column[step]], sums)
    return held, weights


def _draw_use(axes: Axes, record: JudgerRecord) -> None:
    steps = np.arange(len(record))
    share = record.slot_attention.sum(axis=2)
    if share.shape[1]:
        mean = share.mean(axis=1)
        axes.fill_between(steps, mean, step="mid", color=KEPT, alpha=0.35, linewidth=0)
    handles: list[Patch | Line2D] = [Patch(color=KEPT, alpha=0.35, label="attention to slots, of all attention")]
    if record.asked.any():
        marks = [("right answer", RIGHT, record.asked & (record.rewards > 0))]
        marks += [("wrong answer", WRONG, record.asked & (record.rewards <= 0))]
        title = "How much is read from the slots, and the answers asked for"
    else:
        marks = [("reward above 0", RIGHT, record.rewards > 0), ("reward below 0", WRONG, record.rewards < 0)]
        title = "How much is read from the slots, and the rewards"
    for height, (name, color, here) in zip((1.12, 1.3), marks, strict=True):
        axes.plot(
            steps[here] + 0.5, np.full(here.sum(), height), linestyle="none", marker="|", markersize=7, color=color
        )
        handles.append(Line2D([], [], linestyle="none", marker="|", color=color, label=f"{name} ({here.sum()})"))
    axes.set_ylim(0, 1.42)
    axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, frameon=False,
        borderaxespad=0.2,
    )  # fmt: skip
