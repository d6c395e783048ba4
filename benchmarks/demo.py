"""The demonstration: the same task and budget with and without memory."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from memory_agents.benchmarks.agents import MEMORYLESS
from memory_agents.benchmarks.animation import record_solved_episode, save_gif
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.curves import plot_curves
from memory_agents.benchmarks.output import check_run_folder, make_folder
from memory_agents.benchmarks.training import TrainingResult, train

ENV = "MemoryAgents/ObjectMatching-v0"
TOTAL_TIMESTEPS = 300_000
N_ENVS = 16
# On two cores that other programs kept busy, a second thread made training five times slower.
THREADS = 1
AGENTS = {"compressive memory": "CompressiveMemoryPolicy", "memoryless PPO": MEMORYLESS}
FOLDERS = {"compressive memory": "compressive", "memoryless PPO": "memoryless"}
CURVES_FILE, ANIMATION_FILE, SUMMARY_FILE = "learning_curve.png", "episode.gif", "summary.csv"


@dataclass(frozen=True)
class DemoResult:
    """
    :param results: the training runs by the agent's name
    :param curves: picture of the learning curves
    :param animation: animation of one episode of the agent with memory
    :param solved: whether that episode was solved
    :param summary: the table, as CSV
    """

    results: dict[str, TrainingResult]
    curves: Path
    animation: Path
    solved: bool
    summary: Path


def run_demo(folder: Path, total_timesteps: int, seed: int, *, threads: int | None, progress: bool) -> DemoResult:
    """
    Train both agents on object matching, draw their curves, record an episode. An earlier demonstration in the same
    folder is replaced.

    :param folder: where to write
    :param total_timesteps: environment steps for each agent
    :param seed: seed of everything
    :param threads: PyTorch's threads (None: PyTorch's choice)
    :param progress: whether to show progress bars
    :return: results and files
    :raises UsageError: when an argument cannot be used
    """
    shared = TrainingConfig(
        ENV, n_envs=N_ENVS, total_timesteps=total_timesteps, seed=seed, device="cpu", threads=threads
    )
    check_folder(folder)
    results = {}
    for name, policy in AGENTS.items():
        if progress:
            print(f"Training: {name}, {total_timesteps:,} steps of {ENV}", flush=True)
        results[name] = train(replace(shared, policy=policy), folder / FOLDERS[name], progress=progress, overwrite=True)

    remembering = results["compressive memory"]
    files = DemoResult(results, folder / CURVES_FILE, folder / ANIMATION_FILE, False, folder / SUMMARY_FILE)
    runs = {name: [result.folder] for name, result in results.items()}
    plot_curves(runs, remembering.evaluation.anchors, f"Object matching, seed {seed}", files.curves)
    recording = record_solved_episode(remembering.agent, remembering.config)
    save_gif([recording], files.animation)
    _save_summary(results, files.summary)
    return replace(files, solved=recording.solved)


def check_folder(folder: Path) -> None:
    """
    :param folder: where a demonstration shall be written; made where it is missing
    :raises UsageError: when it has files that are not from a demonstration
    """
    make_folder(folder)
    for name in FOLDERS.values():
        check_run_folder(folder / name, overwrite=True)
    known = {CURVES_FILE, ANIMATION_FILE, SUMMARY_FILE, *FOLDERS.values()}
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in known)
    if foreign:
        raise UsageError(f"--out {str(folder)!r} has other files in it ({foreign[0]}); choose a new or empty folder")


def _save_summary(results: dict[str, TrainingResult], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["agent", "mean_return", "normalized_return", "success_rate", "steps", "seconds"])
        for name, result in results.items():
            evaluation = result.evaluation
            writer.writerow(
                [
                    name,
                    evaluation.mean_return,
                    evaluation.normalized_return,
                    evaluation.success_rate,
                    result.steps,
                    round(result.seconds, 2),
                ]
            )
