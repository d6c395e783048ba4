"""The commands of ``memory-bench``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch as th
import typer

from memory_agents.benchmarks import demo as demonstration
from memory_agents.benchmarks.arguments import UsageError, check_name, parse_kwargs
from memory_agents.benchmarks.cli_looking import add_commands as add_looking
from memory_agents.benchmarks.cli_measuring import Threads, no_folder
from memory_agents.benchmarks.cli_measuring import add_commands as add_measuring
from memory_agents.benchmarks.cli_tuning import add_commands as add_tuning
from memory_agents.benchmarks.collect import TABLES, THRESHOLD, save_csv
from memory_agents.benchmarks.collect import collect as collect_runs
from memory_agents.benchmarks.collect import markdown as runs_markdown
from memory_agents.benchmarks.config import TrainingConfig, hardware, load_config, versions
from memory_agents.benchmarks.curves import plot_curves
from memory_agents.benchmarks.evaluation import EVALUATION_FILE, anchors
from memory_agents.benchmarks.evaluation_again import evaluate_run
from memory_agents.benchmarks.labels import LABELS
from memory_agents.benchmarks.listing import environment_markdown, environment_table, memory_table, policy_table
from memory_agents.benchmarks.other_agents import algorithm_names
from memory_agents.benchmarks.output import check_free, make_folder
from memory_agents.benchmarks.runs import find_runs, group_by_seed, learners, read_runs
from memory_agents.benchmarks.sequence.cli import add_commands as add_sequence
from memory_agents.benchmarks.suites.listing import suite_table
from memory_agents.benchmarks.sweeps.cli import add_commands as add_sweeps
from memory_agents.benchmarks.sweeps.listing import suite_file_table
from memory_agents.benchmarks.tables import make_console, result_table
from memory_agents.benchmarks.throughput.cli import add_commands as add_throughput
from memory_agents.benchmarks.throughput.operators_cli import add_commands as add_profile
from memory_agents.benchmarks.throughput.race_cli import add_commands as add_race
from memory_agents.benchmarks.training import train as run_training

app = typer.Typer(
    name="memory-bench",
    help="Train and compare reinforcement-learning agents with memory.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
)
add_looking(app)
add_tuning(app)

Seed = Annotated[int, typer.Option(help="Seed of everything: two runs with the same seed on the CPU are identical.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress bar.")]


def run(args: Sequence[str] | None = None) -> int:
    """
    :param args: command-line arguments (default: those of the process)
    :return: the exit code; after an argument that cannot be used it is 2, and standard error has one line
    """
    try:
        code = app(args=args, prog_name="memory-bench", standalone_mode=False)
    except UsageError as error:
        return _complain(str(error), 2)
    except typer.Abort:
        return _complain("aborted", 1)
    except Exception as error:
        # Complaints of the parser itself: their common class has no public name in typer.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        told = message()
        if "unexpected extra argument" in told:
            told += "; repeat the option for each of several values, as --memory-kwargs a=1 --memory-kwargs b=2"
        return _complain(told, 2)
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    if line:
        print(f"memory-bench: {line}", file=sys.stderr)
    return code


@app.command("list")
def list_(
    envs: Annotated[bool, typer.Option("--envs", help="Environments only.")] = False,
    policies: Annotated[bool, typer.Option("--policies", help="Policies and memory cores only.")] = False,
    suites: Annotated[bool, typer.Option("--suites", help="Suites of runs, for run, only.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Environments only, as a Markdown table.")] = False,
) -> None:
    """Show environments with their known returns, policies, memory cores, and suites of runs."""
    if markdown:
        typer.echo(environment_markdown())
        return
    console = make_console()
    if suites or not (envs or policies):
        console.print(suite_file_table())
    if suites:
        return
    if envs or not policies:
        console.print(environment_table())
        console.print(suite_table())
    if policies or not envs:
        console.print(policy_table())
        console.print(memory_table())


@app.command()
def train(
    env: Annotated[str, typer.Option(help="Environment id; see [bold]memory-bench list --envs[/bold], or module:ID.")],
    env_kwargs: Annotated[
        list[str] | None, typer.Option(help="Arguments of the environment: key=value (repeatable) or a JSON object.")
    ] = None,
    policy: Annotated[
        str, typer.Option(help="Policy; see [bold]memory-bench list --policies[/bold], or module:Class.")
    ] = "CompressiveMemoryPolicy",
    policy_kwargs: Annotated[
        list[str] | None,
        typer.Option(help="Arguments of the policy, those of its memory excepted: key=value (repeatable) or JSON."),
    ] = None,
    memory_class: Annotated[str | None, typer.Option(help="Memory core: its name, or module:Class.")] = None,
    memory_kwargs: Annotated[
        list[str] | None, typer.Option(help="Arguments of the memory core: key=value (repeatable) or a JSON object.")
    ] = None,
    algorithm: Annotated[
        str, typer.Option(help=f"Algorithm: {', '.join(algorithm_names())}, or module:Class.")
    ] = "PPO",
    algorithm_kwargs: Annotated[
        list[str] | None,
        typer.Option(help="Arguments of the algorithm, as gamma=0.9 (repeatable) or a JSON object."),
    ] = None,
    judger_kwargs: Annotated[
        list[str] | None,
        typer.Option(
            help="How the memory's judger is trained, as warmup=50000 (repeatable) or a JSON object; for "
            "--memory-kwargs judger=true."
        ),
    ] = None,
    pretrain_timesteps: Annotated[
        int, typer.Option(help="How many of the steps come first, in an easier environment.")
    ] = 0,
    pretrain_env_kwargs: Annotated[
        list[str] | None,
        typer.Option(help="Arguments in which it differs: key=value (repeatable) or a JSON object."),
    ] = None,
    normalize_reward: Annotated[
        bool,
        typer.Option(
            "--normalize-reward",
            help="Scale rewards while training: for returns far above 1, whose critic drowns the actor's learning.",
        ),
    ] = False,
    n_stack: Annotated[int, typer.Option(help="Newest observations that the agent sees as one.")] = 1,
    n_envs: Annotated[int, typer.Option(help="Environments side by side.")] = 16,
    total_timesteps: Annotated[int, typer.Option(help="Environment steps to train for, over all of them.")] = 200_000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for the results; default: runs/ENV-POLICY-sSEED.")] = None,
    eval_episodes: Annotated[int, typer.Option(help="Episodes of the final evaluation.")] = 100,
    threads: Threads = None,
    checkpoint_freq: Annotated[
        int | None, typer.Option(min=1, help="Environment steps between checkpoints; without it there is none.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")] = False,
    no_progress: NoProgress = False,
) -> None:
    """Train one agent, save it, evaluate it."""
    config = TrainingConfig(
        env=env,
        env_kwargs=parse_kwargs("--env-kwargs", env_kwargs or []),
        policy=policy,
        policy_kwargs=parse_kwargs("--policy-kwargs", policy_kwargs or []),
        n_stack=n_stack,
        memory_class=memory_class,
        memory_kwargs=parse_kwargs("--memory-kwargs", memory_kwargs or []),
        algorithm=algorithm,
        algorithm_kwargs=parse_kwargs("--algorithm-kwargs", algorithm_kwargs or []),
        judger_kwargs=parse_kwargs("--judger-kwargs", judger_kwargs or []),
        pretrain_timesteps=pretrain_timesteps,
        pretrain_env_kwargs=parse_kwargs("--pretrain-env-kwargs", pretrain_env_kwargs or []),
        normalize_reward=normalize_reward,
        n_envs=n_envs,
        total_timesteps=total_timesteps,
        seed=seed,
        device=device,
        eval_episodes=eval_episodes,
        threads=threads,
    )
    folder = out or Path("runs", f"{env.rpartition('/')[2]}-{policy}-s{seed}")
    result = run_training(
        config, folder, progress=not no_progress, overwrite=overwrite, checkpoint_freq=checkpoint_freq
    )
    console = make_console()
    console.print(result_table(f"{env}: {eval_episodes} evaluation episodes", {policy: result}))
    typer.echo(f"Agent, logs and evaluation: {folder}")
    typer.echo(f"Watch the logs: tensorboard --logdir {folder}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    env_kwargs: Annotated[
        list[str] | None,
        typer.Option(
            help="Arguments of the environment that shall be others: key=value (repeatable) or a JSON object."
        ),
    ] = None,
    eval_episodes: Annotated[int | None, typer.Option(help="Episodes; default: as many as in the run.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="File for the figures, as JSON.")] = None,
    timeline: Annotated[
        Path | None,
        typer.Option(help="Folder for judger.npz and judger.png, an episode of a judged memory and its picture."),
    ] = None,
    threads: Threads = None,
) -> None:
    """Evaluate a trained agent again, in its environment or in one with other arguments, such as longer delays."""
    if threads is not None:
        th.set_num_threads(threads)
    config = load_config(run)
    if out is not None:
        check_free(out)
    config = replace(
        config,
        env_kwargs={**config.env_kwargs, **parse_kwargs("--env-kwargs", env_kwargs or [])},
        eval_episodes=config.eval_episodes if eval_episodes is None else eval_episodes,
        device=device,
    )
    figures = evaluate_run(run, config, timeline)
    text = json.dumps({**figures, "versions": versions(), "hardware": hardware()}, indent=2)
    typer.echo(text)
    if out is not None:
        make_folder(out.parent)
        out.write_text(text + "\n")


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the results; an earlier demonstration there is replaced.")
    ] = Path("runs/demo"),
    total_timesteps: Annotated[
        int, typer.Option(help="Environment steps for each of the two agents.")
    ] = demonstration.TOTAL_TIMESTEPS,
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(help="PyTorch's threads.")] = demonstration.THREADS,
    no_progress: NoProgress = False,
) -> None:
    """Object matching with compressive memory and without memory: a table, learning curves, an animation."""
    result = demonstration.run_demo(out, total_timesteps, seed, threads=threads, progress=not no_progress)
    make_console().print(result_table(f"{demonstration.ENV}, seed {seed}", result.results))
    animated = "One solved episode" if result.solved else "One episode (not solved: none was within this budget)"
    typer.echo(f"Learning curves:  {result.curves}")
    typer.echo(f"{animated}:  {result.animation}")
    typer.echo(f"Table as CSV:  {result.summary}")
    for name, run_result in result.results.items():
        typer.echo(f"Agent and raw logs, {name}:  {run_result.folder}")


Folders = Annotated[list[Path], typer.Argument(help="Folders with finished runs in or below them.")]


@app.command()
def collect(
    folders: Folders,
    table: Annotated[
        str,
        typer.Option(
            help="results: what came out; learning: how soon, at what cost, with how many parameters; judger: what "
            "was kept and what was discarded; masking: how many actions were invalid; stability: how steadily, and how "
            "many runs diverged."
        ),
    ] = "results",
    threshold: Annotated[
        float, typer.Option(help="Normalised return of training episodes to which steps are counted.")
    ] = THRESHOLD,
    evaluation: Annotated[
        str, typer.Option(help="Name of the file to read in each run's folder: the run's own, or one made by evaluate.")
    ] = EVALUATION_FILE,
    csv: Annotated[
        Path | None, typer.Option(help="File for the figures, one line per run.", callback=no_folder)
    ] = None,
) -> None:
    """Show finished runs as one Markdown table, seeds side by side."""
    check_name("--table", table, TABLES, f"use {' or '.join(TABLES)}")
    if Path(evaluation).name != evaluation or not evaluation:
        raise UsageError(
            f"--evaluation {evaluation!r} is no file's name; write the name that it has in every run's folder, without "
            f"a path, as {EVALUATION_FILE}"
        )
    runs = read_runs(find_runs(folders, evaluation), evaluation)
    typer.echo(runs_markdown(collect_runs(runs, table, threshold)))
    if csv is not None:
        make_folder(csv.parent)
        save_csv(runs, csv)


@app.command()
def curves(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="Picture to write, a PNG file.")],
    title: Annotated[str | None, typer.Option(help="Heading; default: the environment.")] = None,
    label: Annotated[
        str,
        typer.Option(
            help="What curves are called: arguments, those in which they differ; folder, the folders without seeds, "
            "and of a sweep's folders the agents' names."
        ),
    ] = "arguments",
) -> None:
    """Draw learning curves of finished runs on one environment: mean over seeds, and a band from lowest to highest."""
    check_name("--label", label, LABELS, f"use {' or '.join(LABELS)}")
    groups = group_by_seed(learners(read_runs(find_runs(folders))))
    environments = {(config.env, json.dumps(config.env_kwargs)) for config in (group[0].config for group in groups)}
    if len(environments) > 1:
        raise UsageError(f"the runs are of {len(environments)} environments; choose folders with runs of one")
    make_folder(out.parent)
    config = groups[0][0].config
    lines = {label: [run.folder for run in group] for label, group in zip(LABELS[label](groups), groups, strict=True)}
    plot_curves(lines, anchors(config), title or config.env, out)


add_sweeps(app)
add_measuring(app)
add_throughput(app)
add_race(app)
add_profile(app)
add_sequence(app)
