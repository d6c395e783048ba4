from __future__ import annotations

from pathlib import Path

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.sweeps.named_agents import named_agents
from memory_agents.benchmarks.sweeps.plan import plan
from memory_agents.benchmarks.sweeps.suite_file import load_suite, parse_suite, shipped
from memory_agents.benchmarks.sweeps.sweep import rehearse_all
from memory_agents.envs import ENVIRONMENTS
from memory_agents.memory import memory_registry
from tests.benchmarks.sweeps.small import SMALL

TMAZE = 'environments = ["MemoryAgents/TMaze-v0"]\n'


def test_the_suites_that_are_shipped() -> None:
    assert list(shipped()) == ["memory-gym", "minigrid", "popgym", "quick", "smoke", "standard"]
    for name in shipped():
        assert load_suite(name).description.endswith((".", ")."))


def test_standard_has_every_environment_and_quick_every_agent() -> None:
    suite = load_suite("standard")
    assert sorted(entry.arguments["env"] for entry in suite.environments) == sorted(ENVIRONMENTS)
    assert len(suite.seeds) == 3
    assert {"compressive", "memoryless", "recurrent_ppo", "oracle", "random"} <= {entry.name for entry in suite.agents}
    assert {entry.name for entry in load_suite("quick").agents} == set(named_agents()) >= set(memory_registry)


@pytest.mark.parametrize("name", ["smoke", "quick", "standard"])
def test_every_agent_of_a_suite_can_be_made_in_every_environment(name: str, tmp_path: Path) -> None:
    rehearse_all(plan(load_suite(name), tmp_path))


@pytest.mark.parametrize(
    ("name", "module"), [("popgym", "popgym"), ("minigrid", "minigrid"), ("memory-gym", "memory_gym")]
)
def test_suites_of_others_can_be_made_where_they_are_installed(name: str, module: str, tmp_path: Path) -> None:
    pytest.importorskip(module)
    rehearse_all(plan(load_suite(name), tmp_path))


@pytest.mark.parametrize("name", ["popgym", "minigrid", "memory-gym"])
def test_a_missing_extra_is_one_message(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("memory_agents.benchmarks.suites.suite.find_spec", lambda package: None)
    assert run(["run", name, "--out", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"memory-bench: {name}: environments[0]: " in line
    assert "is not installed; run: pip install" in line
    assert not (tmp_path / "runs").exists()


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--suites"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in shipped())
    assert "--memory-class" not in shown


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    suite = load_suite(str(path))
    assert suite.name == "mine"
    assert suite.text == SMALL
    (environment,) = suite.environments
    assert environment.name == "TMaze"
    assert environment.arguments == {
        "env": "MemoryAgents/TMaze-v0",
        "env_kwargs": {"corridor": 2},
        "algorithm_kwargs": {"n_steps": 32, "n_epochs": 1},
    }
    assert suite.shared == dict(total_timesteps=128, eval_episodes=4, n_envs=2, threads=1, device="cpu")
    assert suite.checkpoint_freq is None


def test_agents_are_names_or_tables() -> None:
    text = (
        TMAZE
        + """
agents = [
    "gru",
    "GTrXLPolicy",
    { agent = "compressive", name = "rate-8", memory_kwargs = { compression_rate = 8 } },
    { name = "wide", policy = "MemoryPolicy", memory_class = "lstm", memory_kwargs = { hidden_size = 256 } },
]
"""
    )
    assert [(entry.name, entry.arguments) for entry in parse_suite(text, "a", "a.toml").agents] == [
        ("gru", {"policy": "MemoryPolicy", "memory_class": "gru"}),
        ("GTrXLPolicy", {"policy": "GTrXLPolicy"}),
        ("rate-8", {"policy": "CompressiveMemoryPolicy", "memory_kwargs": {"compression_rate": 8}}),
        ("wide", {"policy": "MemoryPolicy", "memory_class": "lstm", "memory_kwargs": {"hidden_size": 256}}),
    ]


def test_cores_of_ones_own_have_a_name_at_once() -> None:
    memory_registry.register("my_core")(memory_registry["lstm"])
    assert named_agents()["my_core"] == {"policy": "MemoryPolicy", "memory_class": "my_core"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("agents = [", "a.toml is no TOML"),
        (TMAZE, r"a.toml: agents is missing; add agents = \.\.\. \(an array\)"),
        ('agents = ["lstm"]', "a.toml: environments is missing"),
        (TMAZE + "agents = []", r"a.toml: agents = \[\] leaves nothing to run"),
        (TMAZE + 'agents = "lstm"', "a.toml: agents = 'lstm' is not an array"),
        (TMAZE + 'agents = ["lstn"]', r"a.toml: agents\[0\] 'lstn' is unknown; did you mean lstm"),
        (TMAZE + "agents = [3]", r"a.toml: agents\[0\] = 3 is no table"),
        (TMAZE + 'agents = [{ policy = "MlpPolicy" }]', r"a.toml: agents\[0\].name is missing"),
        (
            TMAZE + 'agents = [{ agent = "lstm", memory_kwarg = 1 }]',
            r"agents\[0\].memory_kwarg is unknown; did you mean m",
        ),
        (TMAZE + 'agents = [{ agent = "lstm", n_stack = 0 }]', r"agents\[0\].n_stack = 0 is too small; use 1 or more"),
        (
            TMAZE + 'agents = ["lstm", "gru", "lstm"]',
            r"agents\[2\].name = 'lstm' is the name of a.toml: agents\[0\], too",
        ),
        (
            'environments = [{ id = "A-v0", env_kwargs = { since = { day = [1, 2020-01-02] } } }]\nagents = ["lstm"]',
            r"environments\[0\].env_kwargs has 2020-01-02, a date or a time, .*; write it as a string",
        ),
        (
            TMAZE + 'agents = [{ agent = "lstm", algorithm_kwargs = { gamma = 07:30:00 } }]',
            r"agents\[0\].algorithm_kwargs has 07:30:00, a date or a time",
        ),
        (TMAZE + 'agents = ["lstm"]\nseeds = [1, -1]', r"a.toml: seeds = \[1, -1\] are no seeds"),
        (TMAZE + 'agents = ["lstm"]\nseeds = [true]', r"seeds = \[True\] are no seeds"),
        (TMAZE + 'agents = ["lstm"]\ntotal_timesteps = "many"', "total_timesteps = 'many' is not a whole number"),
        (TMAZE + 'agents = ["lstm"]\nn_envs = true', "n_envs = True is not a whole number"),
        (TMAZE + 'agents = ["lstm"]\ncheckpoint_freq = 0', "checkpoint_freq = 0 is too small"),
        (TMAZE + 'agents = ["lstm"]\nbudget = 5', "a.toml: budget is unknown; use description, environments"),
        ('environments = [{ name = "a" }]\nagents = ["lstm"]', r"a.toml: environments\[0\].id is missing"),
        (
            'environments = [{ id = "E", env_kwargs = 3 }]\nagents = ["lstm"]',
            r"environments\[0\].env_kwargs = 3 is not a table",
        ),
        ('environments = ["A/B-v0", "B-v1"]\nagents = ["lstm"]', r"environments\[1\].name = 'B' is the name of"),
        (TMAZE + 'agents = ["nowhere:Agent"]', r"agents\[0\] 'nowhere:Agent': 'nowhere' cannot be imported"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_suite(text, "a", "a.toml")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("smok", "suite 'smok' is unknown; did you mean smoke"),
        ("mine", "use memory-gym, minigrid, popgym, quick, smoke, standard, or the path of a .toml file"),
        ("nowhere/mine.toml", "suite 'nowhere/mine.toml' cannot be read"),
    ],
)
def test_unknown_suites_are_refused(name: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load_suite(name)


def test_a_suite_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes("# Länge\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"mine.toml' is no UTF-8 .*; save it in that encoding"):
        load_suite(str(path))
