from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.sweeps.plan import Choice, PlannedRun, distinct, plan
from memory_agents.benchmarks.sweeps.suite_file import SuiteFile, parse_suite
from tests.benchmarks.sweeps.small import SMALL

TWO = """
agents = ["memoryless", { agent = "lstm", algorithm_kwargs = { gamma = 0.5, n_epochs = 2 } }, "oracle", "random"]
seeds = [3, 4]
total_timesteps = 200

[[environments]]
id = "MemoryAgents/TMaze-v0"
env_kwargs = { corridor = 2 }
total_timesteps = 100
algorithm_kwargs = { gamma = 0.9 }

[[environments]]
id = "MemoryAgents/CartPoleNoVelocity-v0"
normalize_reward = true
eval_episodes = 7
"""


def suite(text: str = TWO) -> SuiteFile:
    return parse_suite(text, "two", "two.toml")


def titles(runs: list[PlannedRun]) -> list[str]:
    return [run.title for run in runs]


def test_seeds_come_last_and_oracles_only_where_there_are_some(tmp_path: Path) -> None:
    assert titles(plan(suite(), tmp_path)) == [
        f"{environment} {agent} s{seed}"
        for seed in (3, 4)
        for environment, agents in (
            ("TMaze", ("memoryless", "lstm", "oracle", "random")),
            ("CartPoleNoVelocity", ("memoryless", "lstm", "random")),
        )
        for agent in agents
    ]


def test_arguments_come_from_suite_environment_and_agent(tmp_path: Path) -> None:
    runs = {run.title: run.config for run in plan(suite(), tmp_path)}
    shared: dict[str, Any] = dict(threads=1, device="cpu", seed=3)
    maze = TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 2}, total_timesteps=100, **shared)
    assert runs["TMaze memoryless s3"] == replace(maze, policy="MlpPolicy", algorithm_kwargs={"gamma": 0.9})
    lstm: dict[str, Any] = dict(
        policy="MemoryPolicy", memory_class="lstm", algorithm_kwargs={"gamma": 0.5, "n_epochs": 2}
    )
    assert runs["TMaze lstm s3"] == replace(maze, **lstm)
    assert runs["TMaze oracle s3"] == replace(maze, policy="Oracle", algorithm="Scripted", total_timesteps=0)
    pole = TrainingConfig(
        "MemoryAgents/CartPoleNoVelocity-v0", normalize_reward=True, total_timesteps=200, eval_episodes=7, **shared
    )
    assert runs["CartPoleNoVelocity lstm s3"] == replace(pole, **lstm)
    assert runs["CartPoleNoVelocity random s3"] == replace(
        pole, policy="Random", algorithm="Scripted", total_timesteps=0, normalize_reward=False
    )


def test_a_part_can_be_chosen(tmp_path: Path) -> None:
    choice = Choice(["gru", "lstm", "GTrXLPolicy"], ["TMaze"], [7], 50, "auto")
    runs = plan(suite(), tmp_path, choice)
    assert titles(runs) == ["TMaze gru s7", "TMaze lstm s7", "TMaze GTrXLPolicy s7"]
    assert {(run.config.total_timesteps, run.config.device) for run in runs} == {(50, "auto")}
    twice = Choice(["gru", "gru"], ["TMaze", "TMaze"], [7])
    assert titles(plan(suite(), tmp_path, twice)) == ["TMaze gru s7"]
    # The suite's own agent goes before the one that is called so everywhere.
    assert runs[1].config.algorithm_kwargs == {"gamma": 0.5, "n_epochs": 2}


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        (Choice(["lstn"]), "--policies 'lstn' is unknown; did you mean lstm"),
        (Choice(environments=["tmaze"]), "--envs 'tmaze' is unknown; did you mean TMaze"),
        (Choice(["oracle"], ["CartPoleNoVelocity"] * 2), "--policies oracle leaves nothing to run"),
    ],
)
def test_what_cannot_be_chosen_is_refused(choice: Choice, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        plan(suite(), tmp_path, choice)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SMALL.replace("TMaze-v0", "TMace-v0"), r"two.toml: environments\[0\]: .*TMace-v0' is unknown; did you mean"),
        (SMALL.replace("corridor = 2", "corridor = -2"), r"two.toml: environments\[0\]: .*corridor"),
        (
            SMALL.replace("env_kwargs =", "pretrain_timesteps = 500, pretrain_env_kwargs ="),
            r"environments\[0\] with two.toml: agents\[0\]: --pretrain-timesteps 500",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        plan(suite(text), tmp_path)


def test_names_that_look_alike_are_refused(tmp_path: Path) -> None:
    agents = '[{ agent = "gru", name = "a b" }, { agent = "gru", name = "a-b" }]'
    text = f'environments = ["MemoryAgents/TMaze-v0"]\nagents = {agents}'
    with pytest.raises(UsageError, match="agents 'a b' and 'a-b' would both be written to"):
        plan(suite(text), tmp_path)


def test_seeds_are_not_told_apart_when_arguments_are_tried(tmp_path: Path) -> None:
    assert titles(distinct(plan(suite(SMALL), tmp_path))) == ["TMaze lstm s0", "TMaze memoryless s0"]


def test_an_agent_under_two_names_is_refused(tmp_path: Path) -> None:
    complaint = "agents 'memoryless' and 'MlpPolicy' are the same, and each run would be done twice; leave one"
    with pytest.raises(UsageError, match=complaint):
        plan(suite(SMALL), tmp_path, Choice(["memoryless", "lstm", "MlpPolicy"]))
    with pytest.raises(UsageError, match=complaint):
        plan(
            suite(SMALL.replace('"lstm"', '"MlpPolicy"').replace('"memoryless"', '"lstm"')),
            tmp_path,
            Choice(["memoryless", "MlpPolicy"]),
        )


TWICE = """
agents = ["lstm", { agent = "lstm", name = "patient", algorithm_kwargs = { gamma = 0.9 } }, "oracle"]
environments = [
    { id = "MemoryAgents/TMaze-v0", total_timesteps = 100 },
    { id = "MemoryAgents/TMaze-v0", name = "other", total_timesteps = 200, algorithm_kwargs = { gamma = 0.9 } },
]
seeds = [0]
"""


def test_an_environment_under_two_names_is_refused(tmp_path: Path) -> None:
    text = TWICE.replace(", algorithm_kwargs = { gamma = 0.9 } },\n]", " },\n]")
    assert len(plan(suite(text), tmp_path)) == 5
    with pytest.raises(UsageError, match=r"environments 'TMaze' and 'other' are the same, .* leave one of them out"):
        plan(suite(text), tmp_path, Choice(budget=50))


def test_runs_that_are_the_same_here_and_there_are_done_once(tmp_path: Path) -> None:
    # Both agents have the same discount in the other environment, and to an oracle the environments are the same.
    assert titles(plan(suite(TWICE), tmp_path)) == [
        "TMaze lstm s0", "TMaze patient s0", "TMaze oracle s0", "other lstm s0"
    ]  # fmt: skip


def test_an_environment_named_twice_is_one(tmp_path: Path) -> None:
    runs = plan(suite(SMALL), tmp_path, Choice(["lstm"], ["TMaze", "TMaze"], [0]))
    assert titles(runs) == ["TMaze lstm s0"]
