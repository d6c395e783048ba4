"""The commands of ``memory-bench`` that measure how fast agents act and learn."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from stable_baselines3.common.utils import get_device

from memory_agents.benchmarks.arguments import UsageError, check_device, check_name, numbers, parse_kwargs, words
from memory_agents.benchmarks.env_ids import check_env
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.tables import make_console
from memory_agents.benchmarks.throughput.cases import CASES, Group, grid, shipped
from memory_agents.benchmarks.throughput.measuring import measure
from memory_agents.benchmarks.throughput.results import RESULTS_FILE, Measured, load_now, save_results
from memory_agents.benchmarks.throughput.stopwatch import CLOCKS, CPU, WALL
from memory_agents.benchmarks.throughput.subject import Conditions, make, remembers
from memory_agents.benchmarks.throughput.tables import page, threads_text

TABLE_FILE = "table.md"
#: Thread counts of the comparisons that come with the library.
THREADS = (1, 2)


def add_commands(app: typer.Typer) -> None:
    """
    :param app: the command line, which gets the commands
    """
    app.command("throughput")(throughput)


def throughput(
    out: Annotated[Path, typer.Option(help="Folder for table, pictures and numbers; those there are replaced.")] = Path(
        "runs/throughput"
    ),
    case: Annotated[
        list[str] | None, typer.Option(help=f"Comparison: {', '.join(CASES)} (repeatable). Default: all.")
    ] = None,
    policies: Annotated[
        list[str] | None,
        typer.Option(
            help="Agents to compare in place of those, as lstm,recurrent_ppo_256 (repeatable): names as for run, and "
            "recurrent_ppo_loopless, recurrent_ppo_256, recurrent_ppo_256_loopless, recurrent_ppo_shared_loopless."
        ),
    ] = None,
    env: Annotated[str | None, typer.Option(help="With --policies: environment id.")] = None,
    env_kwargs: Annotated[
        list[str] | None,
        typer.Option(help="With --policies: arguments of the environment: key=value (repeatable) or a JSON object."),
    ] = None,
    memory_kwargs: Annotated[
        list[str] | None,
        typer.Option(
            help="With --policies: size of the memories, key=value or a JSON object; each one given is another size. "
            "Agents without a memory of this library are measured once."
        ),
    ] = None,
    policy_kwargs: Annotated[
        list[str] | None,
        typer.Option(
            help="With --policies: further arguments of the policies of this library's agents, as autocast=bfloat16, "
            "compile=true or cuda_graph=false; key=value or a JSON object; each one given is another variant, {} the "
            "agent as it is. Agents without a memory of this library are measured once."
        ),
    ] = None,
    n_envs: Annotated[
        list[str] | None, typer.Option(help="With --policies: environments side by side, as 1,8 (repeatable).")
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(help="With --policies: steps of a rollout and of a training window, as 64,128 (repeatable)."),
    ] = None,
    batch_size: Annotated[
        list[str] | None,
        typer.Option(
            help="With --policies: transitions of a minibatch, as 128,256 (repeatable), of which each agent's quickest "
            "counts. Default: this library's default, and of the others' agents the quickest of 128, 256, ... up to a "
            "whole rollout."
        ),
    ] = None,
    n_epochs: Annotated[int | None, typer.Option(min=1, help="With --policies: passes over a rollout.")] = None,
    threads: Annotated[
        list[str] | None,
        typer.Option(help="PyTorch's threads, as 1,2 (repeatable). Default: 1, and 2 where there are."),
    ] = None,
    device: Annotated[list[str] | None, typer.Option(help="cpu, cuda (repeatable). Default: cpu.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds, in each of which all agents take their turn.")] = 7,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
    clock: Annotated[
        str,
        typer.Option(
            help="wall, or cpu: CPU seconds, which other work of the machine disturbs less; one thread, no GPU."
        ),
    ] = WALL,
) -> None:
    """Measure acting, learning, memory and operations of agents in turns, beside sb3-contrib's RecurrentPPO."""
    check_name("--clock", clock, CLOCKS, f"use {' or '.join(CLOCKS)}")
    usual = [each for each in THREADS if each <= (os.cpu_count() or 1)] if clock == WALL else [1]
    counts = numbers("--threads", threads) or usual
    devices = list(dict.fromkeys(str(get_device(check_device(name))) for name in words(device))) or ["cpu"]
    if clock == CPU and (counts != [1] or devices != ["cpu"]):
        raise UsageError(
            f"--clock {clock} tells nothing with --threads {','.join(map(str, counts))} on {','.join(devices)}; use "
            "--threads 1 --device cpu, or --clock wall"
        )
    own = {
        "--env": env, "--env-kwargs": env_kwargs, "--memory-kwargs": memory_kwargs, "--policy-kwargs": policy_kwargs,
        "--n-envs": n_envs, "--window": window, "--batch-size": batch_size, "--n-epochs": n_epochs,
    }  # fmt: skip
    if policies is None:
        for option, given in own.items():
            if given is not None:
                raise UsageError(f"{option} {given} belongs to agents of one's own choice; name them with --policies")
        names = words(case) or list(CASES)
        for name in names:
            check_name("--case", name, CASES, f"use {', '.join(CASES)}")
        groups = shipped(names, counts, devices, seed)
    else:
        if case is not None:
            raise UsageError(f"--case {','.join(case)} brings its own agents; leave it or --policies out")
        base = Conditions(
            env=check_env(env or Conditions.env),
            env_kwargs=parse_kwargs("--env-kwargs", env_kwargs or []),
            batch_sizes=tuple(numbers("--batch-size", batch_size)),
            n_epochs=n_epochs or Conditions.n_epochs,
            seed=seed,
        )
        agents = words(policies)
        if not agents:
            raise UsageError(f"--policies {','.join(policies)!r} names no agent; write names, as lstm,recurrent_ppo")
        own_memory = [name for name in agents if remembers(base.subject(name).config)]
        for option, given in {"--memory-kwargs": memory_kwargs, "--policy-kwargs": policy_kwargs}.items():
            if given and not own_memory:
                raise UsageError(
                    f"{option} {' '.join(given)} is for agents with a memory of this library, and none of "
                    f"{', '.join(agents)} has one; leave it out, or name an agent such as lstm"
                )
        groups = grid(
            agents,
            base,
            [parse_kwargs("--memory-kwargs", [item]) for item in memory_kwargs or []],
            numbers("--n-envs", n_envs) or [base.n_envs],
            numbers("--window", window, least=2) or [base.window],
            counts,
            devices,
            [parse_kwargs("--policy-kwargs", [item]) for item in policy_kwargs or []],
        )
    _measure_all(groups, repeats, clock, out)


def _measure_all(groups: Sequence[Group], rounds: int, clock: str, out: Path) -> None:
    # A refused argument shall neither leave a folder behind nor come out after minutes.
    for group in groups:
        for entry in group.entries:
            make(entry.conditions.subject(entry.agent))[1].close()
    make_folder(out)
    done: list[Measured] = []
    command = shlex.join(["memory-bench", *sys.argv[1:]])
    console = Console(stderr=True)
    # From the second group on it would count this process.
    load = load_now()
    for number, group in enumerate(groups):
        where = f"{number + 1}/{len(groups)} {group.case}, {threads_text(group.threads)}"
        with console.status(where) as status:
            found = measure(
                [entry.conditions.subject(entry.agent) for entry in group.entries],
                min(rounds, group.most_rounds or rounds),
                lambda line, where=where, status=status: status.update(f"{where}: {line}"),  # type: ignore[misc]
                operations=group.costs,
                memory=group.costs and not _measured_before(group, done),
                clock=clock,
            )
        at = tuple(entry.at for entry in group.entries)
        done.append(Measured(group.case, group.title, group.axis, at, tuple(found), load, clock))
        load = None
        # After every group: who stops it keeps what has been measured.
        save_results(done, command, rounds, out / RESULTS_FILE)
        write_whole(out / TABLE_FILE, page(done))
    _draw(done, out)
    show(done)
    typer.echo(f"Tables: {out / TABLE_FILE}\nAll that was measured: {out / RESULTS_FILE}")


def _measured_before(group: Group, done: Sequence[Measured]) -> bool:
    """Whether the same agents' memory is known: it does not depend on threads."""
    return any(group.case == other.case and group.entries[0].conditions.device == _device(other) for other in done)


def _device(group: Measured) -> str:
    return str(group.agents[0].arguments["device"])


def _draw(groups: Sequence[Measured], out: Path) -> None:
    # Only here: most of what there is to import is for this.
    from memory_agents.benchmarks.report.svg import save_picture
    from memory_agents.benchmarks.throughput.pictures import scaling_picture

    for group in groups:
        if group.axis is not None:
            device = "" if _device(group) == "cpu" else f"-{_device(group).replace(':', '')}"
            name = f"{group.case}-{group.agents[0].threads}-threads{device}"
            png, _ = save_picture(scaling_picture(group, name), out)
            typer.echo(f"Picture: {png}")


def show(groups: Sequence[Measured]) -> None:
    """
    Print the tables.

    :param groups: what was measured
    """
    console = make_console()
    console.print(page(groups), markup=False, highlight=False, soft_wrap=True)
