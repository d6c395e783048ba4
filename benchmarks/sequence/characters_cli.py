"""The commands of ``memory-bench sequence`` for character models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch as th
import typer

from memory_agents.benchmarks.arguments import (
    UsageError,
    check_device,
    chosen_device,
    numbers,
    parse_kwargs,
)
from memory_agents.benchmarks.cli_measuring import Threads
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.sequence.characters import AGENTS, DCT_DEFAULTS, PAPER_SIZE, PUBLISHED, CharacterConfig
from memory_agents.benchmarks.sequence.characters_files import load_model
from memory_agents.benchmarks.sequence.characters_report import (
    character_groups,
    character_tables,
    plot_reading,
    plot_validation,
)
from memory_agents.benchmarks.sequence.characters_run import run_characters
from memory_agents.benchmarks.sequence.options import Autocast, Device, Out, Seeds, chosen
from memory_agents.nn import compression_registry
from memory_agents.sequence.randomness import seeded
from memory_agents.sequence.text import decode, encode

TABLE_FILE, CURVES_FILE, READING_PICTURE = "table.md", "curves.png", "reading.png"
#: The memories that are compared unless others are asked for.
COMPARED = ",".join(name for name in AGENTS if name not in ("none", "recent", "narrow"))
#: What ``--compression`` takes for all rows of the Compressive Transformer's table.
ALL_ROWS = "published"

_D = CharacterConfig


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets ``characters``, ``characters-table`` and ``generate``
    """
    app.command("characters")(characters)
    app.command("characters-table")(characters_table)
    app.command("generate")(generate)


def _help(text: str, default: object, paper: str | None = None) -> Any:
    at_paper_size = "" if paper is None else f"; {PAPER_SIZE[paper]} at paper size"
    return typer.Option(help=f"{text} Default: {default}{at_paper_size}.")


def characters(
    out: Out,
    data: Annotated[
        Path | None, typer.Option(help="File to learn from, such as enwik8; default: the standard library's sources.")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Read no more than so many bytes of it.")] = None,
    agents: Annotated[
        list[str], typer.Option(help=f"Memories to be compared, as xl,dct (repeatable): {', '.join(AGENTS)}.")
    ] = [COMPARED],  # noqa: B006
    compression: Annotated[
        list[str],
        typer.Option(
            help="Compression functions, FUNCTION or FUNCTION+LOSS (repeatable), for the compressive agents; "
            f"{ALL_ROWS} for {', '.join(PUBLISHED)}."
        ),
    ] = [_D.compression],  # noqa: B006
    seeds: Seeds = ["0"],  # noqa: B006
    paper_size: Annotated[
        bool, typer.Option("--paper-size", help="Other defaults: the size of the DCT paper's model, for a GPU.")
    ] = False,
    n_layers: Annotated[int | None, _help("Layers.", _D.n_layers, "n_layers")] = None,
    d_model: Annotated[int | None, _help("Width.", _D.d_model, "d_model")] = None,
    n_heads: Annotated[int | None, _help("Attention heads.", _D.n_heads, "n_heads")] = None,
    d_feedforward: Annotated[int | None, _help("Width of the MLPs.", _D.d_feedforward, "d_feedforward")] = None,
    norm: Annotated[str | None, _help("pre or post, where the layer norm is.", _D.norm)] = None,
    dropout: Annotated[float | None, _help("Share of numbers dropped while training.", _D.dropout)] = None,
    segment: Annotated[int | None, _help("Tokens of a segment, n_s.", _D.segment, "segment")] = None,
    memory_length: Annotated[
        int | None, _help("Tokens of recent memory, n_m.", _D.memory_length, "memory_length")
    ] = None,
    compressed_length: Annotated[
        int | None, _help("Compressed slots, n_cm.", _D.compressed_length, "compressed_length")
    ] = None,
    compression_rate: Annotated[
        int | None, _help("Tokens per slot, c.", _D.compression_rate, "compression_rate")
    ] = None,
    batch_size: Annotated[int | None, _help("Readers of the text.", _D.batch_size, "batch_size")] = None,
    pretrain_updates: Annotated[
        int | None, _help("Updates in which everything is kept.", _D.pretrain_updates, "pretrain_updates")
    ] = None,
    cotrain_updates: Annotated[
        int | None, _help("Updates after them, judged.", _D.cotrain_updates, "cotrain_updates")
    ] = None,
    learning_rate: Annotated[float | None, _help("Of Adam at first.", _D.learning_rate, "learning_rate")] = None,
    cotrain_learning_rate: Annotated[
        float | None, _help("Of Adam afterwards.", _D.cotrain_learning_rate, "cotrain_learning_rate")
    ] = None,
    warmup: Annotated[int | None, _help("Updates over which each rises first.", _D.warmup, "warmup")] = None,
    max_grad_norm: Annotated[
        float | None, _help("Bound on the gradient's norm.", _D.max_grad_norm, "max_grad_norm")
    ] = None,
    random_probability: Annotated[
        float | None, _help("With which agent random keeps a block.", _D.random_probability)
    ] = None,
    judger_kwargs: Annotated[
        list[str] | None, typer.Option(help="Options of DCT's judger: key=value (repeatable) or a JSON object.")
    ] = None,
    dct_kwargs: Annotated[
        list[str] | None, typer.Option(help="How it learns, as a=0.9 (repeatable) or a JSON object.")
    ] = None,
    evaluator: Annotated[
        Path | None,
        typer.Option(help="Folder of the finished run that DCT is compared with. Default: its own pre-training."),
    ] = None,
    validate_every: Annotated[
        int | None, _help("Updates between looks at the validation part.", _D.validate_every, "validate_every")
    ] = None,
    validation_bytes: Annotated[
        int | None, _help("How much of it is looked at.", _D.validation_bytes, "validation_bytes")
    ] = None,
    test_lanes: Annotated[
        int | None, _help("Lanes that the validation and the test part are cut into; 1 for one stream.", _D.test_lanes)
    ] = None,
    device: Device = _D.device,
    autocast: Autocast = None,
    threads: Threads = None,
) -> None:
    """Foretell a text character by character: Transformer-XL, compressive memory, its judger (DCT), and controls."""
    given = dict(
        max_bytes=max_bytes, n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_feedforward=d_feedforward,
        norm=norm, dropout=dropout, segment=segment, memory_length=memory_length, compressed_length=compressed_length,
        compression_rate=compression_rate, batch_size=batch_size, pretrain_updates=pretrain_updates,
        cotrain_updates=cotrain_updates, learning_rate=learning_rate, cotrain_learning_rate=cotrain_learning_rate,
        warmup=warmup, max_grad_norm=max_grad_norm, random_probability=random_probability,
        validate_every=validate_every, validation_bytes=validation_bytes, test_lanes=test_lanes, device=device,
        autocast=autocast, data=None if data is None else str(data),
        evaluator=None if evaluator is None else str(evaluator),
    )  # fmt: skip
    settings: dict[str, Any] = dict(PAPER_SIZE) if paper_size else {}
    settings |= {name: value for name, value in given.items() if value is not None}
    settings["judger_kwargs"] = parse_kwargs("--judger-kwargs", judger_kwargs or [])
    defaults = settings.get("dct_kwargs", DCT_DEFAULTS)
    settings["dct_kwargs"] = {**defaults, **parse_kwargs("--dct-kwargs", dct_kwargs or [])}
    functions = [
        row
        for name in chosen("--compression", compression, (*compression_registry, ALL_ROWS))
        for row in (PUBLISHED if name == ALL_ROWS else [name])
    ]
    configs = [
        CharacterConfig.of(agent, {**settings, "compression": function, "seed": seed})
        for seed in numbers("--seeds", seeds, 0)
        for agent in chosen("--agents", agents, AGENTS)
        for function in functions
    ]
    if threads is not None:
        th.set_num_threads(threads)
    # Agents without a compression function have one run, however many of those are asked for.
    run_characters(list({config.name: config for config in configs}.values()), out, typer.echo)
    characters_table([out], out)


def characters_table(
    folders: Annotated[list[Path], typer.Argument(help="Folders with finished runs in or below them.")],
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for {TABLE_FILE}, {CURVES_FILE} and {READING_PICTURE}.")
    ] = None,
) -> None:
    """Show finished character models side by side, compression functions beside what was published."""
    groups = character_groups(folders)
    tables = character_tables(groups)
    typer.echo(tables)
    if out is None:
        return
    make_folder(out)
    write_whole(out / TABLE_FILE, tables + "\n")
    plot_validation(groups, out / CURVES_FILE)
    typer.echo(f"Learning curves: {out / CURVES_FILE}")
    if plot_reading(groups, out / READING_PICTURE):
        typer.echo(f"Reading distance: {out / READING_PICTURE}")


def generate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of characters.")],
    prompt: Annotated[str, typer.Option(help="Text to go on with.")] = "",
    length: Annotated[int, typer.Option(min=1, help="Bytes to add.")] = 500,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 for the likeliest ones, 1 as foretold.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of what is drawn.")] = 0,
    device: Device = "auto",
) -> None:
    """Go on with a text, one character after the other, the memory as far back as it goes."""
    place = chosen_device(check_device(device))
    config, model = load_model(run, place)
    if AGENTS[config.agent].forgets:
        raise UsageError(
            f"{run} is of agent {config.agent!r}, which was trained and tested to forget at every segment, and "
            "would not here; choose a run of another one"
        )
    # Random judges draw as well, from PyTorch's own generator.
    with seeded(seed, place):
        try:
            added = model.generate(encode(prompt).to(place), length, temperature=temperature)
        except ValueError as error:
            raise UsageError(f"--length {length}, --temperature {temperature}: {error}") from error
    typer.echo(prompt + decode(added[0]))
