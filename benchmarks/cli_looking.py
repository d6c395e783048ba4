"""The commands of ``memory-bench`` that look at what runs have left: reports, and episodes of trained agents."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory_agents.benchmarks.arguments import UsageError, check_name, parse_kwargs
from memory_agents.benchmarks.cli_measuring import no_folder
from memory_agents.benchmarks.collect import THRESHOLD
from memory_agents.benchmarks.labels import LABELS
from memory_agents.benchmarks.output import make_folder

if TYPE_CHECKING:
    from memory_agents.benchmarks.inspection.episode import Episode

DEFAULT_TITLE = "Benchmark report"
#: Steps of an episode that a page shows at most, and that an animation shows at most.
PAGE_STEPS, ANIMATION_STEPS = 500, 2_000

RunFolder = Annotated[Path, typer.Argument(help="Folder of a finished run.")]
EnvKwargs = Annotated[
    list[str] | None,
    typer.Option(help="Arguments of the environment that shall be others: key=value (repeatable) or a JSON object."),
]
EpisodeSeed = Annotated[
    int | None, typer.Option(min=0, help="Seed of the episode; default: that of the run's first evaluation episode.")
]
Sample = Annotated[bool, typer.Option("--sample", help="Draw actions and decisions, in place of the likeliest.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line that gets ``report``, ``play`` and ``inspect``
    """
    for command in (report, play, inspect):
        app.command()(command)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders with runs in or below them.")],
    out: Annotated[Path, typer.Option(help="Folder for the report; an earlier one there is replaced.")],
    title: Annotated[str, typer.Option(help="Heading.")] = DEFAULT_TITLE,
    threshold: Annotated[
        float, typer.Option(help="Normalised return of training episodes to which steps and seconds are counted.")
    ] = THRESHOLD,
    label: Annotated[
        str,
        typer.Option(
            help="What agents are called: arguments, those in which they differ; folder, the folders without seeds, "
            "and of a sweep's folders the agents' names."
        ),
    ] = "arguments",
) -> None:
    """Compare finished runs: one HTML page, Markdown, every table as CSV, every figure as PNG and SVG."""
    # Only here: none of it is needed to show the help.
    from memory_agents.benchmarks.report.study import read_study
    from memory_agents.benchmarks.report.write import MARKDOWN_FILE, write_report

    check_name("--label", label, LABELS, f"use {' or '.join(LABELS)}")
    command = _command(
        "report",
        *map(str, runs),
        out=out,
        title=None if title == DEFAULT_TITLE else title,
        threshold=None if threshold == THRESHOLD else f"{threshold:g}",
        label=None if label == "arguments" else label,
    )
    study = read_study(runs, label)
    page = write_report(study, out, title, threshold, command)
    typer.echo(f"{len(study.numbers)} runs, {len(study.problems)} folders left out")
    typer.echo(f"Page: {page}")
    typer.echo(f"Markdown: {out / MARKDOWN_FILE}; tables as CSV and figures as PNG and SVG in folders beside it")


def play(
    run: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Animation to write, .gif or .mp4; default: episode.gif in the run's folder.", callback=no_folder
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes, one after the other.")] = 1,
    seed: EpisodeSeed = None,
    sample: Sample = False,
    env_kwargs: EnvKwargs = None,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps of an episode at most.")] = ANIMATION_STEPS,
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Steps a second; default: what the environment says.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Play episodes with a trained agent and save them as an animation."""
    from memory_agents.benchmarks.agents import make_env
    from memory_agents.benchmarks.animation import DEFAULT_FPS, Recording, check_animation, save_animation
    from memory_agents.benchmarks.inspection.episode import play_episode

    out = out or run / "episode.gif"
    check_animation(out)
    config, agent, first = _agent(run, env_kwargs, device, seed)
    env = make_env(config, render_mode="rgb_array")
    speed = fps or float(env.metadata.get("render_fps", DEFAULT_FPS))
    recordings = []
    for number in range(first, first + episodes):
        episode = play_episode(agent, env, number, deterministic=not sample, max_steps=max_steps)
        recordings.append(Recording(episode.frames, bool(episode.solved), speed))
        typer.echo(f"Seed {number}: {_told(episode)}")
    env.close()
    make_folder(out.parent)
    save_animation(recordings, out)
    typer.echo(f"Animation: {out}")


def inspect(
    run: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Page to write, an HTML file; default: inspector.html in the run's folder.", callback=no_folder
        ),
    ] = None,
    seed: EpisodeSeed = None,
    sample: Sample = False,
    env_kwargs: EnvKwargs = None,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps of the episode at most.")] = PAGE_STEPS,
    device: Device = "auto",
) -> None:
    """Play an episode with a trained agent and show on an HTML page, step by step, what is in its memory."""
    from memory_agents.benchmarks.agents import make_env
    from memory_agents.benchmarks.inspection.episode import first_action, play_episode, with_frames
    from memory_agents.benchmarks.inspection.inspector import write_inspector

    out = out or run / "inspector.html"
    config, agent, first = _agent(run, env_kwargs, device, seed)
    env = with_frames(lambda render_mode: make_env(config, render_mode))
    episode = play_episode(agent, env, first, deterministic=not sample, max_steps=max_steps, think=True)
    env.close()
    make_folder(out.parent)
    command = _command(
        "inspect",
        str(run),
        out=out,
        seed=first,
        sample=sample,
        env_kwargs=env_kwargs,
        max_steps=None if max_steps == PAGE_STEPS else max_steps,
    )
    memory = {} if config.memory_class is None else {"memory_class": config.memory_class}
    write_inspector(
        episode,
        out,
        title=f"Memory inspector: {config.env.rpartition('/')[2]}",
        about=[
            ("environment", config.env + _arguments(config.env_kwargs)),
            ("agent", f"{config.policy}{_arguments({**memory, **config.memory_kwargs})}, {config.algorithm}"),
            ("run", f"{run}, seed {config.seed}"),
            ("episode", f"seed {first}, {'drawn' if sample else 'likeliest'} actions: {_told(episode)}"),
        ],
        first_action=first_action(agent.action_space),
        command=command,
    )
    typer.echo(f"Seed {first}: {_told(episode)}")
    typer.echo(f"Page: {out}")


def _agent(run: Path, env_kwargs: list[str] | None, device: str, seed: int | None) -> tuple[Any, Any, int]:
    """The run's arguments with those changed that were given, its agent, and the seed of the first episode."""
    from memory_agents.benchmarks.config import load_config
    from memory_agents.benchmarks.evaluation import check_spaces, evaluation_seed
    from memory_agents.benchmarks.evaluation_again import AGENT_FILE, trained_agent

    config = load_config(run)
    config = replace(
        config, env_kwargs={**config.env_kwargs, **parse_kwargs("--env-kwargs", env_kwargs or [])}, device=device
    )
    if not (run / AGENT_FILE).is_file():
        raise UsageError(f"{run} has no {AGENT_FILE}, so there is nobody to play; train with memory-bench train")
    agent = trained_agent(run, config)
    check_spaces(agent, config)
    return config, agent, evaluation_seed(config.seed) if seed is None else seed


def _told(episode: Episode) -> str:
    end = "cut" if episode.cut else {True: "solved", False: "not solved", None: "over"}[episode.solved]
    return f"{end} after {len(episode)} steps, return {episode.episode_return:g}"


def _arguments(kwargs: dict[str, Any]) -> str:
    return f" ({', '.join(f'{name}={value}' for name, value in kwargs.items())})" if kwargs else ""


def _command(name: str, *arguments: str, **options: Any) -> str:
    words = ["memory-bench", name, *arguments]
    for option, value in options.items():
        flag = f"--{option.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [word for item in value for word in (flag, item)]
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return shlex.join(words)
