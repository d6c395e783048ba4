from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory_agents import PPO, make_batched
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.throughput.cases import CASES, grid, shipped
from memory_agents.benchmarks.throughput.results import load_results
from memory_agents.benchmarks.throughput.subject import Conditions, make


def test_every_case_can_be_made() -> None:
    groups = shipped(list(CASES), [1, 2], ["cpu"], 3)
    assert {group.case.partition("-")[0] for group in groups} == set(CASES)
    known = set()
    for group in groups:
        assert len({(entry.conditions.threads, entry.conditions.device) for entry in group.entries}) == 1
        assert (group.axis is None) == all(entry.at is None for entry in group.entries)
        for entry in group.entries:
            subject = entry.conditions.subject(entry.agent)
            assert subject.config.seed == 3
            shape = (entry.agent, repr(subject.config.memory_kwargs), subject.config.env)
            if shape not in known:
                known.add(shape)
                make(subject)[1].close()


def test_what_takes_long_has_one_number_of_threads() -> None:
    groups = shipped(["lstm", "scaling"], [1, 2], ["cpu"], 0)
    for case in ("lstm", "lstm-quickest"):
        assert [group.threads for group in groups if group.case == case] == [1, 2]
    assert {group.threads for group in groups if not group.case.startswith("lstm")} == {1}


def test_conditions_of_the_comparisons() -> None:
    lstm, (*compressive, _), (slots,), (width,) = (
        shipped([name], [1], ["cpu"], 0) for name in ("lstm", "compressive", "slots", "width")
    )
    for same, quickest in (lstm, compressive):
        assert {entry.conditions.batch_sizes for entry in same.entries} == {(256,)}
        assert {entry.conditions.batch_sizes for entry in quickest.entries} == {(128, 256, 512, 1024)}
    for group in (*lstm, *compressive):
        for entry in group.entries:
            conditions = entry.conditions
            assert (conditions.env, conditions.n_envs, conditions.window) == (
                "MemoryAgents/CartPoleNoVelocity-v0",
                8,
                128,
            )
    assert [entry.conditions.memory_kwargs for entry in slots.entries] == [
        {"compressed_length": 64},
        {"compressed_length": 512},
    ]
    assert {entry.conditions.n_envs for entry in slots.entries} == {16}
    assert width.entries[0].conditions.memory_kwargs == {"d_model": 128}


def test_default_sizes_are_those_of_an_agent_that_is_not_told_any() -> None:
    default = shipped(["compressive"], [1], ["cpu"], 0)[-1]
    assert "16 environments and minibatches of 512 transitions" in default.title
    agent = PPO("CompressiveMemoryPolicy", make_batched("MemoryAgents/CartPoleNoVelocity-v0", TrainingConfig.n_envs))
    for entry in default.entries:
        conditions = entry.conditions
        assert conditions.env == "MemoryAgents/CartPoleNoVelocity-v0"
        assert (conditions.n_envs, conditions.window) == (agent.n_envs, agent.n_steps)
        assert conditions.batch_sizes == (agent.batch_size,)


def test_grids_are_every_combination() -> None:
    memories = [{"hidden_size": 8}, {"hidden_size": 16}]
    groups = grid(["lstm", "gru"], Conditions(), memories, [1, 2], [16], [1, 2], ["cpu"])
    assert [group.threads for group in groups] == [1, 2]
    assert [len(group.entries) for group in groups] == [8, 8]
    # Two things differ, and a picture has one axis.
    assert groups[0].axis is None


@pytest.mark.parametrize(
    ("memories", "n_envs", "windows", "axis", "at"),
    [
        ([], [1, 8], [16], "environments", [1, 8]),
        ([], [8], [16, 32, 64], "window", [16, 32, 64]),
        (
            [{"memory_length": 4, "n_layers": 1}, {"memory_length": 8, "n_layers": 1}],
            [8],
            [16],
            "memory_length",
            [4, 8],
        ),
        ([{"gating": "gru"}, {"gating": "none"}], [8], [16], None, [None, None]),
        ([{"memory_length": 4}, {}], [8], [16], None, [None, None]),
        ([{"judger": True}, {"judger": False}], [8], [16], None, [None, None]),
        ([{"memory_length": 4, "n_layers": 1}, {"memory_length": 8, "n_layers": 2}], [8], [16], None, [None, None]),
        ([], [8], [16], None, [None]),
    ],
)
def test_the_axis_is_what_differs(
    memories: list[dict[str, object]], n_envs: list[int], windows: list[int], axis: str | None, at: list[float | None]
) -> None:
    (group,) = grid(["compressive"], Conditions(), memories, n_envs, windows, [1], ["cpu"])
    assert group.axis == axis
    assert [entry.at for entry in group.entries] == at


def test_agents_without_a_memory_of_ours_are_measured_once() -> None:
    sizes = [{"hidden_size": 8}, {"hidden_size": 16}]
    (group,) = grid(["recurrent_ppo", "lstm", "memoryless"], Conditions(), sizes, [8], [16], [1], ["cpu"])
    assert group.axis == "hidden_size"
    assert [(entry.agent, entry.at) for entry in group.entries] == [
        ("recurrent_ppo", None),
        ("lstm", 8),
        ("lstm", 16),
        ("memoryless", None),
    ]
    assert [entry.conditions.memory_kwargs for entry in group.entries] == [{}, *sizes, {}]
    # Environments are something that all have.
    (group,) = grid(["recurrent_ppo", "lstm"], Conditions(), [{"hidden_size": 8}], [1, 8], [16], [1], ["cpu"])
    assert [entry.at for entry in group.entries] == [1, 8, 1, 8]


def test_arguments_of_policies_are_variants_of_agents_with_a_memory_of_ours() -> None:
    variants = [{}, {"autocast": "bfloat16"}]
    (group,) = grid(["lstm", "recurrent_ppo"], Conditions(), [], [1, 8], [16], [1], ["cpu"], variants)
    assert [(entry.agent, entry.conditions.policy_kwargs, entry.at) for entry in group.entries] == [
        ("lstm", {}, 1),
        ("lstm", {}, 8),
        ("lstm", {"autocast": "bfloat16"}, 1),
        ("lstm", {"autocast": "bfloat16"}, 8),
        ("recurrent_ppo", {}, 1),
        ("recurrent_ppo", {}, 8),
    ]


def test_arguments_of_policies_are_measured(tmp_path: Path) -> None:
    args = ["--policies", "lstm", "--n-envs", "2", "--window", "8", "--n-epochs", "1", "--repeats", "1"]
    args += ["--threads", "1", "--policy-kwargs", "{}", "--policy-kwargs", '{"autocast": "bfloat16"}']
    assert run(["throughput", *args, "--out", str(tmp_path)]) == 0
    ((plain, mixed),) = (group.agents for group in load_results(tmp_path / "results.json")[0])
    assert (plain.arguments["policy_kwargs"], mixed.arguments["policy_kwargs"]) == ({}, {"autocast": "bfloat16"})
    # As many operations, and a peak in numbers of their own.
    assert plain.flops == mixed.flops
    assert mixed.best_rate == mixed.peak["bfloat16"] == plain.peak["bfloat16"]
    assert plain.best_rate == max(rate for name, rate in plain.peak.items() if name != "bfloat16")
    table = (tmp_path / "table.md").read_text()
    assert table.count("| lstm | - | autocast=bfloat16 | 2 | 8 |") == 2
    assert table.count("| lstm | - | - | 2 | 8 |") == 2


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "speed"
    args = ["--policies", "lstm", "--env", "MemoryAgents/TMaze-v0", "--env-kwargs", "corridor=4", "--n-envs", "2"]
    args += ["--window", "8,16", "--n-epochs", "1", "--repeats", "2", "--threads", "1", "--clock", "cpu"]
    args += ["--memory-kwargs", "hidden_size=8", "--seed", "4", "--batch-size", "16"]
    assert run(["throughput", *args, "--out", str(out)]) == 0
    (group,), rest = load_results(out / "results.json")
    assert rest["rounds"] == 2
    assert (group.axis, group.at, group.clock) == ("window", (8.0, 16.0), "cpu")
    short, long = group.agents
    assert (short.window, long.window, short.batch_size, long.updates, short.n_epochs) == (8, 16, 16, 2, 1)
    assert short.arguments["memory_kwargs"] == {"hidden_size": 8}
    assert (short.arguments["env_kwargs"], short.arguments["seed"]) == ({"corridor": 4}, 4)
    assert short.memory["process_mib"] > 0
    shown = capsys.readouterr().out
    assert (out / "table.md").read_text().strip() in shown
    assert json.loads((out / "results.json").read_text())["groups"][0]["case"] == "grid"
    assert {path.suffix for path in out.iterdir()} == {".json", ".md", ".png", ".svg"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--case", "lsmt"], ["--case 'lsmt'", "did you mean lstm"]),
        (["--n-envs", "4"], ["--n-envs", "--policies"]),
        (["--case", "lstm", "--policies", "lstm"], ["--case lstm", "--policies"]),
        (["--policies", "lsmt"], ["--policies 'lsmt'", "lstm"]),
        (["--policies", "oracle"], ["oracle", "learns nothing"]),
        (["--policies", ","], ["--policies ','", "names no agent"]),
        (["--policies", "lstm", "--window", "0"], ["--window '0'", "whole numbers from 2"]),
        (["--policies", "lstm", "--window", "many"], ["--window 'many'"]),
        (["--policies", "lstm", "--window", "16", "--batch-size", "24"], ["--batch-size 24", "sequence_length"]),
        (["--policies", "lstm", "--env", "TMaze"], ["TMaze", "MemoryAgents/TMaze-v0"]),
        (["--policies", "lstm", "--memory-kwargs", "n_layer=1"], ["n_layer"]),
        (
            ["--policies", "recurrent_ppo,memoryless", "--memory-kwargs", "hidden_size=16"],
            ["--memory-kwargs hidden_size=16", "recurrent_ppo", "leave it out"],
        ),
        (["--policies", "lstm", "--policy-kwargs", "autocast=float16"], ["autocast", "bfloat16"]),
        (["--policies", "lstm", "--policy-kwargs", "memory_class=gru"], ["--policy-kwargs memory_class"]),
        (["--policies", "recurrent_ppo", "--policy-kwargs", "compile=true"], ["--policy-kwargs compile=true", "lstm"]),
        (["--policy-kwargs", "compile=true"], ["--policy-kwargs", "--policies"]),
        (["--threads", "2", "--clock", "cpu"], ["--clock cpu", "--threads 1"]),
        (["--clock", "cup"], ["--clock 'cup'", "cpu"]),
        (["--device", "gpu"], ["--device 'gpu'"]),
        (["--repeats", "0"], ["--repeats"]),
    ],
)
def test_bad_arguments_exit_2_with_one_line(
    args: list[str], words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speed"
    assert run(["throughput", *args, "--out", str(out)]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert all(word in captured.err for word in words)
    assert not out.exists()
