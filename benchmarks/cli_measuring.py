"""The commands of ``memory-bench`` that measure environments and memory cores by themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch as th
import typer

from memory_agents.benchmarks.arguments import UsageError, check_name, parse_kwargs
from memory_agents.benchmarks.config import hardware, versions
from memory_agents.benchmarks.curves import check_picture
from memory_agents.benchmarks.env_ids import check_env
from memory_agents.benchmarks.env_speed import steps_per_second, vectorised_steps_per_second
from memory_agents.benchmarks.episode_cost import episode_cost as measure_episode
from memory_agents.benchmarks.gallery import draw_gallery, environments_with_oracle
from memory_agents.benchmarks.output import check_file, make_folder
from memory_agents.envs import ENVIRONMENTS
from memory_agents.memory import memory_registry


def some_threads(param: typer.CallbackParam, value: int | None) -> int | None:
    """
    Callback of the option below.

    :param param: the option
    :param value: its value
    :return: the value
    :raises UsageError: when it is no number of threads
    """
    if value is not None and value < 1:
        raise UsageError(f"{param.opts[0]} {value} is too small; use 1 or more")
    return value


Threads = Annotated[
    int | None, typer.Option(help="PyTorch's threads; without it, PyTorch's choice.", callback=some_threads)
]


def no_folder(param: typer.CallbackParam, value: Path | None) -> Path | None:
    """
    Callback of options that name a file to be written: before any work is done for it.

    :param param: the option
    :param value: its value
    :return: the value
    :raises UsageError: when it is a folder
    """
    if value is not None:
        check_file(param.opts[0], value)
    return value


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets the commands
    """
    app.command("env-speed")(env_speed)
    app.command("gallery")(gallery)
    app.command("episode-cost")(episode_cost)


def env_speed(
    env: Annotated[
        list[str] | None, typer.Option(help="Environment id (repeatable); default: every one of this library.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a timed block.")] = 50_000,
    repeats: Annotated[int, typer.Option(min=1, help="Timed blocks; the median counts, of copies the fastest.")] = 5,
    n_envs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Compare so many copies, played all at once, with as many in a DummyVecEnv; default: one environment.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the figures, as JSON.", callback=no_folder)] = None,
) -> None:
    """Measure how many steps a second of CPU time environments make, resets included."""
    if n_envs is None:
        single = {name: round(steps_per_second(check_env(name), {}, steps, repeats)) for name in env or ENVIRONMENTS}
        figures: dict[str, Any] = {"steps_per_second": single}
    else:
        figures = {"n_envs": n_envs, "steps_per_second": {}}
        for name in env or [name for name, entry in ENVIRONMENTS.items() if entry.batched is not None]:
            try:
                batched, dummy = vectorised_steps_per_second(check_env(name), {}, n_envs, steps, repeats)
            except ValueError as error:
                raise UsageError(f"--env {name!r}: {error}") from error
            ratio = round(batched / dummy, 1)
            figures["steps_per_second"][name] = {"batched": round(batched), "dummy": round(dummy), "ratio": ratio}
    text = json.dumps({**figures, "versions": versions(), "hardware": hardware()}, indent=2)
    typer.echo(text)
    if out is not None:
        make_folder(out.parent)
        out.write_text(text + "\n")


def gallery(
    out: Annotated[Path, typer.Option(help="Picture to write, a PNG file.", callback=no_folder)] = Path("gallery.png"),
) -> None:
    """Draw beginning, middle and end of an episode of every environment with an oracle."""
    check_picture(out)
    make_folder(out.parent)
    draw_gallery(environments_with_oracle(), out)
    typer.echo(f"Gallery: {out}")


def episode_cost(
    memory_class: Annotated[str, typer.Option(help="Memory core, by its name.")] = "compressive",
    memory_kwargs: Annotated[
        list[str] | None, typer.Option(help="Arguments of the memory core: key=value (repeatable) or a JSON object.")
    ] = None,
    n_envs: Annotated[int, typer.Option(min=1, help="Environments acting at once.")] = 16,
    early: Annotated[int, typer.Option(min=1, help="An early step of the episode.")] = 1_000,
    late: Annotated[int, typer.Option(min=2, help="A late step of the episode.")] = 100_000,
    repeats: Annotated[int, typer.Option(min=1, help="Timed blocks at each of the two.")] = 20,
    threads: Threads = None,
    out: Annotated[Path | None, typer.Option(help="File for the figures, as JSON.", callback=no_folder)] = None,
) -> None:
    """Compare the time and memory of a step late in an episode with one early in it."""
    check_name("--memory-class", memory_class, memory_registry, f"use {', '.join(memory_registry)}")
    if early >= late:
        raise UsageError(f"--early {early} must be smaller than --late {late}; lower --early")
    if threads is not None:
        th.set_num_threads(threads)
    try:
        figures = measure_episode(
            memory_class, parse_kwargs("--memory-kwargs", memory_kwargs or []), n_envs, early, late, repeats
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"--memory-class {memory_class!r} cannot be made: {error}") from error
    text = json.dumps({**figures, "versions": versions(), "hardware": hardware()}, indent=2)
    typer.echo(text)
    if out is not None:
        make_folder(out.parent)
        out.write_text(text + "\n")
