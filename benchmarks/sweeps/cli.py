"""The commands of ``memory-bench`` that run suites."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from memory_agents.benchmarks.arguments import BrokenCodeError, UsageError, check_name, described, numbers, words
from memory_agents.benchmarks.config import SCRIPTED, TrainingConfig
from memory_agents.benchmarks.sweeps.check import check_run, play_and_check
from memory_agents.benchmarks.sweeps.display import Display
from memory_agents.benchmarks.sweeps.engine import Engine
from memory_agents.benchmarks.sweeps.local_engine import LocalEngine
from memory_agents.benchmarks.sweeps.named_agents import ORACLE, RANDOM
from memory_agents.benchmarks.sweeps.plan import Choice, PlannedRun, plan
from memory_agents.benchmarks.sweeps.record import other_code, record_path, save_record, save_table
from memory_agents.benchmarks.sweeps.suite_file import load_suite
from memory_agents.benchmarks.sweeps.sweep import rehearse_all, sweep, unfinished
from memory_agents.benchmarks.tables import make_console, number

ENGINES = ("local", "ray")
#: Exit codes: runs failed, or scores cannot be trusted; stopped before the end, as shells say it of Ctrl-C.
WRONG, STOPPED = 1, 130

SuiteName = Annotated[
    str, typer.Argument(help="Suite; see [bold]memory-bench list --suites[/bold], or the path of one's own .toml file.")
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        help="Agents, as lstm,gru (repeatable); also policies by name, and module:Class. Default: the suite's."
    ),
]
Envs = Annotated[
    list[str] | None, typer.Option(help="Environments of the suite, by their names there (repeatable). Default: all.")
]


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets the commands
    """
    app.command("run")(run_suite)
    app.command("check")(check)


def run_suite(
    suite: SuiteName,
    out: Annotated[Path, typer.Option(help="Folder for the runs; those that it already holds are not repeated.")],
    policies: Names = None,
    envs: Envs = None,
    seeds: Annotated[
        list[str] | None, typer.Option(help="Seeds, as 0,1,2 or 0-4 (repeatable). Default: the suite's.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Environment steps of every run. Default: the suite's.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side. Default: as many as cores.")] = None,
    engine: Annotated[
        str, typer.Option(help="local: processes here; ray: a Ray cluster, or a Ray of this machine.")
    ] = ("local"),
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda. Default: the suite's.")] = None,
) -> None:
    """Train and evaluate all agents of a suite in all its environments; run it again to go on where it stopped."""
    check_name("--engine", engine, ENGINES, f"use {' or '.join(ENGINES)}")
    chosen = Choice(
        _names("--policies", policies),
        _names("--envs", envs),
        None if seeds is None else numbers("--seeds", seeds, 0),
        budget,
        device,
    )
    loaded = load_suite(suite)
    out = out.resolve()
    runs = plan(loaded, out, chosen)
    todo = unfinished(runs)
    rehearse_all(todo)
    kept = [run for run in runs if run not in todo]
    # A Ray is not started for nothing.
    workers = _engine(engine if todo else ENGINES[0], jobs, len(todo))
    try:
        record = record_path(loaded, runs, out)
        save_record(loaded, runs, _command(), record)
        with _stopped_by_sigterm(), Display(make_console(), todo, len(kept)) as display:
            for warning in other_code(kept):
                display.say(f"Note: {warning}")
            result = sweep(todo, workers, display, loaded.checkpoint_freq)
    finally:
        workers.close()
    code = _report(runs, result.failed, record.with_suffix(".md"))
    if result.stopped:
        typer.echo("Stopped. The same command goes on where this stopped.", err=True)
        code = STOPPED
    raise typer.Exit(code)


def check(
    suite: SuiteName,
    envs: Envs = None,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes of each player.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes.")] = 0,
) -> None:
    """Play a suite's environments by their oracles and at random: are the known returns right that scores rest on?"""
    loaded = load_suite(suite)
    runs = plan(loaded, Path(), Choice([ORACLE, RANDOM], _names("--envs", envs), [seed]))
    wrong: list[str] = []
    for run in runs:
        config = TrainingConfig(
            run.config.env,
            run.config.env_kwargs,
            policy=run.config.policy,
            algorithm=SCRIPTED,
            total_timesteps=0,
            eval_episodes=episodes,
            n_envs=1,
            seed=seed,
        )
        try:
            complaints, score = play_and_check(config, run.environment)
        except BrokenCodeError as error:
            complaints, score = [f"{run.environment}: {error}"], None
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            complaints, score = [f"{run.environment}: {described(error)}; mend the environment"], None
        typer.echo(f"{run.environment} {run.agent}: score {number(score)}{'' if not complaints else '  WRONG'}")
        wrong += complaints
    for line in wrong:
        typer.echo(line, err=True)
    raise typer.Exit(WRONG if wrong else 0)


def _report(runs: list[PlannedRun], failed: dict[PlannedRun, str], path: Path) -> int:
    """Print and save the table, print what went wrong; the exit code."""
    missing = unfinished(runs)
    finished = [run for run in runs if run not in missing]
    if finished:
        typer.echo(save_table(finished, path))
        folder = shlex.quote(str(path.parent.parent))
        typer.echo(f"Table: {path}\nCurves: memory-bench curves {folder}/ENVIRONMENT-* --out curves.png")
    wrong = [line for run in finished if (line := check_run(run)) is not None]
    for run, traceback in failed.items():
        typer.echo(f"\n{run.title} failed ({run.folder}):\n{traceback}", err=True)
    for line in wrong:
        typer.echo(line, err=True)
    if failed:
        typer.echo(f"{len(failed)} of {len(runs)} runs failed; the same command tries them again.", err=True)
    return WRONG if failed or wrong else 0


def _engine(name: str, jobs: int | None, runs: int) -> Engine:
    if name == "ray":
        from memory_agents.benchmarks.sweeps.ray_engine import RayEngine

        return RayEngine(jobs)
    return LocalEngine(min(jobs or _cores(), max(1, runs)))


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than there are."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """What stops a job on a cluster shall stop a sweep as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _command() -> list[str]:
    return ["memory-bench", *sys.argv[1:]]


def _names(option: str, given: list[str] | None) -> list[str] | None:
    """Of an option that takes names one by one and in rows."""
    if given is None:
        return None
    if not (names := words(given)):
        raise UsageError(f"{option} {','.join(given)!r} names nothing; write names, as a,b, or leave it out for all")
    return names
