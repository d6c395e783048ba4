"""The command of ``memory-bench`` that searches for hyperparameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from memory_agents.benchmarks.arguments import UsageError, check_name
from memory_agents.benchmarks.sweeps.plan import Choice, plan
from memory_agents.benchmarks.sweeps.suite_file import load_suite
from memory_agents.benchmarks.training import rehearse
from memory_agents.benchmarks.tuning import SPACES, tune

#: How many of the best trials are shown.
BEST = 5


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets ``tune``
    """
    app.command("tune")(tune_suite)


def tune_suite(
    suite: Annotated[str, typer.Argument(help="Suite, or the path of one's own .toml file.")],
    out: Annotated[Path, typer.Option(help="Folder for the search; one that is there goes on.")],
    env: Annotated[
        str | None, typer.Option(help="Environment of the suite, by its name there; not needed if there is one only.")
    ] = None,
    algorithm: Annotated[str, typer.Option(help="Algorithm with memory.")] = "PPO",
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, with those that are there.")] = 50,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Environment steps of every trial. Default: the suite's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every trial, and of what is drawn.")] = 0,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda. Default: the suite's.")] = None,
) -> None:
    """Search for hyperparameters of the compressive memory and an algorithm; print the best as a command."""
    check_name("--algorithm", algorithm, SPACES, f"use {', '.join(SPACES)}")
    loaded = load_suite(suite)
    names = [entry.name for entry in loaded.environments]
    if env is None and len(names) > 1:
        raise UsageError(f"suite {suite!r} has {len(names)} environments; choose with --env {' or '.join(names)}")
    if env is not None:
        check_name("--env", env, names, f"use {', '.join(names)}")
    out = out.resolve()
    (run,) = plan(loaded, out, Choice(["compressive"], None if env is None else [env], [seed], budget, device))
    base = replace(run.config, algorithm=algorithm, threads=1 if run.config.threads is None else run.config.threads)
    # Every trial would fail by these.
    rehearse(base)
    study, failed = tune(base, trials, out, typer.echo)

    finished = sorted(
        (trial for trial in study.trials if trial.value is not None), key=lambda trial: -(trial.value or 0)
    )
    finished = [trial for trial in finished if trial.state.name == "COMPLETE"]
    if not finished:
        _end(failed)
        raise UsageError(f"none of the trials in {out} came to its end with a score; raise --trials")
    typer.echo(f"\n| trial | score | {' | '.join(finished[0].params)} |")
    typer.echo(f"| --- | --- | {' | '.join('---' for _ in finished[0].params)} |")
    for trial in finished[:BEST]:
        values = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in trial.params.values())
        typer.echo(f"| {trial.number} | {trial.value:.3f} | {' | '.join(values)} |")
    typer.echo(f"\nThe best, as a command:\n\n{finished[0].user_attrs['command']} --out runs/tuned")
    _end(failed)


def _end(failed: int) -> None:
    if failed:
        typer.echo(f"{failed} trials failed; the same command makes others for them.", err=True)
        raise typer.Exit(1)
