"""The command of ``memory-bench`` that trains agents until they solve a task."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from stable_baselines3.common.utils import get_device

from memory_agents.benchmarks.arguments import UsageError, check_device, check_name, numbers, parse_kwargs, words
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.tables import make_console
from memory_agents.benchmarks.throughput.peers import find_learner
from memory_agents.benchmarks.throughput.race import (
    RACERS,
    TASKS,
    Finish,
    Rules,
    load_finish,
    race,
    race_table,
    save_finish,
)
from memory_agents.benchmarks.training import rehearse

TABLE_FILE = "race.md"


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets ``race``
    """
    app.command("race")(race_all)


def race_all(
    out: Annotated[Path, typer.Option(help="Folder for the results; runs that it already holds are not repeated.")],
    task: Annotated[
        list[str] | None, typer.Option(help=f"Task: {', '.join(TASKS)} (repeatable). Default: all.")
    ] = None,
    policies: Annotated[
        list[str] | None,
        typer.Option(
            help="Agents, as compressive,recurrent_ppo_256 (repeatable): names as for throughput. The first is what "
            f"the others are compared with. Default: {','.join(RACERS)}."
        ),
    ] = None,
    algorithm_kwargs: Annotated[
        list[str] | None,
        typer.Option(help="Arguments of all agents' algorithms, as ent_coef=0.02 (repeatable) or a JSON object."),
    ] = None,
    batch_size: Annotated[
        list[str] | None,
        typer.Option(
            help="Transitions of a minibatch, as 128,256 (repeatable): every agent is trained with each, and its "
            "quickest counts. Default: what the agent has."
        ),
    ] = None,
    seeds: Annotated[list[str] | None, typer.Option(help="Seeds, as 0,1,2 (repeatable).")] = None,
    budget: Annotated[int, typer.Option(min=1, help="Environment steps after which a run is given up.")] = Rules.budget,
    check_every: Annotated[
        int, typer.Option(min=1, help="Environment steps between two evaluations, whose time is not counted.")
    ] = Rules.check_every,
    eval_episodes: Annotated[
        int, typer.Option(min=1, help="Episodes of an evaluation, with deterministic actions.")
    ] = Rules.episodes,
    success_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of successes from which on a task is solved.")
    ] = Rules.success_rate,
    max_ratio: Annotated[
        float,
        typer.Option(
            min=1.0, help="Times the seconds in which the first agent solved it, after which a run is given up."
        ),
    ] = Rules.max_ratio,
    n_envs: Annotated[int, typer.Option(min=1, help="Environments side by side.")] = TrainingConfig.n_envs,
    threads: Annotated[int, typer.Option(min=1, help="PyTorch's threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train agents until they solve a task, one after another: seconds on the clock, with RecurrentPPO beside."""
    chosen = words(task) or list(TASKS)
    for name in chosen:
        check_name("--task", name, TASKS, f"use {', '.join(TASKS)}")
    rules = Rules(budget, check_every, eval_episodes, success_rate, max_ratio)
    device = str(get_device(check_device(device)))
    settings = dict(n_envs=n_envs, total_timesteps=budget, device=device, threads=threads)
    hyperparameters = parse_kwargs("--algorithm-kwargs", algorithm_kwargs or [])
    sizes: list[int | None] = [*numbers("--batch-size", batch_size, least=2)] or [None]
    racers = words(policies) or list(RACERS)
    planned = [
        _plan(name, policy, {**settings, "seed": seed}, hyperparameters, size, out)
        for seed, name, policy, size in product(numbers("--seeds", seeds, least=0) or [0, 1, 2], chosen, racers, sizes)
    ]
    for run in planned:
        rehearse(run.config)
    kept = [_kept(run, rules) for run in planned]
    make_folder(out)
    console = Console(stderr=True)
    finished = list[Finish]()
    quickest: dict[tuple[str, int], Finish] = {}
    for number, (run, finish) in enumerate(zip(planned, kept, strict=True), start=1):
        key = run.task, run.config.seed
        if finish is None:
            with console.status(f"{number}/{len(planned)} {run.path.stem}"):
                finish = race(run.task, run.agent, run.config, rules, quickest.get(key))
            save_finish(finish, run.path)
            ending = "solved" if finish.solved else "given up"
            typer.echo(f"{run.path.stem}: {ending} after {finish.steps:,} steps, {finish.seconds:.0f} s")
        finished.append(finish)
        if finish.agent == finished[0].agent and finish.solved:
            quickest[key] = min(finish, quickest.get(key, finish), key=lambda known: known.seconds)
    table = race_table(finished)
    write_whole(out / TABLE_FILE, table)
    make_console().print(table, markup=False, highlight=False, soft_wrap=True)
    typer.echo(f"Table: {out / TABLE_FILE}")


@dataclass(frozen=True)
class _Planned:
    task: str
    agent: str
    config: TrainingConfig
    path: Path


def _plan(
    task: str,
    policy: str,
    settings: dict[str, Any],
    hyperparameters: dict[str, Any],
    batch_size: int | None,
    out: Path,
) -> _Planned:
    agent, arguments = find_learner("--policies", policy)
    env, env_kwargs = TASKS[task]
    sized, suffix = ({}, "") if batch_size is None else ({"batch_size": batch_size}, f"-b{batch_size}")
    arguments = {**arguments, "algorithm_kwargs": {**arguments.get("algorithm_kwargs", {}), **hyperparameters, **sized}}
    config = TrainingConfig(env=env, env_kwargs=dict(env_kwargs), **settings, **arguments)
    name = f"{task}-{agent}{suffix}-s{config.seed}"
    return _Planned(task, agent, config, out / f"{name}.json")


def _kept(run: _Planned, rules: Rules) -> Finish | None:
    """The result that there is already."""
    if not run.path.is_file():
        return None
    finish = load_finish(run.path)
    if (finish.arguments, finish.rules) != (asdict(run.config), asdict(rules)):
        raise UsageError(f"{run.path} is of a run with other arguments; choose another --out, or move it away")
    return finish
