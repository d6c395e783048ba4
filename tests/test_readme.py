"""The README's code runs as it stands, but for the length of its training."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from memory_agents import DQN, PPO, QRDQN
from memory_agents.benchmarks.collect import collect, markdown
from memory_agents.benchmarks.listing import environment_markdown, environments
from memory_agents.benchmarks.report.statistics import interquartile_mean, interval
from memory_agents.benchmarks.report.study import read_study
from memory_agents.benchmarks.report.tables import aggregate_table
from memory_agents.benchmarks.runs import Run, find_runs, read_runs
from memory_agents.benchmarks.sequence.algorithmic_report import algorithmic_groups, algorithmic_table
from memory_agents.benchmarks.sequence.characters_report import character_groups, character_tables
from memory_agents.benchmarks.sequence.regression_report import regression_groups, regression_table
from memory_agents.benchmarks.sweeps.plan import plan
from memory_agents.benchmarks.sweeps.suite_file import parse_suite
from memory_agents.benchmarks.sweeps.sweep import rehearse_all
from memory_agents.benchmarks.throughput.operators import Operator, Phase, phase_table
from memory_agents.benchmarks.throughput.race import RACERS, TASKS, Finish, load_finish, median_seconds, race_table
from memory_agents.benchmarks.throughput.results import load_results
from memory_agents.benchmarks.throughput.tables import page, speed_rows
from memory_agents.common import JudgerTraining
from memory_agents.envs import ENVIRONMENTS
from memory_agents.memory import CompressiveMemory, memory_registry
from memory_agents.nn import (
    compression_loss_registry,
    compression_registry,
    feedforward_registry,
    gate_registry,
    position_registry,
)

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text()
RESULTS = ROOT / "benchmarks" / "results"
RESULTS_README = (RESULTS / "README.md").read_text()

#: Environments of the suite ``standard`` whose results the README itself shows, and of which agents.
HEADLINES = (
    "ObjectMatching",
    "TMaze",
    "RepeatFirst",
    "RepeatPrevious",
    "Copy",
    "AssociativeRecall",
    "CueStream",
    "DelayedMatch",
    "VisualMatch",
)
HEADLINE_AGENTS = ("compressive", "memoryless")


def test_python_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shortened, replaced = re.subn(r"learn\([\d_]+\)", "learn(256)", README)
    assert replaced == 1
    blocks = re.findall(r"```python\n(.*?)```", shortened, flags=re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "agent.zip").exists()


def rows_of(*folders: str, table: str = "results", evaluation: str = "evaluation.json") -> list[str]:
    runs = read_runs(find_runs([RESULTS / folder for folder in folders], evaluation), evaluation)
    return markdown(collect(runs, table)).splitlines()


@pytest.mark.parametrize(
    ("section", "table", "groups"),
    [
        ("environments", "results", 40),
        ("compression-rate", "results", 5),
        ("suites", "results", 2),
        ("cores", "learning", 36),
        ("gates", "stability", 8),
        ("half-precision", "learning", 4),
        ("judger", "judger", 7),
        ("judger-value-weight", "judger", 2),
        ("masking", "masking", 6),
        ("quick", "scores", 32),
        ("standard", "scores", 167),
        ("off-policy", "learning", 2),
    ],
)
def test_tables_of_results_are_what_the_raw_results_say(section: str, table: str, groups: int) -> None:
    rows = rows_of(section, table=table)
    assert len(rows) == 2 + groups
    assert "\n".join(rows) in RESULTS_README


def test_aggregates_of_the_suite_are_what_the_raw_results_say() -> None:
    comparison = read_study([RESULTS / "standard"]).comparisons[0]
    assert len(comparison.scored_tasks) == 15
    assert aggregate_table(comparison, "standard").markdown() in RESULTS_README
    claims = re.findall(r"`(\w+)` scores (\d\.\d\d \(95% interval [^)]*\))", " ".join(README.split()))
    assert len(claims) == 2
    for agent, told in claims:
        estimate = interval(interquartile_mean, comparison.scores(agent))
        assert told == f"{estimate.value:.2f} (95% interval {estimate.low:.2f} to {estimate.high:.2f})"


@pytest.mark.parametrize(("task", "n_groups"), [("copy-first", 16), ("denoising", 8)])
def test_tables_of_the_regressions_are_what_the_raw_results_say(task: str, n_groups: int) -> None:
    groups = regression_groups(RESULTS / task)
    assert len(groups) == n_groups
    assert all([run.config.seed for run in group] == [0, 1, 2] for group in groups)
    assert regression_table(groups) in RESULTS_README


def test_table_of_the_algorithmic_tasks_is_what_the_raw_results_say() -> None:
    rows = algorithmic_table(algorithmic_groups([RESULTS / "sequence" / "algorithmic"]))
    assert len(rows.splitlines()) == 2 + 23
    assert rows in RESULTS_README


@pytest.mark.parametrize(("name", "n_groups", "n_of_one_seed"), [
    ("characters", 15, 6), ("characters-pre", 8, 0), ("characters-mean", 5, 0), ("characters-short", 3, 3),
])  # fmt: skip
def test_tables_of_character_models_are_what_the_raw_results_say(name: str, n_groups: int, n_of_one_seed: int) -> None:
    groups = character_groups([RESULTS / "sequence" / name])
    seeds = [[config.seed for config, _, _ in group] for group in groups]
    assert sorted(seeds) == n_of_one_seed * [[0]] + (n_groups - n_of_one_seed) * [[0, 1, 2]]
    assert all(part in RESULTS_README for part in character_tables(groups).split("\n\n"))


#: Races of which every agent had minibatches of four sizes: seeds, tasks and agents.
SIZES_RACED: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {
    "race-minibatches": (5, (*TASKS,), RACERS[:2]),
    "race-gain-0.01": (5, (*TASKS,), RACERS[:2]),
    "race-own-defaults": (3, (*TASKS,), RACERS[::2]),
    "race-shorter-credit-gain-1": (3, ("object_matching",), RACERS[:2]),
}


def load_minibatches(folder: str) -> list[Finish]:
    n_seeds, tasks, agents = SIZES_RACED[folder]
    runs = product(range(n_seeds), tasks, agents, (128, 256, 512, 1024))
    files = (f"{task}-{agent}-b{size}-s{seed}.json" for seed, task, agent, size in runs)
    return [load_finish(RESULTS / folder / file) for file in files]


@pytest.mark.parametrize("folder", SIZES_RACED)
def test_races_with_several_minibatches_are_what_the_raw_results_say(folder: str) -> None:
    table = race_table(load_minibatches(folder))
    assert table == (RESULTS / folder / "race.md").read_text()
    assert table in RESULTS_README


def test_the_race_with_equal_hyperparameters_is_told() -> None:
    finishes = load_minibatches("race-minibatches")
    table = race_table(finishes)
    maze, matching = re.findall(r"took ((?:more than )?[\d.]+ times) as long", table)
    matches = [run for run in finishes if run.task == "object_matching"]
    missed = [sum(not run.solved for run in matches if run.agent == agent) for agent in RACERS[:2]]
    wall, cpu = ([quickest(matches, agent, of) for agent in RACERS[:2]] for of in (seconds, cpu_seconds))
    readme = " ".join(README.split())
    assert f"the T-maze takes RecurrentPPO {maze} as long" in readme
    assert f"object matching with four objects {matching}, {wall[1]:.0f} against {wall[0]:.0f} seconds" in readme
    assert f"RecurrentPPO does not solve {missed[1]}, the compressive memory {missed[0]}." in readme
    assert f"{matching.removesuffix(' times')} is {cpu[1] / cpu[0]:.1f}." in RESULTS_README


def test_the_race_against_hyperparameters_of_its_own_is_told() -> None:
    finishes = load_minibatches("race-own-defaults")
    maze, matching = re.findall(r"took (more than [\d.]+ times) as long", race_table(finishes))
    theirs = [run for run in finishes if run.agent == RACERS[2]]
    assert not any(run.solved for run in theirs)
    readme = " ".join(README.split())
    assert (
        f"takes {maze} as long as the compressive memory in a T-maze with a corridor of 20 and {matching} in" in readme
    )
    assert f"none of its {len(theirs)} runs got there" in readme


def test_the_first_race_is_what_the_raw_results_say() -> None:
    files = product((0, 1, 2), TASKS, RACERS)
    finishes = [load_finish(RESULTS / "race" / f"{task}-{agent}-s{seed}.json") for seed, task, agent in files]
    table = race_table(finishes)
    assert table == (RESULTS / "race" / "race.md").read_text()
    assert table in RESULTS_README
    medians = [
        median_seconds([run for run in finishes if (run.task, run.agent) == ("object_matching", agent)], cpu_seconds)
        for agent in RACERS[:2]
    ]
    assert f"the ratio of the medians is {medians[1] / medians[0]:.1f}" in RESULTS_README


LATER_RACES: dict[str, tuple[int, dict[str, Any]]] = {
    "race-again": (3, {}),
    "race-value-weight": (3, {"vf_coef": 0.25}),
    "race-32-environments": (3, {"n_steps": 64, "batch_size": 512}),
    "race-shorter-credit": (6, {"gae_lambda": 0.7, "n_epochs": 8}),
    "race-every-rollout": (6, {"gae_lambda": 0.7, "n_epochs": 8}),
}


@pytest.mark.parametrize("folder", LATER_RACES)
def test_later_races_are_what_the_raw_results_say(folder: str) -> None:
    n_seeds, arguments = LATER_RACES[folder]
    finishes = load_matching(folder, range(n_seeds), RACERS[:2])
    assert all(run.arguments["algorithm_kwargs"] == arguments for run in finishes)
    table = race_table(finishes)
    assert table == (RESULTS / folder / "race.md").read_text()
    assert table in RESULTS_README


def test_earlier_races_are_summed_up() -> None:
    folders = ["race", *LATER_RACES, "race-gain-0.01", "race-shorter-credit-gain-1"]
    tables = [(RESULTS / folder / "race.md").read_text() for folder in folders]
    ratios = [
        float(ratio) for table in tables for ratio in re.findall(r"object_m.* took ([\d.]+) times as long", table)
    ]
    assert len(ratios) == 8
    told = (
        f"other races with equal hyperparameters object matching took it {min(ratios)} to {max(ratios)} times as long"
    )
    assert told in " ".join(README.split())


def test_further_seeds_of_a_race_are_what_the_raw_results_say() -> None:
    later = load_matching("race-again", range(3, 9), RACERS[:1])
    steps, seconds = (
        ", ".join(each) for each in zip(*((f"{run.steps:,}", f"{run.seconds:.0f}") for run in later), strict=True)
    )
    assert f"{steps} steps, {seconds} seconds" in " ".join(RESULTS_README.split())


def load_matching(folder: str, seeds: Iterable[int], agents: Iterable[str]) -> list[Finish]:
    names = (f"object_matching-{agent}-s{seed}.json" for seed, agent in product(seeds, agents))
    return [load_finish(RESULTS / folder / name) for name in names]


def quickest(runs: list[Finish], agent: str, of: Callable[[Finish], float]) -> float:
    """Of an agent's minibatches, by the seconds on the clock, as the table has it."""
    sizes = {run.arguments["algorithm_kwargs"]["batch_size"] for run in runs}
    chosen = [
        [run for run in runs if (run.agent, run.arguments["algorithm_kwargs"]["batch_size"]) == (agent, size)]
        for size in sizes
    ]
    return median_seconds(min(chosen, key=lambda group: median_seconds(group, seconds)), of)


def seconds(run: Finish) -> float:
    return run.seconds


def cpu_seconds(run: Finish) -> float:
    return run.cpu_seconds


@pytest.mark.parametrize("delay", [1000, 10000])
def test_tables_of_later_questions_are_what_the_raw_results_say(delay: int) -> None:
    rows = rows_of("judger", table="judger", evaluation=f"delay-{delay}.json")
    assert len(rows) == 2 + 3
    assert "\n".join(rows) in RESULTS_README


def test_what_the_judger_is_worth_is_what_the_raw_results_say() -> None:
    returns: dict[str, dict[int, float]] = {}
    for run in read_runs(find_runs([RESULTS / "judger"])):
        returns.setdefault(run.folder.name.partition("-")[0], {})[run.config.seed] = run.evaluation["normalized_return"]
    learned, keep, oracle = returns["judger"], returns["keep"], returns["oracle"]
    assert {tuple(seeds) for seeds in returns.values()} == {tuple(range(5))}
    for agent in ("judger", "perplexity", "keep", "oracle", "lstm"):
        assert f"{min(returns[agent].values()):.2f} to {max(returns[agent].values()):.2f}" in README
    assert min(learned[seed] - keep[seed] for seed in learned) > 0.25
    assert all(learned[seed] > 0.9 * oracle[seed] for seed in learned)


def runs_of_cores() -> list[Run]:
    return read_runs(find_runs([RESULTS / "cores"]))


def test_every_core_and_preset_is_in_the_table_of_memories_with_three_seeds() -> None:
    agents = {
        (run.config.env, run.config.memory_class or run.config.policy, run.config.seed) for run in runs_of_cores()
    }
    presets = {"GTrXLPolicy", "TransformerXLPolicy", "CompressiveTransformerPolicy"}
    names = {"CompressiveMemoryPolicy", "MlpPolicy", *presets, *memory_registry} - {"compressive"}
    tasks = {"MemoryAgents/TMaze-v0", "MemoryAgents/ObjectMatching-v0", "MemoryAgents/RepeatFirst-v0"}
    assert agents == set(product(tasks, names, range(3)))


def test_time_of_all_trainings_is_what_the_raw_results_say() -> None:
    seconds = sum(run.evaluation["train_cpu_seconds"] for run in runs_of_cores())
    assert f"The {len(runs_of_cores())} trainings took {seconds:,.0f} CPU seconds" in RESULTS_README


def test_table_of_headline_results_is_what_the_raw_results_say() -> None:
    kinds = [f"{task}-{agent}" for task, agent in product(HEADLINES, HEADLINE_AGENTS)]
    folders = [f"standard/{folder.name}" for kind in kinds for folder in (RESULTS / "standard").glob(f"{kind}-*")]
    assert len(folders) == 3 * len(kinds)
    rows = rows_of(*folders)
    assert len(rows) == 2 + len(kinds)
    assert "\n".join(rows) in README


def test_table_of_environments_is_what_they_say() -> None:
    assert environment_markdown() in README


def test_speed_of_environments_is_what_the_raw_numbers_say() -> None:
    figures = json.loads((RESULTS / "env_speed.json").read_text())["steps_per_second"]
    assert list(figures) == list(ENVIRONMENTS)
    ours = [figures[facts.env_id] / 1e6 for facts in environments() if facts.tags]
    assert f"makes {min(ours):.2f} to {max(ours):.2f} million steps a second" in README


def test_speed_of_batched_environments_is_what_the_raw_numbers_say() -> None:
    results = json.loads((RESULTS / "env_speed_batched.json").read_text())
    figures = results["steps_per_second"]
    assert list(figures) == [env_id for env_id, entry in ENVIRONMENTS.items() if entry.batched is not None]
    speeds = [figure["batched"] / 1e6 for figure in figures.values()]
    ratios = [figure["ratio"] for figure in figures.values()]
    assert f"At {results['n_envs']} copies this makes {min(speeds):.1f} to {max(speeds):.1f} million steps" in README
    assert f"{min(ratios):.0f} to {max(ratios):.0f} times as many as the" in README
    slower = {env_id for env_id, figure in figures.items() if figure["ratio"] < 20}
    assert slower == {"MemoryAgents/Concentration-v0"}


def test_cost_of_late_steps_is_what_the_raw_numbers_say() -> None:
    figures = json.loads((RESULTS / "episode_cost.json").read_text())
    early, late = figures["milliseconds_per_step"].values()
    assert f"ratio {figures['ratio']:.2f}, {early:.1f} ms for {figures['n_envs']} environments" in README
    assert f"{late:.1f}" == f"{early:.1f}"
    assert len(set(figures["state_bytes"].values())) == 1


def test_table_of_memory_arguments_is_complete_and_tells_the_defaults() -> None:
    defaults = CompressiveMemory.__init__.__kwdefaults__
    assert defaults is not None
    for name in defaults:
        assert f"`{name}`" in README
    for name in ("memory_length", "compressed_length", "compression_rate", "mogrifier_rounds"):
        assert f"| `{name}` | {defaults[name]} |" in README
    for name in ("compression", "gating", "norm", "positions", "feedforward"):
        assert f'| `{name}` | `"{defaults[name]}"` |' in README
    sizes = ", ".join(str(defaults[name]) for name in ("n_layers", "n_heads", "d_model"))
    derived = f"{2 * defaults['d_model']}, {defaults['d_model'] // defaults['n_heads']}"
    assert f"| {sizes}, {derived} |" in README


@pytest.mark.parametrize(
    "registry",
    [compression_registry, compression_loss_registry, gate_registry, position_registry, feedforward_registry],
)
def test_every_registered_name_is_told(registry: Mapping[str, object]) -> None:
    for name in registry:
        assert f'`"{name}"`' in README


def test_table_of_memories_names_arguments_that_they_have() -> None:
    rows = dict.fromkeys(memory_registry, "")
    table = re.search(r"\| `memory_class` \| what it remembers.*?\n\n", README, re.DOTALL)
    assert table is not None
    for line in table[0].splitlines()[2:-1]:
        for name in re.findall(r'`"(\w+)"`', line.split("|")[1]):
            rows[name] = line.split("|")[3]
    for name, arguments in rows.items():
        assert arguments, name
        assert set(re.findall(r"`(\w+)`", arguments)) <= set(inspect.signature(memory_registry[name]).parameters)


def test_defaults_that_differ_from_sb3_are_told() -> None:
    agent = PPO("MemoryPolicy", "CartPole-v1", device="cpu")
    assert agent.lr_schedule(1.0) == 2e-3
    assert agent.lr_schedule(0.0) == pytest.approx(2e-4)
    told = re.search(r"Defaults of `PPO` that\s+differ from SB3's:(.*?)Those of `A2C`", README, re.DOTALL)
    assert told is not None
    assert "a learning rate that falls from 2e-3 to 2e-4" in told[1]
    for name in ("n_epochs", "ent_coef", "vf_coef"):
        assert f"`{name}={getattr(agent, name)}`" in told[1]


@pytest.mark.parametrize(
    ("section", "number", "callables"),
    [("The judger", 13, [JudgerTraining]), ("Off-policy", 12, [DQN, QRDQN])],
)
def test_tables_of_arguments_tell_the_defaults(section: str, number: int, callables: list[Callable[..., Any]]) -> None:
    _, _, text = README.partition(f"### {section}\n")
    table = re.search(r"\| argument \| default \| meaning \|\n.*?\n\n", text, re.DOTALL)
    assert table is not None
    defaults: dict[str, str] = {}
    for line in table[0].splitlines()[2:-1]:
        names, values = (cell.strip().split(", ") for cell in line.split("|")[1:3])
        defaults.update(zip((name.strip("`") for name in names), values, strict=True))
    assert len(defaults) == number
    for called, (name, told) in product(callables, defaults.items()):
        default = inspect.signature(called).parameters[name].default
        # What has words in place of a value follows from other arguments.
        words = {"yes": "true", "no": "false", "": "null", "8 windows": "null", "32 transitions": "null"}
        assert json.loads(words.get(told, told.strip("`").replace(",", ""))) == default, name


def test_the_suite_of_runs_can_be_planned(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    suite = parse_suite(block.replace("my_agents:MyPolicy", "gru"), "mine", "README.md")
    runs = plan(suite, tmp_path)
    assert len(runs) == 12
    rehearse_all(runs)


def relative_speeds(folder: str) -> dict[tuple[str, int, str], str]:
    """Times as fast as this library's agent was, end to end, by case, threads and peer."""
    groups, rest = load_results(RESULTS / folder / "results.json")
    assert (RESULTS / folder / "table.md").read_text() == page(groups)
    assert rest["command"].replace(f"runs/{folder}", "FOLDER") in RESULTS_README
    return {
        (group.case, each.threads, row[0]): row[-1]
        for group in groups
        for each, row in zip(group.agents, speed_rows(group)[1:], strict=True)
    }


def test_speed_is_what_the_raw_numbers_say() -> None:
    relative = relative_speeds("throughput")

    def cells(case: str, peer: str, numbers: dict[tuple[str, int, str], str] = relative) -> list[str]:
        return [f"{numbers[case, n, peer]} ({numbers[case, n, peer + '_loopless']})" for n in (1, 2)]

    for start, case, peer in (
        ("LSTM of width 64, 8 environments, minibatches of 256", "lstm", "recurrent_ppo"),
        ("the same, each agent's quickest minibatches", "lstm-quickest", "recurrent_ppo"),
        (
            "compressive memory against an LSTM of width 256, their defaults, 16 environments, minibatches of 512",
            "compressive-default-sizes",
            "recurrent_ppo_256",
        ),
        ("the same, 8 environments, minibatches of 256", "compressive", "recurrent_ppo_256"),
        ("the same, each agent's quickest minibatches", "compressive-quickest", "recurrent_ppo_256"),
    ):
        assert f"| {' | '.join([start, *cells(case, peer)])} |" in README
    earlier = cells("compressive-default-sizes", "recurrent_ppo_256", relative_speeds("throughput-again"))
    words = " ".join(README.split())
    assert f"the third row was {' and '.join(earlier)} (" in words
    groups, _ = load_results(RESULTS / "throughput" / "results.json")
    one, two = (speed_rows(group)[2][-3] for group in groups if group.case == "slots")
    assert f"Acting with 512 slots takes {one} times as long as with 64, with two threads {two} times." in words


@pytest.mark.parametrize("width", [64, 128])
def test_profiles_are_what_the_raw_numbers_say(width: int) -> None:
    folder = RESULTS / "profile" / f"width-{width}"
    raw = json.loads((folder / "profile.json").read_text())
    table = (folder / "profile.md").read_text()
    for phase in raw["phases"]:
        operators = tuple(Operator(**each) for each in phase["operators"])
        known = Phase(phase["name"], phase["unit"], phase["ms"], phase["profiled_ms"], operators)
        assert known.outside_ms == phase["outside_ms"]
        assert phase_table(known) in table
        assert (phase_table(known) in PERFORMANCE) == (width == 128 and phase["name"] == "learning")
    command = raw["command"].replace(f"runs/profile/width-{width}", "FOLDER").replace("d_model=64", "d_model=128")
    assert command in PERFORMANCE
    assert raw["subject"]["config"]["memory_kwargs"]["d_model"] == width
