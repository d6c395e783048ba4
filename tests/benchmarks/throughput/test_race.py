from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.evaluation import evaluate
from memory_agents.benchmarks.throughput import race as racing
from memory_agents.benchmarks.throughput import race_cli
from memory_agents.benchmarks.throughput.race import (
    Finish,
    Rules,
    load_finish,
    median_seconds,
    race,
    race_table,
    save_finish,
)

SMALL = TrainingConfig(
    env="MemoryAgents/TMaze-v0",
    env_kwargs={"corridor": 3},
    policy="MemoryPolicy",
    memory_class="lstm",
    n_envs=4,
    threads=1,
    device="cpu",
    algorithm_kwargs={"n_steps": 16},
)


def finish(agent: str, seed: int, seconds: float, solved: bool = True, **known: Any) -> Finish:
    values: dict[str, Any] = dict(
        task="tmaze",
        agent=agent,
        seed=seed,
        arguments={},
        rules={},
        max_seconds=None,
        solved=solved,
        steps=int(1000 * seconds),
        seconds=seconds,
        cpu_seconds=seconds / 2,
        checks=[(4096, seconds, 1.0)],
        is_recurrent_ppo=agent.startswith("recurrent"),
        commit=None,
        versions={},
        hardware={},
    )
    return Finish(**{**values, **known})


def test_a_run_that_never_solves_it_is_given_up() -> None:
    rules = Rules(budget=256, check_every=70, episodes=4, success_rate=2.0)
    found = race("tmaze", "lstm", SMALL, rules)
    assert not found.solved
    # After the updates, of 64 steps each, that follow 70 and, from there, 70 steps; and at the end.
    assert [steps for steps, _, _ in found.checks] == [128, 256]
    assert found.steps == 256
    assert all(rate <= 1 for _, _, rate in found.checks)
    assert found.arguments == asdict(SMALL)


def test_memory_solves_what_cannot_be_solved_without() -> None:
    rules = Rules(budget=16_384, check_every=2048, episodes=100)
    config = replace(SMALL, n_envs=8, total_timesteps=rules.budget, algorithm_kwargs={})
    found = race("tmaze", "lstm", config, rules)
    assert found.solved
    assert found.checks[-1][2] >= 0.95
    without = replace(config, policy="MlpPolicy", memory_class=None)
    assert not race("tmaze", "memoryless", without, rules).solved


def test_it_is_over_when_it_is_solved() -> None:
    rules = Rules(budget=1024, check_every=64, episodes=4, success_rate=0.0)
    found = race("tmaze", "lstm", SMALL, rules)
    assert found.solved
    assert found.steps == 64
    assert len(found.checks) == 1
    assert found.seconds == found.checks[0][1] > 0


@pytest.mark.parametrize(("rate", "solved"), [(0.95, True), (0.94, False)])
def test_it_is_solved_from_the_rate_on_in_so_many_episodes(
    rate: float, solved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = []

    def pretended(_: Any, config: TrainingConfig) -> Any:
        played.append(config.eval_episodes)
        return SimpleNamespace(success_rate=rate)

    monkeypatch.setattr(racing, "evaluate", pretended)
    found = race("tmaze", "lstm", SMALL, Rules(budget=64, check_every=64, episodes=7))
    assert found.solved == solved
    assert found.checks[-1][2] == rate
    # The first only looks whether there are successes.
    assert played == [1, 7]


@pytest.mark.parametrize(("threads", "expected"), [(3, [3]), (None, [])])
def test_it_runs_on_the_threads_that_are_asked_for(
    threads: int | None, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    monkeypatch.setattr(th, "set_num_threads", found.append)
    race("tmaze", "lstm", replace(SMALL, threads=threads), Rules(budget=64, check_every=64, episodes=1))
    # Small steps are taken by one, after which it is as before.
    assert [n_threads for n_threads in found if n_threads != 1] == expected


def test_who_is_far_behind_is_given_up() -> None:
    first = finish("compressive", 0, 0.001)
    found = race("tmaze", "lstm", SMALL, Rules(budget=1024, check_every=1024, success_rate=2.0, max_ratio=2.0), first)
    assert found.max_seconds == 0.002
    assert not found.solved
    # After the first update.
    assert found.steps == 64
    assert [steps for steps, _, _ in found.checks] == [64]
    assert found.seconds >= 0.002


@pytest.mark.parametrize(("seconds", "solved"), [(1000.0, True), (0.001, False)])
def test_who_is_not_far_behind_goes_on(seconds: float, solved: bool) -> None:
    rules = Rules(budget=128, check_every=1024, episodes=1, success_rate=2.0, max_ratio=2.0)
    found = race("tmaze", "lstm", SMALL, rules, finish("compressive", 0, seconds, solved))
    assert found.steps == 128
    assert found.max_seconds == (2000.0 if solved else None)


def test_who_solves_it_at_the_last_moment_has_solved_it() -> None:
    rules = Rules(budget=1024, check_every=1024, episodes=1, success_rate=0.0, max_ratio=2.0)
    found = race("tmaze", "lstm", SMALL, rules, finish("compressive", 0, 0.001))
    assert found.solved
    assert found.steps == 64


def test_nobody_is_given_up_before_the_first_update() -> None:
    rules = Rules(budget=1024, check_every=1024, episodes=1, success_rate=2.0, max_ratio=1.0)
    found = race("tmaze", "lstm", SMALL, rules, finish("compressive", 0, 0.0))
    assert [steps for steps, _, _ in found.checks] == [64]


def test_evaluations_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: Any) -> Any:
        time.sleep(0.5)
        return evaluate(*args)

    ticks = count()
    clocks = SimpleNamespace(perf_counter=time.perf_counter, process_time=lambda: float(next(ticks)))
    monkeypatch.setattr(racing, "evaluate", slow)
    monkeypatch.setattr(racing, "time", clocks)
    rules = Rules(budget=256, check_every=64, episodes=1, success_rate=2.0)
    began = time.perf_counter()
    found = race("tmaze", "lstm", SMALL, rules)
    passed = time.perf_counter() - began
    assert len(found.checks) == 4
    assert found.seconds < passed - 5 * 0.5
    # One tick passes before each of them, and one while it lasts.
    assert found.cpu_seconds == 4
    assert [seconds for _, seconds, _ in found.checks] == sorted(seconds for _, seconds, _ in found.checks)


def test_checks_change_nothing_of_what_is_learned() -> None:
    often = race("tmaze", "lstm", SMALL, Rules(256, 64, 4, 2.0))
    once = race("tmaze", "lstm", SMALL, Rules(256, 256, 4, 2.0))
    assert often.checks[-1][2] == once.checks[-1][2]


def test_the_environment_must_tell_successes() -> None:
    config = replace(SMALL, env="MemoryAgents/CartPoleNoVelocity-v0", env_kwargs={})
    with pytest.raises(UsageError, match="does not tell when an episode is a success"):
        race("cartpole", "lstm", config, Rules(64, 64, 1, 1.0))


def test_results_come_back(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    one = finish("compressive", 1, 12.5)
    save_finish(one, path)
    assert load_finish(path) == one
    path.write_text("{}")
    with pytest.raises(UsageError, match="is not the result of a race"):
        load_finish(path)


def test_medians_know_who_gave_up() -> None:
    runs = [finish("a", 0, 10), finish("a", 1, 30, solved=False), finish("a", 2, 20)]
    assert median_seconds(runs, lambda each: each.seconds) == 20
    assert median_seconds([*runs, finish("a", 3, 30, solved=False)], lambda each: each.seconds) == math.inf


def test_the_first_is_compared_with_the_quickest_recurrent_ppo() -> None:
    runs = [finish("compressive", seed, 10.0 + seed) for seed in (1, 0, 2)]
    runs += [finish("recurrent_ppo_256", seed, 44.0) for seed in range(3)]
    runs += [finish("recurrent_ppo_defaults", seed, 600.0, solved=seed == 0) for seed in range(3)]
    runs += [finish("lstm", seed, 1.0) for seed in range(3)]
    heading, _, *rows, _, line = race_table(runs).strip().splitlines()
    assert heading.startswith("| task | agent | seeds | solved |")
    assert rows[0] == "| tmaze | compressive | 0, 1, 2 | 3 of 3 | 10,000, 11,000, 12,000 | 10, 11, 12 | 11 | 6 |"
    assert "| recurrent_ppo_defaults | 0, 1, 2 | 1 of 3 | 600,000, > 600,000, > 600,000 |" in rows[2]
    assert rows[2].endswith("| > 600 | > 300 |")
    expected = "recurrent_ppo_256, the quickest RecurrentPPO, took 4.0 times as long as compressive (medians)"
    assert line == f"tmaze: {expected}."


def test_agents_are_compared_with_the_minibatches_that_are_their_quickest() -> None:
    def sized(agent: str, size: int, seconds: float, **known: Any) -> Finish:
        arguments = {"algorithm_kwargs": {"batch_size": size}}
        return finish(agent, 0, seconds, arguments=arguments, **known)

    runs = [sized("compressive", 256, 5.0, solved=False), sized("compressive", 512, 10.0)]
    runs += [sized("recurrent_ppo_256", size, seconds) for size, seconds in ((256, 70.0), (512, 40.0), (1024, 90.0))]
    *table, _, line = race_table(runs).strip().splitlines()
    assert [row.split(" | ")[1] for row in table[2:]] == [
        "compressive with minibatches of 256",
        "compressive with minibatches of 512",
        *(f"recurrent_ppo_256 with minibatches of {size}" for size in (256, 512, 1024)),
    ]
    expected = "recurrent_ppo_256 with minibatches of 512, the quickest RecurrentPPO, took 4.0 times as long as"
    assert line == f"tmaze: {expected} compressive with minibatches of 512 (medians)."


def test_comparisons_with_those_who_gave_up() -> None:
    first = [finish("compressive", 0, 10.0)]
    lost = [finish("recurrent_ppo_256", 0, 600.0, solved=False)]
    assert "took more than 60.0 times as long as compressive" in race_table([*first, *lost])
    gone = [finish("compressive", 0, 10.0, solved=False)]
    assert "compressive did not solve it on most seeds" in race_table([*gone, *lost])
    assert "RecurrentPPO" not in race_table(first)
    # Of an even number of seeds the later one of the two in the middle, on both sides.
    first = [finish("compressive", seed, seconds) for seed, seconds in enumerate((10.0, 20.0))]
    lost = [finish("recurrent_ppo_256", seed, seconds, solved=False) for seed, seconds in enumerate((500.0, 700.0))]
    table = race_table([*first, *lost])
    assert "| > 700 | > 350 |" in table
    # A median of what was given up is no more than a bound.
    assert "took more than 30.0 times as long as compressive" in table


def test_recurrent_ppo_is_not_compared_with_itself() -> None:
    runs = [finish("recurrent_ppo_256", 0, 10.0), finish("recurrent_ppo_defaults", 0, 30.0), finish("lstm", 0, 5.0)]
    table = race_table(runs)
    assert len(table.strip().splitlines()) == 5
    assert "times as long" not in table


def test_tasks_are_compared_one_by_one() -> None:
    seconds = {("tmaze", "compressive"): 10.0, ("tmaze", "recurrent_ppo_256"): 30.0}
    seconds |= {("object_matching", "compressive"): 20.0, ("object_matching", "recurrent_ppo_256"): 50.0}
    runs = [finish(agent, 0, taken, task=task) for (task, agent), taken in seconds.items()]
    *table, _, first, _, second = race_table(runs).strip().splitlines()
    assert [tuple(row.split(" | ")[:2]) for row in table[2:]] == [(f"| {task}", agent) for task, agent in seconds]
    assert first.startswith("tmaze: recurrent_ppo_256, the quickest RecurrentPPO, took 3.0 times")
    assert second.startswith("object_matching: recurrent_ppo_256, the quickest RecurrentPPO, took 2.5 times")


def test_the_command_and_its_repetition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["race", "--task", "tmaze", "--policies", "lstm,recurrent_ppo_defaults", "--seeds", "0", "--n-envs", "2"]
    args += ["--budget", "256", "--check-every", "256", "--eval-episodes", "2", "--out", str(tmp_path)]
    assert run(args) == 0
    first = capsys.readouterr().out
    files = sorted(path.name for path in tmp_path.glob("*.json"))
    assert files == ["tmaze-lstm-s0.json", "tmaze-recurrent_ppo_defaults-s0.json"]
    content = json.loads((tmp_path / files[1]).read_text())
    assert content["is_recurrent_ppo"] is True
    assert content["arguments"]["algorithm_kwargs"]["n_epochs"] == 10
    assert content["arguments"]["env_kwargs"] == {"corridor": 20}
    assert (tmp_path / "race.md").read_text() in first
    # Nothing is run again.
    assert run(args) == 0
    assert "tmaze-lstm-s0: " not in capsys.readouterr().out
    assert run([*args, "--budget", "512"]) == 2
    assert "is of a run with other arguments" in capsys.readouterr().err


def test_all_agents_get_the_hyperparameters_that_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = {}

    def pretended(task: str, agent: str, config: TrainingConfig, rules: Rules, first: Finish | None) -> Finish:
        met[agent] = config.algorithm_kwargs
        return finish(agent, config.seed, 1.0, task=task, arguments=asdict(config), rules=asdict(rules))

    monkeypatch.setattr(race_cli, "race", pretended)
    args = ["race", "--task", "tmaze", "--seeds", "0", "--policies", "lstm,recurrent_ppo_defaults"]
    args += ["--algorithm-kwargs", "ent_coef=0.02", "--algorithm-kwargs", "n_epochs=3", "--out", str(tmp_path)]
    assert run(args) == 0
    assert met["lstm"] == {"ent_coef": 0.02, "n_epochs": 3}
    # Over its own, of which the others stay.
    assert met["recurrent_ppo_defaults"].items() >= {"ent_coef": 0.02, "n_epochs": 3, "batch_size": 128}.items()


def test_the_first_of_a_task_and_seed_bounds_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = []

    def pretended(task: str, agent: str, config: TrainingConfig, rules: Rules, first: Finish | None) -> Finish:
        met.append((task, agent, config.seed, first and (first.task, first.agent, first.seed), rules.max_ratio))
        return finish(agent, config.seed, 1.0, task=task, arguments=asdict(config), rules=asdict(rules))

    monkeypatch.setattr(race_cli, "race", pretended)
    args = ["race", "--seeds", "0,1", "--policies", "lstm,gru,recurrent_ppo_256", "--max-ratio", "7"]
    assert run([*args, "--out", str(tmp_path)]) == 0
    expected = [
        (task, agent, seed, None if agent == "lstm" else (task, "lstm", seed), 7.0)
        for seed in (0, 1)
        for task in racing.TASKS
        for agent in ("lstm", "gru", "recurrent_ppo_256")
    ]
    assert met == expected
    # A result that is kept bounds those that are not.
    met.clear()
    (tmp_path / "tmaze-gru-s1.json").unlink()
    assert run([*args, "--out", str(tmp_path)]) == 0
    assert met == [("tmaze", "gru", 1, ("tmaze", "lstm", 1), 7.0)]


def test_every_agent_is_trained_with_every_minibatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = {("lstm", 64): 9.0, ("lstm", 128): 3.0, ("lstm", 256): 1.0, ("lstm", 512): 6.0}
    bounds = {}

    def pretended(task: str, agent: str, config: TrainingConfig, rules: Rules, first: Finish | None) -> Finish:
        key = agent, config.algorithm_kwargs["batch_size"]
        bounds[key] = first and first.seconds
        arguments, solved = asdict(config), key != ("lstm", 256)
        known: dict[str, Any] = dict(task=task, arguments=arguments, rules=asdict(rules), solved=solved)
        return finish(agent, config.seed, seconds.get(key, 30.0), **known)

    monkeypatch.setattr(race_cli, "race", pretended)
    args = ["race", "--task", "tmaze", "--seeds", "0", "--policies", "lstm,recurrent_ppo_256"]
    assert run([*args, "--batch-size", "64,128", "--batch-size", "256,512", "--out", str(tmp_path)]) == 0
    # By the first agent's quickest so far; what was given up does not count.
    theirs = {("recurrent_ppo_256", size): 3.0 for size in (64, 128, 256, 512)}
    assert bounds == {("lstm", 64): None, ("lstm", 128): 9.0, ("lstm", 256): 3.0, ("lstm", 512): 3.0, **theirs}
    assert (tmp_path / "tmaze-lstm-b128-s0.json").is_file()
    assert len(list(tmp_path.glob("*.json"))) == 8
    assert "took 10.0 times as long as lstm with minibatches of 128 (medians)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--task", "tmase"], "did you mean tmaze"),
        (["--policies", "random"], "learns nothing"),
        (["--seeds", "x"], "--seeds 'x'"),
        (["--success-rate", "1.5"], "--success-rate"),
        (["--device", "gpu"], "--device 'gpu'"),
        (["--max-ratio", "0.5"], "--max-ratio"),
        (["--batch-size", "1"], "--batch-size '1'"),
        (["--algorithm-kwargs", "ent_coef"], "--algorithm-kwargs 'ent_coef'"),
        (["--algorithm-kwargs", "entropy=0.02"], "entropy"),
    ],
)
def test_bad_arguments(args: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "race"
    assert run(["race", "--out", str(out), *args]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()
