"""The command of ``memory-bench`` that shows where the time of acting and of learning goes."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from stable_baselines3.common.utils import get_device

from memory_agents.benchmarks.arguments import check_device, parse_kwargs
from memory_agents.benchmarks.config import hardware, versions
from memory_agents.benchmarks.env_ids import check_env
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.provenance import commit
from memory_agents.benchmarks.tables import make_console
from memory_agents.benchmarks.throughput.operators import profile_agent, profile_page
from memory_agents.benchmarks.throughput.subject import Conditions, make

RESULTS_FILE = "profile.json"
TABLE_FILE = "profile.md"


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets ``profile``
    """
    app.command("profile")(profile)


def profile(
    out: Annotated[Path, typer.Option(help="Folder for table and numbers; those there are replaced.")] = Path(
        "runs/profile"
    ),
    policy: Annotated[str, typer.Option(help="Agent: a name as for throughput.")] = "compressive",
    env: Annotated[str, typer.Option(help="Environment id.")] = Conditions.env,
    env_kwargs: Annotated[
        list[str] | None, typer.Option(help="Arguments of the environment: key=value (repeatable) or a JSON object.")
    ] = None,
    memory_kwargs: Annotated[
        list[str] | None, typer.Option(help="Arguments of the memory: key=value (repeatable) or a JSON object.")
    ] = None,
    policy_kwargs: Annotated[
        list[str] | None,
        typer.Option(help="Further arguments of the policy, as autocast=bfloat16: key=value or a JSON object."),
    ] = None,
    n_envs: Annotated[int, typer.Option(min=1, help="Environments side by side.")] = Conditions.n_envs,
    window: Annotated[
        int, typer.Option(min=2, help="Steps of a rollout and of a training window.")
    ] = Conditions.window,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Transitions of a minibatch. Default: this library's default; of others' agents a whole rollout, 1024 "
            "at most.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="PyTorch's threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
) -> None:
    """Show, operator by operator, where the time of acting and of learning goes."""
    conditions = Conditions(
        env=check_env(env),
        env_kwargs=parse_kwargs("--env-kwargs", env_kwargs or []),
        n_envs=n_envs,
        window=window,
        threads=threads,
        device=str(get_device(check_device(device))),
        memory_kwargs=parse_kwargs("--memory-kwargs", memory_kwargs or []),
        policy_kwargs=parse_kwargs("--policy-kwargs", policy_kwargs or []),
        batch_sizes=() if batch_size is None else (batch_size,),
        search_batches=False,
        seed=seed,
    )
    subject = conditions.subject(policy, "--policy")
    # A refused argument shall leave no folder behind.
    make(subject)[1].close()
    make_folder(out)
    phases = profile_agent(subject)
    text = {
        "command": shlex.join(["memory-bench", *sys.argv[1:]]),
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
        "subject": asdict(subject),
        "phases": [{**asdict(phase), "outside_ms": phase.outside_ms} for phase in phases],
    }
    write_whole(out / RESULTS_FILE, json.dumps(text, indent=2) + "\n")
    page = profile_page(subject, phases)
    write_whole(out / TABLE_FILE, page)
    make_console().print(page, markup=False, highlight=False, soft_wrap=True)
    typer.echo(f"Tables: {out / TABLE_FILE}\nAll that was measured: {out / RESULTS_FILE}")
