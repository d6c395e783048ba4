"""Character-model runs as tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.collect import markdown
from memory_agents.benchmarks.config import CONFIG_FILE
from memory_agents.benchmarks.curves import plot_seeds
from memory_agents.benchmarks.labels import in_brackets
from memory_agents.benchmarks.sequence.characters import AGENTS, CONCERNS, PUBLISHED, CharacterConfig
from memory_agents.benchmarks.sequence.characters_files import READING_FILE
from memory_agents.benchmarks.sequence.pictures import save_picture
from memory_agents.benchmarks.sequence.runs import CURVE_FILE, finished_runs, read_column
from memory_agents.benchmarks.tables import number

#: A run's arguments, score and folder.
Run = tuple[CharacterConfig, dict[str, Any], Path]
Group = list[Run]


def character_groups(folders: Iterable[Path]) -> list[Group]:
    """
    :param folders: folders with runs in or below them
    :return: the finished ones in groups that differ in nothing but the seed: by agent, then by compression function
    :raises UsageError: when there is none, one is of another kind, or they are not on the same text
    """
    runs = finished_runs(folders, CharacterConfig)
    texts = {_described(folder)["corpus"]["sha256"]: _text(folder) for _, _, folder in runs}
    if len(texts) > 1:
        raise UsageError(
            f"the runs are on {len(texts)} texts, whose bits per character do not compare: "
            f"{'; '.join(sorted(texts.values()))}; "
            "choose folders with runs on one"
        )
    agents, functions = list(AGENTS), list(PUBLISHED)
    runs.sort(
        key=lambda run: (
            agents.index(run[0].agent),
            functions.index(run[0].compression) if run[0].compression in functions else len(functions),
            run[0].compression,
            run[0].random_probability,
            run[0].seed,
        )
    )
    groups: dict[str, Group] = {}
    for run in runs:
        groups.setdefault(_group(run), []).append(run)
    return list(groups.values())


def _group(run: Run) -> str:
    """Equal for runs of one group: paths do not tell whether text and evaluator are the same."""
    evaluator = _described(run[2]).get("evaluator")
    return json.dumps({**asdict(run[0]), "seed": None, "data": None, "evaluator": evaluator}, sort_keys=True)


def _described(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
    return described


def _text(folder: Path) -> str:
    text = _described(folder)["corpus"]
    return f"{text['name']}, {text['size']:,} bytes, SHA-256 {text['sha256']}"


def character_tables(groups: Sequence[Group]) -> str:
    """
    :param groups: groups of :func:`character_groups`
    :return: what the text is, and in Markdown a table with one row per memory and, where there are other compression
        functions than the convolution, one with a row for each of the plain compressive transformer's, the best first
    """
    memories, functions = _panels(groups)
    parts = [f"Text: {_text(groups[0][0][2])}."]
    if memories:
        parts.append(markdown([MEMORY_HEADINGS, *map(_memory_row, _labels(memories), memories)]))
    if functions:
        functions.sort(key=lambda group: _mean([score["test_bits"] for _, score, _ in group]) or float("inf"))
        parts.append(markdown([COMPRESSION_HEADINGS, *map(_compression_row, _told(functions), functions)]))
    return "\n\n".join(parts)


def _panels(groups: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """Groups whose memories are compared, and those whose compression functions are, if there are others of these."""
    functions = [group for group in groups if group[0][0].agent == "compressive"]
    plain = [group for group in functions if group[0][0].compression == "convolution"]
    memories = [group for group in groups if group in plain or group not in functions]
    return memories, [] if functions == plain else functions


def _labels(groups: Sequence[Group]) -> list[str]:
    """The names of folders but for the seed, and in brackets the settings in which the groups differ."""
    return [group[0][0].name.rpartition("-s")[0] + told for group, told in zip(groups, _told(groups), strict=True)]


def _told(groups: Sequence[Group]) -> list[str]:
    """In brackets the settings in which groups differ, but for those that are in the names."""
    settings = [_settings(group[0]) for group in groups]
    names = [
        name
        for name in dict.fromkeys(name for each in settings for name in each)
        if len({json.dumps(each[name], sort_keys=True) for each in settings if name in each}) > 1
    ]
    return [in_brackets({name: each[name] for name in names if name in each}) for each in settings]


def _settings(run: Run) -> dict[str, Any]:
    """Those that the run's agent has and its name does not tell."""
    config, _, folder = run
    foreign = {name for name, agents in CONCERNS.items() if config.agent not in agents}
    told = {"agent", "compression", "random_probability", "seed", "data"}
    # Paths do not tell which model it was.
    evaluator = (_described(folder).get("evaluator") or "its own")[:8]
    return {
        name: value for name, value in {**asdict(config), "evaluator": evaluator}.items() if name not in foreign | told
    }


#: Bits per character of Chang and Ma 2021 (arXiv 2110.04821) on enwik8, with 8 layers.
PUBLISHED_MEMORIES = {"compressive": 0.978, "dct": 0.963}

MEMORY_HEADINGS = (
    "memory", "seeds", "test bits per character, by seed", "mean", "published (enwik8, 8 layers)",
    "drawn decisions, by seed", "kept, by seed", "kept when drawn, by seed", "reading distance, by seed",
    "parameters", "of the judger", "updates", "characters read", "test lanes", "CPU seconds", "seconds",
)  # fmt: skip
COMPRESSION_HEADINGS = (
    "compression", "loss", "seeds", "test bits per character, by seed", "mean", "published (enwik8)",
    "parameters", "test lanes", "CPU seconds", "seconds",
)  # fmt: skip


def _memory_row(label: str, group: Group) -> tuple[str, ...]:
    config, scores = group[0][0], [score for _, score, _ in group]
    return (
        label,
        *_bits(group),
        number(PUBLISHED_MEMORIES.get(config.agent) if config.compression == "convolution" else None, 3),
        _by_seed(scores, "test_bits_drawn", 4),
        _by_seed(scores, "keep_rate", 2),
        _by_seed(scores, "keep_rate_drawn", 2),
        _by_seed(scores, "reading_distance", 0),
        f"{scores[0]['parameters']:,}",
        f"{scores[0]['judger_parameters']:,}",
        f"{scores[0]['updates']:,}",
        f"{scores[0]['characters_read']:,}",
        *_test_and_time(group),
    )


def _compression_row(told: str, group: Group) -> tuple[str, ...]:
    config, scores = group[0][0], [score for _, score, _ in group]
    function, _, loss = config.compression.partition("+")
    return (
        function + told,
        loss or "-",
        *_bits(group),
        number(PUBLISHED.get(config.compression), 3),
        f"{scores[0]['parameters']:,}",
        *_test_and_time(group),
    )


def _test_and_time(group: Group) -> tuple[str, str, str]:
    """Lanes of the test, and what training took, mean over seeds: CPU time, and time by the clock."""
    times = [number(fmean(score[name] for _, score, _ in group), 0) for name in ("train_cpu_seconds", "train_seconds")]
    return (str(group[0][0].test_lanes), times[0], times[1])


def _bits(group: Group) -> tuple[str, str, str]:
    scores = [score for _, score, _ in group]
    return (
        ", ".join(str(config.seed) for config, _, _ in group),
        _by_seed(scores, "test_bits", 4),
        number(_mean([score["test_bits"] for score in scores]), 4),
    )


def _by_seed(scores: Sequence[dict[str, Any]], name: str, digits: int) -> str:
    if all(score.get(name) is None for score in scores):
        return "-"
    return ", ".join(number(score.get(name), digits) for score in scores)


def _mean(values: Sequence[float | None]) -> float | None:
    """None if a run among them has diverged."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def plot_validation(groups: Sequence[Group], path: Path) -> None:
    """
    Draw bits per character of the validation part over updates, of memories above and, where there are others than the
    convolution, of compression functions below: left the whole run, right the part after pre-training. Means over
    seeds, and bands from the lowest to the highest.

    :param groups: groups of :func:`character_groups`
    :param path: where to write, a PNG file
    """
    drawn = [panel for panel in _panels(groups) if panel]
    figure = Figure(figsize=(12, 4.4 * len(drawn)), layout="constrained")
    for row, panel in zip(figure.subplots(len(drawn), 2, squeeze=False), drawn, strict=True):
        for label, group in zip(_labels(panel), panel, strict=True):
            curves = [_curve(folder) for _, _, folder in group]
            for axes, first in zip(row, (0, group[0][0].pretrain_updates), strict=True):
                plot_seeds(axes, label, [_from(first, curve) for curve in curves], None)
        for axes, title in zip(row, ("the whole run", "after pre-training"), strict=True):
            axes.set(title=title, xlabel="updates", ylabel="validation bits per character")
            axes.legend(fontsize="small")
    save_picture(figure, path, 130)


def _curve(folder: Path) -> tuple[list[int], list[float]]:
    updates = read_column(folder / CURVE_FILE, "update")
    # A run that diverged has no number there.
    bits = [float(value or "nan") for value in read_column(folder / CURVE_FILE, "validation_bits")]
    return [int(value) for value in updates], bits


def _from(first: int, curve: tuple[list[int], list[float]]) -> tuple[list[int], list[float]]:
    begin = sum(update < first for update in curve[0])
    return curve[0][begin:], curve[1][begin:]


def plot_reading(groups: Sequence[Group], path: Path) -> bool:
    """
    Draw how far back judged memories read while they were tested, as in figure 2 of DCT (Chang and Ma 2021, arXiv
    2110.04821): the age of the oldest character still represented, mean over lanes, over the characters read; left
    with the likelier decisions, right with drawn ones.

    :param groups: groups of :func:`character_groups`
    :param path: where to write, a PNG file
    :return: whether there was anything to draw
    """
    judged = [group for group in groups if all((folder / READING_FILE).is_file() for _, _, folder in group)]
    if not judged:
        return False
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    columns = {"likelier decisions": "reading_distance", "drawn decisions": "reading_distance_drawn"}
    for axes, (title, column) in zip(figure.subplots(1, 2, sharey=True), columns.items(), strict=True):
        for label, group in zip(_labels(judged), judged, strict=True):
            curves = [_reading(folder, column) for _, _, folder in group]
            plot_seeds(axes, label, curves, None)
        axes.set(title=title, xlabel="characters read of each lane", yscale="log")
        axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("reading distance, characters")
    save_picture(figure, path, 130)
    return True


def _reading(folder: Path, column: str) -> tuple[list[int], list[float]]:
    tokens = [int(value) for value in read_column(folder / READING_FILE, "token")]
    return tokens, [float(value) for value in read_column(folder / READING_FILE, column)]
